"""Training sets on disk: what is written reads back, and a bad row is named with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from memsvc_router.training.rows import (
    DataError,
    Passage,
    Question,
    TrainingSet,
    inspect_set,
    read_set,
    write_set,
)

PASSAGE = {"id": "p1", "dataset": "made", "title": "Oslo", "text": "Oslo lies in Norway."}
QUESTION = {
    "id": "q1",
    "dataset": "made",
    "question": "Where does Oslo lie?",
    "answers": ["norway"],
    "evidence": ["p1"],
    "evidence_mode": "any",
    "router_ok": True,
    "gen_ok": True,
    "type": "span",
}


def folder_of(folder: Path, *questions: dict[str, Any], passages: tuple[Any, ...] = ()) -> Path:
    """A set in plain JSON lines."""
    rows = {"passages.jsonl": passages or (PASSAGE,), "questions.jsonl": questions}
    for name, lines in rows.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def a_set() -> TrainingSet:
    return TrainingSet(
        (Passage("a", "made", "", "One."), Passage("b", "made", "Zwei", "Two — ü.")),
        (Question("q", "made", "Which?", ("two",), ("a", "b"), True, False, True, "bridge"),),
    )


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    write_set(tmp_path / "new" / "set", a_set())
    found = read_set(tmp_path / "new" / "set")
    assert found == a_set()
    assert found.digest() == a_set().digest()
    assert found.index() == {"a": 0, "b": 1}
    assert sorted(p.name for p in (tmp_path / "new" / "set").iterdir()) == [
        "passages.jsonl.zst",
        "questions.jsonl.zst",
    ]


def test_plain_files_read_and_answers_are_looked_up_in_any_case(tmp_path: Path) -> None:
    found = read_set(folder_of(tmp_path, QUESTION))
    assert found.questions[0].answers == ("norway",)
    assert found.questions[0].gen_ok


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"evidence": ["p9"]}, "evidence 'p9' is no passage's id"),
        ({"evidence": []}, "'evidence' must name at least one passage"),
        ({"answers": ["Sweden"]}, r"none of the answers \['Sweden'\] stands"),
        ({"evidence_mode": "both"}, "'evidence_mode' must be"),
        ({"gen_ok": None}, "'gen_ok' must be true or false"),
        ({"question": ""}, "'question' is empty"),
        ({"id": "q0"}, "id 'q0' was there before"),
    ],
)
def test_a_bad_question_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    folder = folder_of(tmp_path, QUESTION | {"id": "q0"}, QUESTION | change)
    with pytest.raises(DataError, match=rf"questions\.jsonl:2: .*{told}") as refused:
        read_set(folder)
    assert "--drop-bad" in str(refused.value)
    assert [q.id for q in read_set(folder, strict=False).questions if q.gen_ok] == ["q0"]


def test_an_answer_not_in_the_text_still_teaches_routing(tmp_path: Path) -> None:
    found, faults = inspect_set(folder_of(tmp_path, QUESTION | {"answers": ["Sweden"]}))
    assert [fault.kind for fault in faults] == ["answer not in its text"]
    assert [(q.router_ok, q.gen_ok) for q in found.questions] == [(True, False)]


def test_twice_the_same_passage_is_refused_with_its_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, QUESTION, passages=(PASSAGE, PASSAGE))
    with pytest.raises(DataError, match=r"passages\.jsonl:2: id 'p1' was there before"):
        read_set(folder)


def test_what_is_not_json_is_refused_even_where_faults_are_taken(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, QUESTION)
    with (folder / "questions.jsonl").open("a") as file:
        file.write('{"id": \n')
    with pytest.raises(DataError, match=r"questions\.jsonl:2: not JSON"):
        read_set(folder, strict=False)


def test_a_missing_and_an_ambiguous_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither passages\.jsonl nor"):
        read_set(tmp_path)
    folder = folder_of(tmp_path, QUESTION)
    (folder / "passages.jsonl.zst").write_bytes(b"")
    with pytest.raises(DataError, match=r"both passages\.jsonl and"):
        read_set(folder)


def test_writing_that_fails_leaves_the_earlier_set(tmp_path: Path) -> None:
    write_set(tmp_path, a_set())
    unwritable = Passage("x", "made", "", "\ud800")  # no UTF-8 for it: fails in the midst
    with pytest.raises(UnicodeEncodeError):
        write_set(tmp_path, TrainingSet((unwritable,), ()))
    assert read_set(tmp_path) == a_set()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_plain_set_is_not_written_over_unnoticed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, QUESTION)
    with pytest.raises(DataError, match="of an earlier set"):
        write_set(folder, a_set())
    assert read_set(folder).questions[0].id == "q1"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_set(tmp_path / "file" / "set", a_set())
