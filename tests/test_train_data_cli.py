"""`memsvc train-data` on the command line: from public files to a set that trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from memsvc_client.cli import exits
from memsvc_router.training.mining import load_negatives
from memsvc_router.training.rows import read_set
from typer.testing import CliRunner

from memsvc.train.data_cli import register
from tests.test_training_rows import QUESTION, folder_of

SQUAD = {
    "data": [
        {
            "title": "Oslo",
            "paragraphs": [
                {
                    "context": "Oslo lies in Norway. It was founded in 1040.",
                    "qas": [
                        {"id": "a", "question": "Where is Oslo?", "answers": [{"text": "Norway"}]},
                        {"id": "b", "question": "Who?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ]
}


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)  # so that the group keeps its name
    return app


def told(app: typer.Typer, *arguments: object, code: int = exits.OK) -> dict[str, Any]:
    """The envelope of a command that ends with `code`."""
    ran = CliRunner().invoke(app, ["train-data", *map(str, arguments), "--json"])
    assert ran.exit_code == code, ran.output
    body: dict[str, Any] = json.loads(ran.stdout)
    return body


def test_check_counts_what_is_wrong_and_writes_a_clean_copy(
    app: typer.Typer, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path, QUESTION, QUESTION | {"id": "q2", "answers": ["Sweden"]})
    ran = CliRunner().invoke(app, ["train-data", "check", str(folder)])
    assert ran.exit_code == exits.FAULT
    assert "answer not in its text: 1" in ran.stdout
    facts = told(app, "check", folder, "--drop-bad", tmp_path / "clean")["data"]
    assert facts["faults"] == {"answer not in its text": 1}
    assert [q.gen_ok for q in read_set(tmp_path / "clean").questions] == [True, False]
    assert told(app, "check", tmp_path / "clean")["data"]["faults"] == {}


def test_published_sets_come_in_merge_and_are_mined(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text(json.dumps(SQUAD))
    facts = told(app, "import", tmp_path / "dev.json", tmp_path / "squad")["data"]
    assert facts == {"passages": 1, "questions": 1, "without_evidence": 1}
    told(app, "chains", tmp_path / "chains", "--questions", 10)
    merged = told(app, "merge", tmp_path / "squad", tmp_path / "chains", tmp_path / "all")["data"]
    assert merged["questions"] == 11
    first = told(app, "mine", tmp_path / "all", tmp_path / "work")["data"]
    again = told(app, "mine", tmp_path / "all", tmp_path / "work")["data"]
    assert (first["were_there"], again["were_there"]) == (False, True)
    assert len(load_negatives(tmp_path / "work", read_set(tmp_path / "all"))) == 11


def test_prose_becomes_a_set(app: typer.Typer, tmp_path: Path) -> None:
    text = " ".join(f"On day {n} the crew of the Aurora saw the coast of Maren." for n in range(30))
    (tmp_path / "log.txt").write_text(text)
    facts = told(app, "prose", tmp_path / "log.txt", tmp_path / "set")["data"]
    assert set(facts["types"]) == {"inverse_cloze", "entity_cloze", "neighbours"}
    assert len(read_set(tmp_path / "set").questions) == facts["questions"]


def test_bridges_need_another_passage_that_speaks_of_the_title(
    app: typer.Typer, tmp_path: Path
) -> None:
    passages = (
        {"id": "p1", "dataset": "made", "title": "Oslo", "text": "Oslo lies in Norway."},
        {"id": "p2", "dataset": "made", "title": "Liv Dal", "text": "Liv Dal was born in Oslo."},
    )
    folder = folder_of(tmp_path, QUESTION, passages=passages)
    told(app, "bridges", folder, tmp_path / "two")
    question = read_set(tmp_path / "two").questions[0]
    assert question.question == "Where does the place where Liv Dal was born lie?"
    assert question.evidence == ("p2", "p1")


def test_decontaminate_reports_what_went(app: typer.Typer, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, QUESTION, QUESTION | {"id": "q2", "question": "Another?"})
    (tmp_path / "dev.jsonl").write_text(json.dumps({"question": "where does oslo lie"}))
    against = ("--against", tmp_path / "dev.jsonl")
    facts = told(app, "decontaminate", folder, tmp_path / "clean", *against)["data"]
    assert facts["questions_dropped"] == {"same question": 1}
    assert [q.id for q in read_set(tmp_path / "clean").questions] == ["q2"]


def test_a_folder_without_a_set_ends_with_its_reason(app: typer.Typer, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["train-data", "check", str(tmp_path)])
    assert ran.exit_code == exits.USAGE
    assert "passages.jsonl" in ran.output
