"""Controls: with nothing but the evidence in memory, and with all but it; how confidence fares."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from memsvc_client import report
from typer.testing import CliRunner

from memsvc.bench import running
from memsvc.bench.cli import register
from memsvc.bench.contest import Rules
from memsvc.bench.corpus import Corpus
from memsvc.bench.intervals import auroc, relative_drop
from memsvc.bench.lines import InputError
from memsvc.bench.readers import read_corpus
from memsvc.bench.results import Results
from memsvc.bench.running import Run, run_bench
from memsvc.retrieval import PathSettings
from tests.bench_support import PASSAGES, QUESTIONS, write
from tests.engine_support import BagModel

ALONE, REMOVED = "msa, evidence alone", "msa, evidence removed"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    assert running.run_bench.__defaults__ is not None
    monkeypatch.setattr(running.run_bench, "__defaults__", (BagModel,))
    app = typer.Typer()
    register(app)
    return app


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    passages = write(tmp_path / "p.jsonl", PASSAGES)
    questions = write(tmp_path / "q.jsonl", QUESTIONS)
    return ["--passages", str(passages), "--questions", str(questions)]


def corpus_of(folder: Path, passages: list[dict[str, Any]], questions: list[Any]) -> Corpus:
    written = write(folder / "p.jsonl", passages)
    return read_corpus([written], write(folder / "q.jsonl", questions))


def plan(corpus: Corpus, out: Path | None = None) -> Run:
    return Run(corpus, Rules((PathSettings("msa"),)), "t", "c", out, controls=True)


def quiet(stage: str, done: int, total: int) -> None:
    pass


def test_controls_are_paths_of_their_own_with_intervals(
    app: typer.Typer, files: list[str], tmp_path: Path
) -> None:
    wanted = ["--paths", "msa,bm25", "--controls", "--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, ["bench", "run", *files, *wanted, "--json"])
    assert ran.exit_code == 0, ran.output
    paths = {path["path"]: path for path in json.loads(ran.stdout)["paths"]}
    assert list(paths) == ["msa", "bm25", ALONE, REMOVED]
    alone, removed = paths[ALONE], paths[REMOVED]
    assert [q["id"] for q in alone["questions"]] == ["q1", "q2"]  # q3 has no evidence
    assert alone["settings"]["memory"] == "the question's evidence"
    assert {document for q in alone["questions"] for document in q["hits"]} == {"p1", "p3"}
    assert "recall@1" not in alone["metrics"]
    assert 0 < alone["metrics"]["f1"]["low"] <= alone["metrics"]["f1"]["mean"] <= 1
    assert not any({"p1"} & set(q["hits"]) for q in removed["questions"])
    assert removed["metrics"]["abstention"]["mean"] == 1.0
    assert "f1" not in removed["metrics"]
    certain = {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 2}
    assert removed["metrics"]["abstention_auroc"] == certain
    page = report.render(report.load_results(tmp_path / "out" / "results.json"))
    assert "AUROC of confidence" in page


def test_the_terminal_shows_them_apart(app: typer.Typer, files: list[str]) -> None:
    wanted = ["--paths", "msa,bm25", "--controls"]
    ran = CliRunner().invoke(app, ["bench", "run", *files, *wanted], env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    head = next(line for line in ran.stdout.splitlines() if "measure" in line)
    assert "removed" not in head
    line = next(line for line in ran.stdout.splitlines() if "abstention_auroc" in line)
    assert "1.000 [1.000, 1.000]" in line


@pytest.mark.parametrize(
    ("paths", "questions", "problem"),
    [
        ("bm25", QUESTIONS, "controls are asked on the path msa: add it to --paths"),
        ("msa", QUESTIONS[2:], "no question names evidence that its passages hold"),
        ("msa", [{**QUESTIONS[0], "evidence": ["p9"]}], "no question names evidence"),
    ],
)
def test_nothing_to_control_is_a_usage_error(
    app: typer.Typer,
    files: list[str],
    tmp_path: Path,
    paths: str,
    questions: list[Any],
    problem: str,
) -> None:
    write(tmp_path / "q.jsonl", questions)
    wanted = ["--paths", paths, "--controls", "--json"]
    ran = CliRunner().invoke(app, ["bench", "run", *files, *wanted])
    assert ran.exit_code == 2
    assert problem in json.loads(ran.stdout)["error"]["message"]


async def test_where_the_evidence_is_all_there_is_nothing_is_left(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, PASSAGES[:1], QUESTIONS[:1])
    _, alone, removed = (await run_bench(plan(corpus), quiet, BagModel)).paths
    assert alone.metrics["em"].mean == 1.0
    assert (removed.questions[0].found, removed.questions[0].hits) == (False, [])
    assert removed.metrics["abstention_auroc"].mean == 1.0


async def test_controls_go_on_where_they_were_interrupted(tmp_path: Path) -> None:
    def stop(*heard: object) -> None:
        if heard[0] == "asking":
            raise asyncio.CancelledError

    corpus = corpus_of(tmp_path, PASSAGES, QUESTIONS)
    with pytest.raises(asyncio.CancelledError):
        await run_bench(plan(corpus, tmp_path / "out"), stop, BagModel)
    left = Results.from_dict(json.loads((tmp_path / "out" / "results.json").read_text()))
    assert [len(path.questions) for path in left.paths] == [1, 1, 1]
    assert f"{REMOVED}: only 1 of 2 questions asked" in left.warnings
    again = await run_bench(plan(corpus, tmp_path / "out"), quiet, BagModel)
    assert [len(path.questions) for path in again.paths] == [3, 2, 2]
    assert again.warnings == []
    without = Run(corpus, Rules((PathSettings("msa"),)), "t", "c", tmp_path / "out")
    with pytest.raises(InputError, match="controls differ"):
        await run_bench(without, quiet, BagModel)


class Failing(BagModel):
    """Cannot answer where the evidence is missing."""

    def ask(self, view: Any, question: str, *rest: Any, **more: Any) -> Any:
        if len(view) == len(PASSAGES) - 1:
            raise ValueError("lost")
        return super().ask(view, question, *rest, **more)


async def test_a_failure_is_no_abstention(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, PASSAGES, QUESTIONS[:1])
    removed = (await run_bench(plan(corpus), quiet, Failing)).paths[2]
    assert removed.metrics["abstention"].mean == 0.0
    assert removed.metrics["abstention_auroc"].mean == 0.0


def test_auroc_counts_ties_half_and_resamples_questions() -> None:
    area, low, high = auroc([0.9, 0.8, 0.4], [0.1, 0.8, 0.5], 0)
    assert area == pytest.approx((3 + 2.5 + 1) / 9)
    assert 0 <= low < area < high <= 1
    # Of two questions a resample takes (a, a), (a, b), (b, a) or (b, b): 1, 1/2, 1/2 or 0.
    assert auroc([0.9, 0.1], [0.5, 0.5], 3) == pytest.approx((0.5, 0.0, 1.0))
    assert auroc([0.5], [0.5], 1) == pytest.approx((0.5, 0.5, 0.5))


def test_a_relative_drop_is_paired_over_questions() -> None:
    assert relative_drop([1.0, 0.5, 0.0], [0.9, 0.45, 0.0], 0) == pytest.approx((0.1, 0.1, 0.1))
    drop = relative_drop([1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], 0)
    assert drop is not None
    assert drop[0] == pytest.approx(0.5)
    assert drop[1] < 0.5 < drop[2]
    assert relative_drop([0.0], [1.0], 0) is None
