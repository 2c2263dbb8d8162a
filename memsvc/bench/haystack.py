"""Text for needles to lie in: sentences of noise or of any file, cut into passages.

Knows text; nothing of needles, banks or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

from memsvc.bench.corpus import Passage
from memsvc.bench.lines import InputError

NOISE = "noise"
WORDS = 90  # of a passage
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_NOISE = (
    "The kettle is on the stove.",
    "Rain runs down the window.",
    "A cart goes past the mill.",
    "The road bends to the left.",
    "Two gulls sit on the pier.",
    "Bread is cooling on the sill.",
    "The clock in the hall strikes.",
    "Snow lies on the far hills.",
    "Somebody hums in the kitchen.",
    "The gate stays shut at night.",
    "Smoke rises from a chimney.",
    "The river is low this month.",
)


class Haystack:
    """Sentences that passages are made of. `repeats`: passages take them in any order, as often as
    they like; else they go through them from the first to the last, and then again."""

    def __init__(self, sentences: list[str], repeats: bool) -> None:
        self._sentences = sentences
        self._repeats = repeats

    def passages(self, name: str, seed: int) -> Iterator[Passage]:
        """Without end; ids begin with `name`."""
        rng, at = Random(f"{name}/{seed}"), 0
        for number in count():
            taken = self._take(rng, at)
            at = (at + len(taken)) % len(self._sentences)
            yield Passage(f"{name}-{number}", "", " ".join(taken))

    def around(self, needle: str, rng: Random) -> str:
        """A passage with a sentence more, anywhere in it."""
        taken = self._take(rng, rng.randrange(len(self._sentences)))
        place = rng.randint(0, len(taken))
        return " ".join([*taken[:place], needle, *taken[place:]])

    def _take(self, rng: Random, at: int) -> list[str]:
        taken: list[str] = []
        words = 0
        while words < WORDS:
            chosen = rng.randrange(len(self._sentences)) if self._repeats else at + len(taken)
            sentence = self._sentences[chosen % len(self._sentences)]
            words += len(sentence.split())
            taken.append(sentence)
        return taken


def noise() -> Haystack:
    """The same few sentences again and again."""
    return Haystack(list(_NOISE), repeats=True)


def read_haystack(name: str) -> Haystack:
    """`noise`, or any text file (UTF-8). Raises InputError."""
    if name == NOISE:
        return noise()
    sentences = sentences_of(read_text(Path(name)))
    if not sentences:
        raise InputError(f"{name}: holds no text")
    return Haystack(sentences, repeats=False)


def read_text(path: Path) -> str:
    """A UTF-8 file. Raises InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def sentences_of(text: str) -> list[str]:
    """A text's sentences, each on one line."""
    return [" ".join(one.split()) for one in _SENTENCE_END.split(text) if one.strip()]
