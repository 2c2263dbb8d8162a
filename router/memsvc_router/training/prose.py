"""Self-supervision: questions made from raw texts that nobody asked about.

Three kinds: a sentence finds the passage that it was taken from (inverse cloze); a sentence with a
name blanked finds its passage and the name (entity cloze); a sentence finds its passage, and that
one the next of the same text (neighbours). Knows texts; nothing of tokens or models.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from memsvc_router.training.lines import is_lines, read_lines
from memsvc_router.training.rows import DataError, Passage, Question, TrainingSet

KINDS = ("inverse_cloze", "entity_cloze", "neighbours")
_ENDS = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[A-ZÀ-Ý0-9])")
_CAPITAL = r"[A-ZÀ-Ý][\w’'-]+"
_NAME = re.compile(rf"(?<![.!?“\"'] )(?<!^)\b{_CAPITAL}(?: (?:of |de |von )?{_CAPITAL})*")
_BLANK = "___"
_TEXT_FILES = (".txt", ".md")


@dataclass(frozen=True)
class ProseOptions:
    """`passage_words`: how long a passage is cut, at a sentence's end. `per_passage`: questions of
    each kind. `keep`: in so many cases a sentence stays in its passage (words in common count
    then, too). `shortest`: words that a sentence must have."""

    seed: int = 0
    passage_words: int = 110
    per_passage: int = 1
    keep: float = 0.1
    shortest: int = 7
    kinds: tuple[str, ...] = KINDS


@dataclass(frozen=True)
class Prose:
    """A raw text."""

    id: str
    title: str
    text: str


def read_prose(paths: Sequence[Path]) -> Iterator[Prose]:
    """Texts of JSON lines (`id`, `text`, perhaps `title`), of text files, or of folders of those.

    Raises DataError: a file that cannot be read, or is none of these.
    """
    for path in paths:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix in _TEXT_FILES and p.is_file())
            if not files:
                raise DataError(f"{path}: no {' or '.join(_TEXT_FILES)} files in it")
            for file in files:
                yield _file(file, str(file.relative_to(path)))
        elif is_lines(path):
            for line in read_lines(path):
                title = line.text("title", "") if line.record.get("title") else ""
                yield Prose(line.id("id"), title, line.text("text"))
        elif path.suffix in _TEXT_FILES:
            yield _file(path, path.name)
        else:
            raise DataError(f"{path}: expected .jsonl[.zst], .txt, .md, or a folder of texts")


def make_prose(texts: Iterable[Prose], options: ProseOptions = ProseOptions()) -> TrainingSet:
    """Cut texts into passages and make questions. The same texts and options make the same set.

    Raises ValueError: an unknown kind.
    """
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        raise ValueError(f"no such kind {min(unknown)!r}; there are {', '.join(KINDS)}")
    maker = _Maker(options)
    for text in texts:
        maker.take(text)
    return TrainingSet(tuple(maker.passages), tuple(maker.questions))


class _Maker:
    """Passages and questions as they come about."""

    def __init__(self, options: ProseOptions) -> None:
        self._options, self._rng = options, random.Random(f"prose-{options.seed}")
        self.passages: list[Passage] = []
        self.questions: list[Question] = []

    def take(self, text: Prose) -> None:
        cut = list(_passages(text.text, self._options.passage_words))
        ids = [f"prose:{text.id}#{number}" for number in range(len(cut))]
        for number, sentences in enumerate(cut):
            usable = [s for s in sentences if len(s.split()) >= self._options.shortest]
            asked = self._rng.sample(usable, min(len(usable), self._options.per_passage))
            kept = sentences
            if len(sentences) > 2 and "inverse_cloze" in self._options.kinds:
                kept = self._inverse(asked, sentences, ids[number])
            gone = {s for s in asked if s not in kept}
            self._entities([s for s in usable if s not in gone], ids[number])
            if number + 1 < len(cut):
                self._neighbours([s for s in usable if s not in gone], ids[number : number + 2])
            body = " ".join(kept)
            self.passages.append(Passage(ids[number], "prose", text.title, body))

    def _inverse(self, asked: Sequence[str], sentences: list[str], passage: str) -> list[str]:
        """Ask with sentences; returns what remains of the passage."""
        remain = list(sentences)
        for sentence in asked:
            self._ask("inverse_cloze", sentence, (), (passage,))
            if self._rng.random() >= self._options.keep and len(remain) > 2:
                remain.remove(sentence)
        return remain

    def _entities(self, usable: Sequence[str], passage: str) -> None:
        if "entity_cloze" not in self._options.kinds:
            return
        named = [(s, found) for s in usable if (found := list(_NAME.finditer(s)))]
        for sentence, found in self._rng.sample(named, min(len(named), self._options.per_passage)):
            name = self._rng.choice(found)
            blanked = sentence[: name.start()] + _BLANK + sentence[name.end() :]
            self._ask("entity_cloze", blanked, (name[0],), (passage,))

    def _neighbours(self, usable: Sequence[str], passages: Sequence[str]) -> None:
        if "neighbours" not in self._options.kinds:
            return
        for sentence in self._rng.sample(usable, min(len(usable), self._options.per_passage)):
            self._ask("neighbours", sentence, (), tuple(passages))

    def _ask(
        self, kind: str, question: str, answers: tuple[str, ...], evidence: tuple[str, ...]
    ) -> None:
        name = f"prose:{kind}:{len(self.questions)}"
        row = Question(name, "prose", question, answers, evidence, True, True, bool(answers), kind)
        self.questions.append(row)


def _file(path: Path, name: str) -> Prose:
    try:
        return Prose(name, "", path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from None


def _passages(text: str, words: int) -> Iterator[list[str]]:
    """Sentences, as many together as reach a number of words."""
    held: list[str] = []
    size = 0
    for sentence in _ENDS.split(" ".join(text.split())):
        if not sentence:
            continue
        held.append(sentence)
        size += len(sentence.split())
        if size >= words:
            yield held
            held, size = [], 0
    if held:
        yield held
