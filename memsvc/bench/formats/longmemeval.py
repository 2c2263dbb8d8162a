"""LongMemEval: each question has a bank of its own, its haystack; each turn is a document.

Expects `longmemeval_s.json`, `longmemeval_m.json` or `longmemeval_oracle.json` (LongMemEval's own
repository): a list with `question_id`, `question`, `answer`, `haystack_session_ids`,
`haystack_dates`, `haystack_sessions` (turns with `role`, `content`, `has_answer`) and
`answer_session_ids`. Ids that end in `_abs` ask what was never said. An answer session without a
marked turn, or one that is not in the haystack, counts as missing evidence.
"""

from __future__ import annotations

from pathlib import Path

from memsvc.bench.corpus import Corpus, Passage, Question, parse_time
from memsvc.bench.lines import Line, read_records

_NEVER_SAID = "_abs"


def read(path: Path) -> Corpus:
    """Raises InputError."""
    banks: dict[str, list[Passage]] = {}
    questions: list[Question] = []
    for entry in read_records(path):
        name = entry.id("question_id")
        if name in banks:
            raise entry.error(f"question {name!r} was read before")
        banks[name], marked = _haystack(entry)
        never_said = name.endswith(_NEVER_SAID)
        wanted = () if never_said else entry.texts("answer_session_ids")
        evidence = [one for session in wanted for one in marked.get(session) or [session]]
        questions.append(
            Question(
                id=name,
                text=entry.text("question"),
                answers=() if never_said else (entry.id("answer"),),
                evidence=tuple(dict.fromkeys(evidence)),
                bank=name,
            )
        )
    return Corpus(banks, questions)


def _haystack(entry: Line) -> tuple[list[Passage], dict[str, list[str]]]:
    """Its turns, and for each session the turns that are marked as holding the answer."""
    ids, dates = entry.texts("haystack_session_ids"), entry.texts("haystack_dates")
    sessions = entry.items("haystack_sessions")
    if not len(ids) == len(dates) == len(sessions):
        raise entry.error("haystack ids, dates and sessions must be as many")
    passages: dict[str, Passage] = {}
    marked: dict[str, list[str]] = {}
    for session, date, turns in zip(ids, dates, sessions, strict=True):
        if not isinstance(turns, list):
            raise entry.error(f"session {session!r} must be a list of turns")
        for number, record in enumerate(turns):
            turn = entry.part(f"session {session}, turn {number}", record)
            name = f"{session}:{number}"
            words = f"{turn.text('role')}: {turn.text('content', '')}"
            passages[name] = Passage(name, "", words, parse_time(date))
            if turn.record.get("has_answer"):
                marked.setdefault(session, []).append(name)
    return list(passages.values()), marked
