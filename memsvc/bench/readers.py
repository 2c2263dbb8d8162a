"""Our own format: passages, conversations and questions from JSON lines, sorted into banks.

Plain passages make one bank; each conversation is a bank of its own, its turns the documents.
Knows the files' format; nothing of engines or models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memsvc.bench.corpus import PASSAGES, Corpus, Passage, Question, parse_time
from memsvc.bench.lines import InputError, Line, read_lines


def read_corpus(
    passages: Sequence[Path], questions: Path, limit: int | None = None, answers: bool = False
) -> Corpus:
    """Read files; `limit`: see `Corpus.sample`; `answers`: every question must have the field.

    Banks that no question asks are left out. Raises InputError naming file and line.
    """
    banks = read_passages(passages)
    asked = [_question(line, banks, answers) for line in read_lines(questions)]
    if not asked:
        raise InputError(f"{questions}: no questions")
    return Corpus(banks, asked).sample(limit)


def read_passages(paths: Sequence[Path]) -> dict[str, list[Passage]]:
    """Banks of passages and conversations. Raises InputError."""
    places = _Places()
    for path in paths:
        for line in read_lines(path):
            places.take(line)
    return places.banks


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
    if answerable is False:
        golds: tuple[str, ...] | None = ()
    else:
        golds = line.texts("answers") if "answers" in line.record else None
    return Question(
        id=line.text("id"),
        text=line.text("question"),
        answers=golds and tuple(gold for gold in golds if gold.strip()),
        evidence=tuple(dict.fromkeys(line.texts("evidence"))),
        bank=bank,
    )
