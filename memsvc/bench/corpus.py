"""What is asked and of which memory: passages sorted into banks, and questions to them.

Knows neither files nor engines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

PASSAGES = ""  # the bank of plain passages; conversations have their id
_TIME_FORMATS = (
    "%B-%d-%Y",
    "%B %d, %Y",
    "%d %B, %Y",
    "%I:%M %p on %d %B, %Y",
    "%Y/%m/%d (%a) %H:%M",
)
_SHOWN = 3  # missing ids that a warning names


@dataclass(frozen=True)
class Passage:
    """A document of a bench bank."""

    id: str
    title: str
    text: str
    event_time: datetime | None = None


@dataclass(frozen=True)
class Question:
    """A question to one bank. `answers`: None where nobody said what is right; empty where memory
    holds none and the right thing is to abstain. `grades`: how relevant each evidence document
    is, where that is graded."""

    id: str
    text: str
    answers: tuple[str, ...] | None
    evidence: tuple[str, ...]
    bank: str = PASSAGES
    grades: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """Banks (passages by bank) and the questions to them, in the order of the file. `warnings`:
    what a reader could not take as it stood."""

    banks: dict[str, list[Passage]]
    questions: list[Question]
    warnings: tuple[str, ...] = ()

    def asked(self, bank: str) -> list[Question]:
        """The questions to one bank."""
        return [question for question in self.questions if question.bank == bank]

    def only(self, wanted: Callable[[Question], bool]) -> Corpus:
        """Some of the questions, with the banks that they ask."""
        kept = [question for question in self.questions if wanted(question)]
        needed = {question.bank for question in kept}
        banks = {name: b for name, b in self.banks.items() if name in needed}
        return replace(self, banks=banks, questions=kept)

    def sample(self, limit: int | None) -> Corpus:
        """So many questions, evenly spread over the set, with the banks that they ask: neighbours
        are often about the same passage."""
        count = len(self.questions)
        size = count if limit is None else min(limit, count)
        kept = {id(self.questions[at * count // size]) for at in range(size)}
        return self.only(lambda question: id(question) in kept)

    def missing_evidence(self) -> list[str]:
        """Evidence ids that are in no passage of their question's bank, without repetition."""
        known = {name: {p.id for p in passages} for name, passages in self.banks.items()}
        missing = (e for q in self.questions for e in q.evidence if e not in known[q.bank])
        return list(dict.fromkeys(missing))

    def all_warnings(self) -> list[str]:
        """What whoever reads the figures should know of the files."""
        missing = self.missing_evidence()
        if not missing:
            return list(self.warnings)
        shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        told = f"{len(missing)} evidence ids are in no passage and count as not found: {shown}"
        return [*self.warnings, told]


def parse_time(value: str) -> datetime | None:
    """A time as data sets write it (ISO 8601 or in words), in UTC where it names no zone."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        for form in _TIME_FORMATS:
            try:
                return datetime.strptime(value, form).replace(tzinfo=UTC)
            except ValueError:
                continue
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
