"""Cleaning a training set of what a judging set knows.

A question goes if it is asked there, if one of its passages is there, or if question or passage
share a run of 13 words with anything there. Knows words; nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memsvc_router.training.lines import read_lines
from memsvc_router.training.rows import TrainingSet

GRAM = 13
_WORD = re.compile(r"\w+")
_STRINGS = ("question", "text", "query", "context", "passage")


@dataclass(frozen=True)
class Cleaning:
    """The set that is left, and how many were dropped for which reason."""

    found: TrainingSet
    questions: dict[str, int]
    passages: dict[str, int]


@dataclass
class Known:
    """What must not be trained on: whole texts, normalised, and runs of words."""

    questions: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    grams: set[int] = field(default_factory=set)

    def add_question(self, text: str) -> None:
        words = normal(text)
        self.questions.add(" ".join(words))
        self.grams.update(_grams(words))

    def add_text(self, text: str) -> None:
        words = normal(text)
        self.texts.add(" ".join(words))
        self.grams.update(_grams(words))

    def why_text(self, text: str) -> str | None:
        """The reason against a passage."""
        words = normal(text)
        if " ".join(words) in self.texts:
            return "same passage"
        return f"{GRAM} words in a row" if self._runs(words) else None

    def why_question(self, text: str) -> str | None:
        """The reason against a question."""
        words = normal(text)
        if " ".join(words) in self.questions:
            return "same question"
        return f"{GRAM} words in a row" if self._runs(words) else None

    def _runs(self, words: Sequence[str]) -> bool:
        return any(gram in self.grams for gram in _grams(words))


def read_known(paths: Sequence[Path]) -> Known:
    """All questions and texts of files of JSON lines, passages, questions or conversations.

    Raises DataError: a file that cannot be read.
    """
    known = Known()
    for path in paths:
        for line in read_lines(path):
            for name, text in _strings(line.record):
                if name in ("question", "query"):
                    known.add_question(text)
                else:
                    known.add_text(text)
    return known


def decontaminate(found: TrainingSet, known: Known) -> Cleaning:
    """Drop what is known; a question goes with any passage of its evidence."""
    against_passages: dict[str, int] = {}
    gone: set[str] = set()
    for passage in found.passages:
        why = known.why_text(passage.text)
        if why is not None:
            gone.add(passage.id)
            against_passages[why] = against_passages.get(why, 0) + 1
    against: dict[str, int] = {}
    kept = []
    for question in found.questions:
        dropped = not gone.isdisjoint(question.evidence)
        why = "passage dropped" if dropped else known.why_question(question.question)
        if why is None:
            kept.append(question)
        else:
            against[why] = against.get(why, 0) + 1
    passages = tuple(passage for passage in found.passages if passage.id not in gone)
    return Cleaning(TrainingSet(passages, tuple(kept)), against, against_passages)


def normal(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def _grams(words: Sequence[str]) -> Iterable[int]:
    return (hash(tuple(words[at : at + GRAM])) for at in range(len(words) - GRAM + 1))


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """The texts of a record, however deep, by field."""
    left: list[Any] = [value]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            for name, inner in one.items():
                if isinstance(inner, str) and name in _STRINGS:
                    yield name, inner
                elif isinstance(inner, list | dict):
                    left.append(inner)
