"""`memsvc bench` on the command line: JSON alone on stdout, a table for people, errors located."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from memsvc_router.api import AskOptions
from typer.testing import CliRunner

from memsvc.bench import degrade, needle_run, profile, runner, running
from memsvc.bench.cli import register
from memsvc.bench.terminal import Pace, duration
from tests.bench_support import PASSAGES, QUESTIONS, write
from tests.engine_support import BagModel


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command group; its small model stands in for the default one, which is slow to load."""
    for bench in (
        runner.bench_recall,
        runner.bench_answer,
        profile.bench_profile,
        running.run_bench,
        needle_run.run_needles,
        degrade.run_degrade,
    ):
        assert bench.__defaults__ is not None
        monkeypatch.setattr(bench, "__defaults__", (*bench.__defaults__[:-1], BagModel))
    app = typer.Typer()
    register(app)
    return app


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    passages = [
        write(tmp_path / "a.jsonl", PASSAGES[:2]),
        write(tmp_path / "b.jsonl.zst", PASSAGES[2:]),
    ]
    questions = write(tmp_path / "q.jsonl", QUESTIONS)
    named = [part for path in passages for part in ("--passages", str(path))]
    return [*named, "--questions", str(questions)]


def test_recall_prints_one_json_object(app: typer.Typer, files: list[str]) -> None:
    ran = CliRunner().invoke(app, ["bench", "recall", *files, "--k", "4", "--json"])
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    expected = {"path", "n", "recall", "all", "latency_ms", "tokens", "bytes_per_token"}
    assert expected <= set(report)
    assert (report["n"], report["k"], report["documents"]) == (2, 4, 4)
    assert "asking" in ran.stderr


def test_a_profile_names_every_part_of_the_latency(app: typer.Typer, files: list[str]) -> None:
    ran = CliRunner().invoke(app, ["bench", "profile", *files, "--json"])
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    stages = report["stage_ms"]
    assert report["n"] == 3
    assert sum(stages.values()) == pytest.approx(report["mean_ms"], rel=0.2)
    assert list(stages.values()) == sorted(stages.values(), reverse=True)
    assert stages["routing"] > 0


@pytest.mark.parametrize(
    ("arguments", "cap"),
    [([], AskOptions().max_hops), (["--hops", "2"], 2), (["--path", "rag"], 1)],
)
def test_the_model_stops_by_itself_below_a_cap_that_is_told(
    app: typer.Typer, files: list[str], arguments: list[str], cap: int
) -> None:
    for verb in ("recall", "answer"):
        ran = CliRunner().invoke(app, ["bench", verb, *files, *arguments, "--json"])
        assert ran.exit_code == 0, ran.output
        assert json.loads(ran.stdout)["hops"] == cap


def test_a_runs_settings_say_the_cap_of_each_path(app: typer.Typer, files: list[str]) -> None:
    for arguments, cap in (([], AskOptions().max_hops), (["--hops", "3"], 3)):
        both = ["--paths", "msa,bm25", *arguments, "--json"]
        ran = CliRunner().invoke(app, ["bench", "run", *files, *both])
        told = json.loads(ran.stdout)
        assert told["settings"]["max_hops"] == cap
        assert [path["settings"]["max_hops"] for path in told["paths"]] == [cap, 1]


def test_answer_prints_one_json_object(app: typer.Typer, files: list[str]) -> None:
    arguments = ["bench", "answer", *files, "--path", "bm25", "--limit", "2", "--json"]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    expected = {"n", "em", "f1", "abstained", "answerable", "unanswerable", "latency_ms"}
    assert expected <= set(report)
    assert (report["n"], report["path"]) == (2, "bm25")


def test_without_json_there_is_a_table(app: typer.Typer, files: list[str]) -> None:
    ran = CliRunner().invoke(app, ["bench", "recall", *files])
    assert ran.exit_code == 0, ran.output
    assert "recall 5" in ran.stdout
    assert "latency_ms p50" in ran.stdout


def test_a_bad_line_ends_it_with_file_and_line(
    app: typer.Typer, files: list[str], tmp_path: Path
) -> None:
    (tmp_path / "q.jsonl").write_text('{"id": "q"}\n')
    ran = CliRunner().invoke(app, ["bench", "recall", *files, "--json"])
    assert ran.exit_code == 2
    error = json.loads(ran.stdout)["error"]
    assert "q.jsonl:1: 'question' must be a string" in error["message"]


def test_an_unknown_path_is_a_usage_error(app: typer.Typer, files: list[str]) -> None:
    assert CliRunner().invoke(app, ["bench", "recall", *files, "--path", "x"]).exit_code == 2


