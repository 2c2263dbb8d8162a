"""Prose for a bank to grow by: texts of any length, cut into passages at ends of sentences.

Knows files and text; nothing of banks, questions or models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from memsvc.bench.corpus import Passage
from memsvc.bench.haystack import WORDS, read_text, sentences_of
from memsvc.bench.lines import InputError, is_lines, read_lines

_LONG = 2 * WORDS  # words of a "sentence" that is none: tables, listings


@dataclass(frozen=True)
class Text:
    """One text of a file. `name`: its own among all files."""

    name: str
    title: str
    text: str


@dataclass(frozen=True)
class Prose:
    """Texts that passages are cut from, one after another as they are needed."""

    texts: tuple[Text, ...] = ()

    def passages(self, seed: int) -> Iterator[Passage]:
        """Of about 90 words each; the texts come in a seeded order."""
        order = list(self.texts)
        Random(f"prose/{seed}").shuffle(order)
        for text in order:
            for number, part in enumerate(_cut(text.text)):
                yield Passage(f"prose-{text.name}-{number}", text.title, part)

    @cached_property
    def digest(self) -> str:
        """16 hex digits over all texts; "" of none."""
        total = hashlib.sha256()
        for text in self.texts:
            total.update(repr(text).encode())
        return total.hexdigest()[:16] if self.texts else ""


def read_prose(paths: Sequence[Path]) -> Prose:
    """JSON lines with `text`, and `title` where there is one (`.jsonl`, `.jsonl.zst`), or any text
    file (UTF-8). Raises InputError."""
    found: list[Text] = []
    for number, path in enumerate(paths):
        before = len(found)
        if is_lines(path):
            for line in read_lines(path):
                name = f"{number}-{line.number}"
                found.append(Text(name, line.text("title", ""), line.text("text")))
        else:
            found.append(Text(str(number), "", read_text(path)))
        if not any(text.text.strip() for text in found[before:]):
            raise InputError(f"{path}: holds no text")
    return Prose(tuple(found))


def _cut(text: str) -> Iterator[str]:
    taken: list[str] = []
    words = 0
    for sentence in _sentences(text):
        taken.append(sentence)
        words += len(sentence.split())
        if words >= WORDS:
            yield " ".join(taken)
            taken, words = [], 0
    if taken:
        yield " ".join(taken)


def _sentences(text: str) -> Iterator[str]:
    for sentence in sentences_of(text):
        words = sentence.split()
        if len(words) < _LONG:
            yield sentence
        else:
            yield from (" ".join(words[at : at + WORDS]) for at in range(0, len(words), WORDS))
