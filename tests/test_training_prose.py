"""Questions from raw texts: where each comes from, what it takes out, that a seed decides."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from memsvc_router.training.prose import Prose, ProseOptions, make_prose, read_prose
from memsvc_router.training.rows import DataError, TrainingSet, read_set, write_set

STORY = " ".join(
    f"In the year {1800 + n} the old mill of Marta Holm near Velden was rebuilt by its {n} owners."
    for n in range(40)
)
OPTIONS = ProseOptions(passage_words=60, keep=0.0)


def made(options: ProseOptions = OPTIONS) -> TrainingSet:
    return make_prose([Prose("story", "The mill", STORY)], options)


def test_a_sentence_finds_its_passage_and_is_gone_from_it() -> None:
    found = made()
    texts = {passage.id: passage.text for passage in found.passages}
    asked = [q for q in found.questions if q.type == "inverse_cloze"]
    assert len(asked) >= len(found.passages) - 1
    assert all(q.question in STORY and q.question not in texts[q.evidence[0]] for q in asked)


def test_a_kept_sentence_stays() -> None:
    found = made(replace(OPTIONS, keep=1.0))
    texts = {passage.id: passage.text for passage in found.passages}
    asked = [q for q in found.questions if q.type == "inverse_cloze"]
    assert asked
    assert all(q.question in texts[q.evidence[0]] for q in asked)
    assert " ".join(texts.values()) == STORY


def test_a_blanked_name_is_the_answer_and_stands_in_the_passage() -> None:
    found = made()
    texts = {passage.id: passage.text for passage in found.passages}
    asked = [q for q in found.questions if q.type == "entity_cloze"]
    assert {q.answers[0] for q in asked} <= {"Marta Holm", "Velden"}
    for question in asked:
        assert question.gen_ok
        assert question.question.replace("___", question.answers[0]) in texts[question.evidence[0]]


def test_neighbours_are_passages_that_follow_each_other() -> None:
    found = made()
    asked = [q for q in found.questions if q.type == "neighbours"]
    assert asked
    for question in asked:
        first, second = (int(e.split("#")[1]) for e in question.evidence)
        assert second == first + 1
        assert question.every


def test_a_seed_decides_and_the_set_is_sound(tmp_path: Path) -> None:
    assert made() == made()
    assert made().questions != made(replace(OPTIONS, seed=1)).questions
    write_set(tmp_path, made())
    assert read_set(tmp_path) == made()


def test_texts_are_read_from_lines_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": 7, "title": "T", "text": "One."}) + "\n")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "b.md").write_text("Two.")
    read = list(read_prose([tmp_path / "a.jsonl", tmp_path / "texts"]))
    assert read == [Prose("7", "T", "One."), Prose("b.md", "", "Two.")]


def test_what_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.txt or \.md files"):
        list(read_prose([tmp_path]))
    with pytest.raises(DataError, match=r"a\.pdf: expected"):
        list(read_prose([tmp_path / "a.pdf"]))
    with pytest.raises(ValueError, match="no such kind 'riddles'"):
        made(replace(OPTIONS, kinds=("riddles",)))
