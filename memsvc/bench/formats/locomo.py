"""LoCoMo: each conversation is a bank, each turn a document.

Expects `locomo10.json` (LoCoMo's own repository): a list of samples with `sample_id`,
`conversation` (`session_1`, `session_1_date_time`, …; turns with `speaker`, `dia_id`, `text`) and
`qa` (`question`, `answer`, `evidence` of dia_ids, `category`). Category 5 asks what was never said:
the right thing is to abstain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from memsvc.bench.corpus import Corpus, Passage, Question, parse_time
from memsvc.bench.lines import Line, read_records

_SESSION = re.compile(r"session_\d+")
_NEVER_SAID = 5


def read(path: Path) -> Corpus:
    """Raises InputError."""
    banks: dict[str, list[Passage]] = {}
    questions: list[Question] = []
    for sample in read_records(path):
        bank = sample.id("sample_id")
        if bank in banks:
            raise sample.error(f"conversation {bank!r} was read before")
        banks[bank] = list(_turns(sample.part("conversation", sample.record.get("conversation"))))
        asked = sample.parts("qa")
        questions += [_question(part, bank, number) for number, part in enumerate(asked, 1)]
    return Corpus(banks, questions)


def _turns(talk: Line) -> Iterator[Passage]:
    for name in filter(_SESSION.fullmatch, talk.record):
        time = parse_time(talk.text(f"{name}_date_time", ""))
        for turn in talk.parts(name):
            words = f"{turn.text('speaker')}: {turn.text('text', '')}"
            if turn.record.get("blip_caption"):
                words += f" [shows a picture: {turn.text('blip_caption')}]"
            yield Passage(turn.id("dia_id"), "", words, time)


def _question(part: Line, bank: str, number: int) -> Question:
    never_said = part.record.get("category") == _NEVER_SAID
    named = [one for item in part.texts("evidence") for one in re.split(r"[;,\s]+", item) if one]
    return Question(
        id=f"{bank}-{number}",
        text=part.text("question"),
        answers=() if never_said else (part.id("answer"),),
        evidence=() if never_said else tuple(dict.fromkeys(named)),
        bank=bank,
    )
