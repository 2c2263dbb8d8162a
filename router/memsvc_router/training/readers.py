"""Other sets as training rows: whatever was read as banks of passages and questions to them.

Knows the rows; the formats of files are known to whoever reads them (`memsvc.bench.formats`), and
come here by their shape alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from memsvc_router.training.rows import Passage, Question, TrainingSet, holds_answer


class ReadPassage(Protocol):
    """A passage of a bank; ids are unique in it."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def text(self) -> str: ...


class ReadQuestion(Protocol):
    """A question to one bank; `answers` None: nobody said."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def answers(self) -> tuple[str, ...] | None: ...
    @property
    def evidence(self) -> tuple[str, ...]: ...
    @property
    def bank(self) -> str: ...


def as_rows(
    dataset: str,
    banks: Mapping[str, Sequence[ReadPassage]],
    questions: Iterable[ReadQuestion],
    every: bool,
) -> TrainingSet:
    """Rows of a set. `every`: whether a question needs all of its evidence.

    Blank passages, and questions without evidence or whose evidence is not there, teach nothing
    and are left out. An answer is one to point at where it stands in the evidence's text.
    """
    passages = {
        (bank, one.id): Passage(_id(dataset, bank, one.id), dataset, one.title, one.text)
        for bank, held in banks.items()
        for one in held
        if one.text.strip()
    }
    return TrainingSet(tuple(passages.values()), tuple(_rows(dataset, passages, questions, every)))


def _rows(
    dataset: str,
    passages: Mapping[tuple[str, str], Passage],
    questions: Iterable[ReadQuestion],
    every: bool,
) -> Iterator[Question]:
    for one in questions:
        keys = [(one.bank, name) for name in one.evidence]
        if not keys or any(key not in passages for key in keys):
            continue
        answers = one.answers or ()
        yield Question(
            id=_id(dataset, one.bank, one.id),
            dataset=dataset,
            question=one.text,
            answers=answers,
            evidence=tuple(passages[key].id for key in keys),
            every=every and len(keys) > 1,
            router_ok=True,
            gen_ok=any(holds_answer(passages[key].text, answers) for key in keys),
            type=dataset,
        )


def merged(sets: Iterable[TrainingSet]) -> TrainingSet:
    """Several sets as one; of rows with the same id the first stays."""
    passages: dict[str, Passage] = {}
    questions: dict[str, Question] = {}
    for found in sets:
        for passage in found.passages:
            passages.setdefault(passage.id, passage)
        for question in found.questions:
            questions.setdefault(question.id, question)
    return TrainingSet(tuple(passages.values()), tuple(questions.values()))


def _id(dataset: str, bank: str, name: str) -> str:
    return ":".join(part for part in (dataset, bank, name) if part)
