"""BEAM ("Beyond a Million Tokens"): each conversation is a bank, each message a document.

Expects a size of BEAM's own repository, such as `chats/100K` (or one conversation of it):
directories with `chat.json` (batches of `turns`, lists of messages with `role`, `content`, `id`)
and `probing_questions/probing_questions.json` (questions by ability). Questions of the ability
`abstention` ask what was never said. Answers are sentences: without a judge, F1 says little.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memsvc.bench.corpus import Corpus, Passage, Question, parse_time
from memsvc.bench.lines import InputError, Line, read_document

_CHAT, _ASKED = "chat.json", Path("probing_questions") / "probing_questions.json"
_NEVER_SAID = "abstention"
_ANSWERS = ("answer", "ideal_response", "ideal_answer", "ideal_summary", "expected_compliance")


def conversations(folder: Path) -> list[Path]:
    """Directories that hold a conversation: the folder itself, or those in it."""
    return [one for one in [folder, *sorted(folder.iterdir())] if (one / _CHAT).is_file()]


def read(folder: Path) -> Corpus:
    """Raises InputError."""
    banks: dict[str, list[Passage]] = {}
    questions: list[Question] = []
    for place in conversations(folder):
        banks[place.name] = _messages(place / _CHAT)
        asked = read_document(place / _ASKED)
        for ability in asked.record:
            parts = enumerate(asked.parts(ability), 1)
            questions += [_question(part, place.name, ability, number) for number, part in parts]
    if not banks:
        raise InputError(f"{folder}: no directory with a {_CHAT}")
    return Corpus(banks, questions)


def _messages(path: Path) -> list[Passage]:
    passages: dict[str, Passage] = {}
    for batch in read_document(path).parts("entry"):
        time = parse_time(str(batch.record.get("time_anchor") or ""))
        for number, turn in enumerate(batch.items("turns"), 1):
            for record in turn if isinstance(turn, list) else [turn]:
                message = batch.part(f"turn {number}", record)
                name = message.id("id")
                while name in passages:  # its ids are not always unique
                    name += "'"
                words = f"{message.text('role')}: {message.text('content', '')}"
                passages[name] = Passage(name, "", words, time)
    return list(passages.values())


def _question(part: Line, bank: str, ability: str, number: int) -> Question:
    never_said = ability == _NEVER_SAID
    said = next((part.text(name) for name in _ANSWERS if part.record.get(name)), None)
    answers = () if never_said else (said,) if said else None
    return Question(
        id=f"{bank}-{ability}-{number}",
        text=part.text("question"),
        answers=answers,
        evidence=() if never_said else tuple(dict.fromkeys(_ids(part.record))),
        bank=bank,
    )


def _ids(record: dict[str, object]) -> Iterator[str]:
    """Message ids, however deep they lie in `source_chat_ids`."""
    left = [record.get("source_chat_ids")]
    while left:
        one = left.pop(0)
        if isinstance(one, dict):
            left = [*one.values(), *left]
        elif isinstance(one, list):
            left = [*one, *left]
        elif isinstance(one, int | str):
            yield str(one)
