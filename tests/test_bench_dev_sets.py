"""benchmarks/dev_sets: what it types is taken, and its table says what came of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import dev_sets
from memsvc.bench import running
from memsvc.bench.cli import register
from tests.bench_support import PASSAGES, QUESTIONS, write
from tests.engine_support import BagModel


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("wiki.passages", "2wiki.passages"):
        write(folder / f"{name}.jsonl.zst", PASSAGES)
    write(folder / "wiki.questions.jsonl.zst", QUESTIONS)
    return folder


def test_a_set_is_measured_and_stands_in_the_table(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(running.run_bench, "__defaults__", (BagModel,))
    app = typer.Typer()
    register(app)
    wiki = next(one for one in dev_sets.SETS if one.name == "wiki")
    ran = CliRunner().invoke(app, dev_sets.command(wiki, data, tmp_path / "out", 2))
    assert ran.exit_code == 0, ran.output
    table = dev_sets.table(tmp_path / "out").splitlines()
    assert len({line.count("|") for line in table}) == 1
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    of_wiki = [row for row in rows if row[0] == "wiki"]
    assert [row[1] for row in of_wiki] == [
        "recall@1",
        "recall@1",
        "f1",
        "em",
        "f1 (evidence alone)",
        "abstention_auroc (evidence removed)",
    ]
    assert of_wiki[0][3] == "0.750 [0.500, 1.000]"
    assert of_wiki[0][4].startswith(">= rag 0.750 + 0.08; leads by 0.000")
    assert of_wiki[0][5] == "MISSED"
    assert of_wiki[1][5] == "met"  # not below bm25
    assert of_wiki[5][2:] == ["2", "1.000 [1.000, 1.000]", ">= 0.80", "met"]
    assert {row[3] for row in rows if row[0] != "wiki"} == {"not measured"}


def test_a_set_that_fails_is_told(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert dev_sets.main([str(data), str(out), "--limit", "1", "--sets", "hotpot"]) == 2
    assert not (out / "hotpot" / "results.json").exists()