RUN = ["--paths", "msa,bm25,full-context,rag+rerank", "--k", "4"]


def test_run_writes_results_and_prints_one_json_object(
    app: typer.Typer, files: list[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, ["bench", "run", *files, *RUN, *out, "--json"])
    assert ran.exit_code == 0, ran.output
    printed = json.loads(ran.stdout)
    assert printed == json.loads((tmp_path / "out" / "results.json").read_text())
    assert [path["path"] for path in printed["paths"]] == ["msa", "bm25", "full-context"]
    assert printed["skipped"] == [{"path": "rag+rerank", "reason": "no reranker given"}]
    assert printed["settings"]["k"] == 4
    assert printed["machine"]["cores"] > 0


def test_run_prints_tables_with_intervals_and_says_what_was_skipped(
    app: typer.Typer, files: list[str]
) -> None:
    ran = CliRunner().invoke(app, ["bench", "run", *files, *RUN])
    assert ran.exit_code == 0, ran.output
    assert "latency p99 ms" in ran.stdout
    assert "[" in next(line for line in ran.stdout.splitlines() if " em " in line)
    assert "rag+rerank was skipped: no reranker given" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--paths", "msa,x"], "unknown path 'x'; there are msa, rag"),
        (["--paths", "msa,msa"], "different paths"),
        (["--index", "tree"], "unknown index 'tree'"),
        (["--format", "x"], "unknown format 'x'"),
        (["--paths", "rag", "--embedder", "/nowhere"], "/nowhere"),
        (["--judge-url", "http://127.0.0.1:9/v1"], "needs --judge-url, --judge-model and --out"),
    ],
)
def test_what_cannot_be_run_is_a_usage_error(
    app: typer.Typer, files: list[str], arguments: list[str], problem: str
) -> None:
    ran = CliRunner().invoke(app, ["bench", "run", *files, *arguments, "--json"])
    assert ran.exit_code == 2, ran.output
    assert problem in json.loads(ran.stdout)["error"]["message"]


def test_a_judge_that_does_not_answer_costs_no_answers(
    app: typer.Typer, files: list[str], tmp_path: Path
) -> None:
    judge = ["--judge-url", "gopher://nowhere", "--judge-model", "m"]
    out = ["--out", str(tmp_path / "out")]
    ran = CliRunner().invoke(app, ["bench", "run", *files, "--paths", "msa", *judge, *out])
    assert ran.exit_code == 1
    assert "neither http:// nor https://; answers and verdicts so far are in" in ran.stderr
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())["paths"]) == 1


def test_needles_print_their_grid(app: typer.Typer) -> None:
    arguments = ["--lengths", "1k,2k", "--tasks", "SA1,MK1", "--samples", "1"]
    ran = CliRunner().invoke(app, ["bench", "needles", *arguments])
    assert ran.exit_code == 0, ran.output
    assert "msa: task" in ran.stdout
    assert "MK1" in ran.stdout
    told = CliRunner().invoke(app, ["bench", "needles", "--lengths", "4x", "--json"])
    assert told.exit_code == 2
    assert "'4x' is no length" in json.loads(told.stdout)["error"]["message"]


def test_degrade_prints_its_curves(app: typer.Typer, files: list[str]) -> None:
    ran = CliRunner().invoke(app, ["bench", "degrade", *files, "--lengths", "25", "--json"])
    assert ran.exit_code == 0, ran.output
    titles = {curve["title"] for curve in json.loads(ran.stdout)["curves"]}
    assert "recall@10 as the bank grows" in titles


def test_degrade_grows_by_prose_and_shows_the_drop(
    app: typer.Typer, files: list[str], tmp_path: Path
) -> None:
    prose = write(tmp_path / "prose.jsonl.zst", [{"text": "The wind blew on and on. " * 200}])
    wanted = ["--haystack", str(prose), "--lengths", "100,1k", "--paths", "msa"]
    ran = CliRunner().invoke(app, ["bench", "degrade", *files, *wanted])
    assert ran.exit_code == 0, ran.output
    assert "f1_drop" in ran.stdout


def test_lines_tell_how_long_it_will_take() -> None:
    pace = Pace(100.0, 20)
    assert pace.line("asking", 20, 120, 100.0) == "asking: 20 of 120"
    assert pace.line("asking", 21, 120, 110.0) is None
    assert pace.line("asking", 24, 120, 110.0) == "asking: 24 of 120, about 4 min left"
    assert pace.line("asking", 25, 120, 145.0) == "asking: 25 of 120, about 14 min left"
    assert pace.line("asking", 120, 120, 200.0) == "asking: 120 of 120"
    assert [duration(s) for s in (40, 600, 9000)] == ["40 s", "10 min", "2.5 h"]
