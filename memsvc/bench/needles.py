"""Needle tests in the manner of RULER, made on the spot: what is hidden, asked and right.

Single needles (SA1-3), one among several keys (MK1-3), several values of a key (MV), several keys
in a question (MQ). Knows text; nothing of banks, engines or models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Literal
from uuid import UUID

from memsvc.bench.corpus import Passage, Question
from memsvc.bench.haystack import Haystack

Kind = Literal["word", "number", "uuid"]
Hay = Literal["noise", "text", "words", "uuids"]
_LINES = 6  # needles in a passage that is made of needles
_NUMBERS = 1_000_000, 9_999_999


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words(
    """
    amber brave calm dusty eager faint gentle hollow icy jolly keen lively mellow narrow odd pale
    quiet rapid silent tidy upper vivid warm young zesty ashen blunt crisp dim early fuzzy grand
    humble inner joyful kind lucid misty neat open
    """
)
_SECOND = _words(
    """
    ash birch copper denim ebony flint glass hazel iron jade kelp linen maple nickel oak pearl
    quartz rubber silk tin umber velvet walnut xylem yarn zinc brass coral dust elm felt gold hemp
    ivory jute lace mud opal pine rust
    """
)
_THIRD = _words(
    """
    anchor basket candle drum engine fiddle garden hammer island jacket kettle ladder mirror
    needle orchard pillow quill ribbon saddle tunnel umbrella valley wagon yacht zipper bridge
    cabin dial easel ferry goblet harbor inkwell jar kite lantern meadow nest oven paddle
    """
)


@dataclass(frozen=True)
class Task:
    """`keys` needles of a kind are hidden, of which `asked` are asked for, each with `values`
    values. Hay of `words` or `uuids` is made of needles itself."""

    hay: Hay
    keys: int = 1
    asked: int = 1
    values: int = 1
    key: Kind = "word"
    value: Kind = "number"


TASKS = {
    "SA1": Task("noise"),
    "SA2": Task("text"),
    "SA3": Task("text", value="uuid"),
    "MK1": Task("text", keys=4),
    "MK2": Task("words"),
    "MK3": Task("uuids", key="uuid", value="uuid"),
    "MV": Task("text", values=4),
    "MQ": Task("text", keys=4, asked=4),
}


@dataclass(frozen=True)
class Needle:
    """A value and the key that it is asked for by."""

    key: str
    value: str
    kind: Kind

    @property
    def sentence(self) -> str:
        return f"The special magic {self.kind} for {self.key} is {self.value}."


@dataclass(frozen=True)
class Sample:
    """A question, and the passages that must be in the bank while it is asked."""

    question: Question
    passages: tuple[Passage, ...]


def hidden(task: Task, name: str, haystack: Haystack, rng: Random) -> Sample:
    """Needles in a haystack, each in a passage of its own."""
    keys = _distinct(task.key, task.keys, rng)
    needles = [
        Needle(key, value, task.value)
        for key in keys
        for value in _distinct(task.value, task.values, rng)
    ]
    passages = tuple(
        Passage(f"{name}-{number}", "", haystack.around(needle.sentence, rng))
        for number, needle in enumerate(needles)
    )
    wanted = rng.sample(keys, task.asked)
    found = [(n, p.id) for n, p in zip(needles, passages, strict=True) if n.key in wanted]
    return Sample(
        _question(name, wanted, [n for n, _ in found], [place for _, place in found]), passages
    )


class NeedleHay:
    """Hay that is made of needles: passages for a bank, and questions about what is in it."""

    def __init__(self, task: Task, name: str, seed: int) -> None:
        self._task, self._name = task, name
        self._rng = Random(f"{name}/{seed}")
        self._used: set[str] = set()
        self._needles: list[Needle] = []

    def passages(self) -> Iterator[Passage]:
        """Without end."""
        for number in count():
            lines = [self._needle() for _ in range(_LINES)]
            self._needles += lines
            yield Passage(f"{self._name}-{number}", "", " ".join(one.sentence for one in lines))

    def sample(self, name: str, passages: int, rng: Random) -> Sample:
        """A question about one of the first so many passages."""
        at = rng.randrange(passages * _LINES)
        needle = self._needles[at]
        place = f"{self._name}-{at // _LINES}"
        return Sample(_question(name, [needle.key], [needle], [place]), ())

    def _needle(self) -> Needle:
        key = _one(self._task.key, self._rng)
        while key in self._used:
            key = _one(self._task.key, self._rng)
        self._used.add(key)
        return Needle(key, _one(self._task.value, self._rng), self._task.value)


def share_told(answer: str, values: Sequence[str]) -> float:
    """RULER's score: the share of the values that stand in the answer."""
    return sum(value.lower() in answer.lower() for value in values) / len(values)


def _question(
    name: str, keys: Sequence[str], needles: Sequence[Needle], places: Sequence[str]
) -> Question:
    several = len(needles) > 1
    what = f"special magic {needles[0].kind}{'s' if several else ''}"
    whose = ", ".join(keys[:-1]) + f" and {keys[-1]}" if len(keys) > 1 else keys[0]
    text = f"What {'are all the' if several else 'is the'} {what} for {whose}?"
    return Question(name, text, tuple(needle.value for needle in needles), tuple(places))


def _distinct(kind: Kind, number: int, rng: Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < number:
        found[_one(kind, rng)] = None
    return list(found)


def _one(kind: Kind, rng: Random) -> str:
    if kind == "number":
        return str(rng.randint(*_NUMBERS))
    if kind == "uuid":
        return str(UUID(int=rng.getrandbits(128), version=4))
    return "-".join(rng.choice(words) for words in (_FIRST, _SECOND, _THIRD))
