"""Passages, conversations and questions from files, sorted into banks.

Plain passages make one bank; each conversation is a bank of its own, its turns the documents.
Knows the files' format; nothing of engines or models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from memsvc.bench.lines import InputError, Line, read_lines

PASSAGES = ""  # the bank of plain passages; conversations have their id
_TIME_FORMATS = ("%B-%d-%Y", "%B %d, %Y", "%d %B, %Y", "%I:%M %p on %d %B, %Y")


@dataclass(frozen=True)
class Passage:
    """A document of a bench bank."""

    id: str
    title: str
    text: str
    event_time: datetime | None = None


@dataclass(frozen=True)
class Question:
    """A question to one bank. No `answers`: memory holds none and the right thing is to abstain."""

    id: str
    text: str
    answers: tuple[str, ...]
    evidence: tuple[str, ...]
    bank: str = PASSAGES


@dataclass(frozen=True)
class Corpus:
    """Banks (passages by bank) and the questions to them, in the order of the file."""

    banks: dict[str, list[Passage]]
    questions: list[Question]

    def asked(self, bank: str) -> list[Question]:
        """The questions to one bank."""
        return [question for question in self.questions if question.bank == bank]

    def only(self, wanted: Callable[[Question], bool]) -> Corpus:
        """Some of the questions, with the banks that they ask."""
        kept = [question for question in self.questions if wanted(question)]
        needed = {question.bank for question in kept}
        return Corpus({name: b for name, b in self.banks.items() if name in needed}, kept)

    def missing_evidence(self) -> list[str]:
        """Evidence ids that are in no passage of their question's bank, without repetition."""
        known = {name: {p.id for p in passages} for name, passages in self.banks.items()}
        missing = (e for q in self.questions for e in q.evidence if e not in known[q.bank])
        return list(dict.fromkeys(missing))


def read_corpus(
    passages: Sequence[Path], questions: Path, limit: int | None = None, answers: bool = False
) -> Corpus:
    """Read files; `limit`: the first questions only; `answers`: every question must have the field.

    Banks that no question asks are left out. Raises InputError naming file and line.
    """
    places = _Places()
    for path in passages:
        for line in read_lines(path):
            places.take(line)
    asked: list[Question] = []
    for line in read_lines(questions):
        if limit is not None and len(asked) >= limit:
            break
        asked.append(_question(line, places.banks, answers))
    if not asked:
        raise InputError(f"{questions}: no questions")
    return Corpus(places.banks, asked).only(lambda _: True)


@dataclass
class _Places:
    """Banks as they fill, and where each passage stood first."""

    banks: dict[str, list[Passage]] = field(default_factory=dict)
    _seen: dict[tuple[str, str], tuple[Passage, str]] = field(default_factory=dict)

    def take(self, line: Line) -> None:
        if "turns" not in line.record:
            passage = Passage(line.text("id"), line.text("title", ""), line.text("text"))
            self._put(line, PASSAGES, [passage])
            return
        bank = line.text("id")
        if bank in self.banks:
            raise line.error(f"conversation {bank!r} was read before")
        self._put(line, bank, _turns(line))

    def _put(self, line: Line, bank: str, passages: Iterable[Passage]) -> None:
        filling = self.banks.setdefault(bank, [])
        for passage in passages:
            first, place = self._seen.setdefault((bank, passage.id), (passage, line.place))
            if first is passage:
                filling.append(passage)
            elif first != passage:  # files may overlap, but not contradict each other
                raise line.error(f"{passage.id!r} is another passage than at {place}")


def _turns(line: Line) -> Iterator[Passage]:
    turns = line.record["turns"]
    if not isinstance(turns, list):
        raise line.error("'turns' must be a list")
    ids: set[str] = set()
    for number, record in enumerate(turns):
        if not isinstance(record, dict):
            raise line.error(f"turn {number} is not an object")
        turn = Line(line.path, line.number, record)
        passage = Passage(
            id=turn.text("id"),
            title="",
            text=f"{turn.text('speaker')}: {turn.text('text', '')}",
            event_time=parse_time(turn.text("time", "") if record.get("time") else ""),
        )
        if passage.id in ids:
            raise line.error(f"turn {passage.id!r} is there twice")
        ids.add(passage.id)
        yield passage


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


def _question(line: Line, banks: dict[str, list[Passage]], answers: bool) -> Question:
    bank = line.text("conv", "") if line.record.get("conv") else PASSAGES
    if bank not in banks:
        wanted = f"conversation {bank!r} is" if bank else "plain passages are"
        raise line.error(f"{wanted} in no passages file")
    if answers and "answers" not in line.record and line.record.get("answerable") is not False:
        raise line.error("'answers' is missing (an empty list means: not in memory)")
    answerable = line.record.get("answerable")
    if answerable not in (None, True, False):
        raise line.error("'answerable' must be true or false")
    golds = () if answerable is False else line.texts("answers")
    return Question(
        id=line.text("id"),
        text=line.text("question"),
        answers=tuple(gold for gold in golds if gold.strip()),
        evidence=tuple(dict.fromkeys(line.texts("evidence"))),
        bank=bank,
    )
