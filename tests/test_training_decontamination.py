"""Decontamination: whatever a judging file knows is gone, and counted by reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from memsvc_router.training.decontamination import decontaminate, read_known
from memsvc_router.training.rows import DataError, Passage, Question, TrainingSet

RUN = "one two three four five six seven eight nine ten eleven twelve thirteen"


def a_set(**texts: str) -> TrainingSet:
    passages = tuple(Passage(name, "t", "", text) for name, text in texts.items())
    rows = (
        Question(f"q-{name}", "t", f"What of {name}?", (), (name,), False, True, False, "")
        for name in texts
    )
    return TrainingSet(passages, tuple(rows))


def known(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_each_kind_of_overlap_is_dropped_and_counted(tmp_path: Path) -> None:
    file = known(
        tmp_path / "dev.jsonl",
        {"id": "1", "question": "WHAT of asked"},
        {"id": "2", "title": "x", "text": "A short, known text."},
        {"id": "3", "turns": [{"text": f"He said: {RUN}!"}]},
    )
    found = a_set(
        asked="Free.", short="a short known text", long=f"Well, {RUN} and more.",
        twelve=RUN.removesuffix(" thirteen"), clean="Nothing.",
    )  # fmt: skip
    cleaned = decontaminate(found, read_known([file]))
    assert [q.id for q in cleaned.found.questions] == ["q-twelve", "q-clean"]
    assert [p.id for p in cleaned.found.passages] == ["asked", "twelve", "clean"]
    assert cleaned.questions == {"same question": 1, "passage dropped": 2}
    assert cleaned.passages == {"same passage": 1, "13 words in a row": 1}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl"):
        read_known([tmp_path / "none.jsonl"])
