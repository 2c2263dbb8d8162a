"""Passages and questions come in from plain and compressed files; what is wrong is located."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard

from memsvc.bench.corpus import Corpus, parse_time
from memsvc.bench.lines import InputError, read_lines
from memsvc.bench.readers import read_corpus
from tests.bench_support import (
    CONVERSATION_QUESTIONS,
    CONVERSATIONS,
    PASSAGES,
    QUESTIONS,
    write,
)


def corpus(tmp_path: Path, passages: list[Any], questions: list[Any], **asked: Any) -> Corpus:
    files = [write(tmp_path / "p.jsonl", passages)]
    return read_corpus(files, write(tmp_path / "q.jsonl", questions), **asked)


def test_plain_and_compressed_files_together_make_one_bank(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "a.jsonl", PASSAGES[:2]),
        write(tmp_path / "b.jsonl.zst", PASSAGES[1:]),
    ]
    read = read_corpus(files, write(tmp_path / "q.jsonl.zst", QUESTIONS), limit=2)
    assert [[p.id for p in passages] for passages in read.banks.values()] == [
        ["p1", "p2", "p3", "p4"]
    ]
    assert [q.id for q in read.questions] == ["q1", "q2"]
    assert read.questions[0].answers == tuple(QUESTIONS[0]["answers"])


def test_each_conversation_is_a_bank_and_each_turn_a_document(tmp_path: Path) -> None:
    read = corpus(tmp_path, CONVERSATIONS, CONVERSATION_QUESTIONS)
    first, second = read.banks["c1"]
    assert (first.id, first.text) == ("c1-0", "ann: I sold the boat.")
    assert first.event_time == datetime(2024, 1, 5, tzinfo=UTC)
    assert second.event_time is None
    assert [q.bank for q in read.questions] == ["c1", "c2"]
    assert read.questions[1].answers == ()  # answerable: false


def test_a_sample_is_spread_over_the_set(tmp_path: Path) -> None:
    asked = [{"id": f"q{n}", "question": "x?", "answers": [], "evidence": ["p1"]} for n in range(9)]
    some = corpus(tmp_path, PASSAGES, asked, limit=3).questions
    assert [question.id for question in some] == ["q0", "q3", "q6"]
    assert len(corpus(tmp_path, PASSAGES, asked, limit=99).questions) == 9


def test_conversations_nobody_asks_about_are_left_out(tmp_path: Path) -> None:
    assert list(corpus(tmp_path, CONVERSATIONS, CONVERSATION_QUESTIONS, limit=1).banks) == ["c1"]


def test_evidence_that_is_in_no_passage_is_found_out(tmp_path: Path) -> None:
    asked = {"id": "q", "question": "x?", "answers": [], "evidence": ["p1", "p9", "p9"]}
    assert corpus(tmp_path, PASSAGES, [asked, asked]).missing_evidence() == ["p9"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-03-01T10:00:00+01:00", datetime(2024, 3, 1, 9, tzinfo=UTC)),
        ("2024-03-01", datetime(2024, 3, 1, tzinfo=UTC)),
        ("1:56 pm on 8 May, 2023", datetime(2023, 5, 8, 13, 56, tzinfo=UTC)),
        ("some day", None),
    ],
)
def test_times_as_data_sets_write_them(text: str, time: datetime | None) -> None:
    assert parse_time(text) == time


BAD_PASSAGES = [
    ({"id": "x", "text": ""}, "'text' is empty"),
    ({"text": "x"}, "'id' must be a string"),
    ({"id": "p1", "title": "Kettle", "text": "another"}, "another passage than at"),
    ({"id": "c", "turns": [{"id": "t", "text": "x"}]}, "'speaker' must be a string"),
    ({"id": "c", "turns": "x"}, "'turns' must be a list"),
]


@pytest.mark.parametrize(("record", "problem"), BAD_PASSAGES)
def test_a_bad_passage_is_named_by_file_and_line(
    tmp_path: Path, record: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=rf"p\.jsonl:2: .*{problem}"):
        corpus(tmp_path, [PASSAGES[0], record], QUESTIONS)


BAD_QUESTIONS = [
    ({"id": "x", "question": " ", "answers": []}, "'question' is empty"),
    ({"id": "x", "question": "x?"}, "'answers' is missing"),
    ({"id": "x", "question": "x?", "answers": "x"}, "'answers' must be a list"),
    ({"id": "x", "question": "x?", "answers": [], "conv": "c7"}, "'c7' is in no passages file"),
    ({"id": "x", "question": "x?", "answers": [], "answerable": "no"}, "true or false"),
]


@pytest.mark.parametrize(("record", "problem"), BAD_QUESTIONS)
def test_a_bad_question_is_named_by_file_and_line(
    tmp_path: Path, record: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=rf"q\.jsonl:2: .*{problem}"):
        corpus(tmp_path, PASSAGES, [QUESTIONS[0], record], answers=True)


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("x.jsonl", b'{"id": 1}\n{"id": ', r"x\.jsonl:2: not JSON"),
        ("x.jsonl", b'\n\n["id"]', r"x\.jsonl:3: not a JSON object"),
        ("x.jsonl", b'{"id": "\xff"}', r"x\.jsonl:1: not UTF-8"),
        ("x.jsonl.zst", b"plain", r"x\.jsonl\.zst: not zstd"),
        ("x.jsonl.zst", zstandard.compress(b'{"id": 1}\n' * 9)[:-3], "cut short"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, body: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(InputError, match=problem):
        list(read_lines(tmp_path / name))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        list(read_lines(tmp_path / "nowhere.jsonl"))


def test_frames_that_were_joined_are_all_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(zstandard.compress(b'{"id": 1}\n') + zstandard.compress(b'{"id": 2}\n'))
    assert [line.record["id"] for line in read_lines(path)] == [1, 2]


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "a\u2028b\x85c"}\n', encoding="utf-8")
    assert [line.record["id"] for line in read_lines(path)] == ["a\u2028b\x85c"]
