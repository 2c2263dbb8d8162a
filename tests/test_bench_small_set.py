"""The small set of `make compare-small` is what its script makes, and holds what it says."""

from __future__ import annotations

from benchmarks import small_set
from memsvc.bench.formats.choosing import read_set


def test_the_committed_questions_are_those_of_the_script() -> None:
    assert small_set.QUESTIONS.read_text(encoding="utf-8") == small_set.text()


def test_every_answer_stands_in_its_evidence_and_absent_countries_in_no_passage() -> None:
    corpus = read_set(small_set.QUESTIONS, [small_set.PASSAGES])
    texts = {passage.id: f"{passage.title} {passage.text}" for passage in corpus.banks[""]}
    assert corpus.all_warnings() == []
    assert len({question.id for question in corpus.questions}) == len(corpus.questions)
    two, none = 0, 0
    for question in corpus.questions:
        for answer in question.answers or ():
            assert answer in texts[question.evidence[-1]]
        two += len(question.evidence) == 2
        if not question.answers:
            none += 1
            country = question.id.split("-")[1].title()
            assert not any(title.startswith(country) for title in texts.values())
    assert (two > 30, none) == (True, 24)
