"""`memsvc bench` on the command line: JSON alone on stdout, a table for people, errors located."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from memsvc.bench import runner
from memsvc.bench.cli import register
from tests.bench_support import PASSAGES, QUESTIONS, write
from tests.engine_support import BagModel


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The command group; its small model stands in for the default one, which is slow to load."""
    for bench in (runner.bench_recall, runner.bench_answer):
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
    assert (report["n"], report["k"], report["hops"], report["documents"]) == (2, 4, 1, 4)
    assert "asking" in ran.stderr


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
