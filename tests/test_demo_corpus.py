"""The demo's corpus is what its provenance note says, and fit for a bank."""

from __future__ import annotations

import json
import re

from demo import corpus
from demo.questions import FORGOTTEN, QUESTIONS

PROVENANCE = corpus.FOLDER.parent / "PROVENANCE.md"
SMALLEST = 300
LARGEST_BYTES = 3 << 20
LONGEST_WORDS = 400
BOTH_DOCUMENTS = 2


def test_it_is_large_enough_to_be_a_corpus_and_small_enough_for_a_repository() -> None:
    assert len(corpus.documents()) >= SMALLEST
    assert sum(path.stat().st_size for path in corpus.files()) <= LARGEST_BYTES


def test_ids_are_unique_and_usable_as_resource_names() -> None:
    names = [one.document_id for one in corpus.documents()]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name)] == []


def test_every_document_is_clean_prose_with_a_title_and_a_source() -> None:
    for one in corpus.documents():
        assert one.title == one.title.strip() != ""
        assert one.text == one.text.strip() != ""
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f�]", one.text + one.title), one.title
        assert len(one.text.split()) <= LONGEST_WORDS, one.title
        assert one.metadata["source"] in ("factbook", "pep"), one.title


def test_no_text_is_there_twice() -> None:
    texts = [one.text for one in corpus.documents()]
    assert len(set(texts)) == len(texts)


def test_provenance_names_every_file_with_its_number_of_documents() -> None:
    note = PROVENANCE.read_text()
    for path in corpus.files():
        count = len(path.read_text().splitlines())
        assert f"| `{path.name}` | {count} |" in note, path.name


def test_every_pep_taken_is_listed_by_its_number() -> None:
    rows = [json.loads(line) for line in (corpus.FOLDER / "peps.jsonl").read_text().splitlines()]
    assert all(row["title"].startswith(f"PEP {row['metadata']['pep']}: ") for row in rows)


def test_the_questions_can_be_answered_from_the_sources_they_name() -> None:
    texts = {one.document_id: one.text for one in corpus.documents()}
    for question in (*QUESTIONS, FORGOTTEN):
        if question.expected is not None:
            held = " ".join(texts[name] for name in question.sources).lower()
            assert question.expected.lower() in held, question.text


def test_one_question_needs_two_documents_and_one_has_no_answer() -> None:
    assert any(len(question.sources) == BOTH_DOCUMENTS for question in QUESTIONS)
    assert any(question.expected is None for question in QUESTIONS)
    assert len(QUESTIONS) + 1 >= 6  # with the one that is asked before and after the deletion
