"""Two-hop questions from real passages and the single-hop questions that were asked of them.

Where a question names the title of its passage, and another passage speaks of that title, the
title is replaced by what the other passage says of it: then the other must be found first.
Knows sets; nothing of made-up worlds (`chains.py`).
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from memsvc_router.training.rows import Passage, Question, TrainingSet

DATASET = "bridges"
_WORD = re.compile(r"\w[\w’'-]*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-ZÀ-Ý\"(])")
_BRACKETS = re.compile(r"\s*\([^)]*\)$")
_LONGEST = 6  # words of a title
_BLANK = "___"
_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"\bdirected by {t}\b", "the director of {a}"),
    (r"\bproduced by {t}\b", "the producer of {a}"),
    (r"\b(?:sung|performed|recorded|single) by [^.,;]{{0,60}}{t}\b", "the performer of {a}"),
    (r"\bcomposed by {t}\b", "the composer of {a}"),
    (r"\b(?:written|novel|book|play) by [^.,;]{{0,30}}{t}\b", "the writer of {a}"),
    (r"\b(?:founded|established) by {t}\b", "the founder of {a}"),
    (r"\bpublished by {t}\b", "the publisher of {a}"),
    (r"\bborn [^.;]{{0,40}}\bin {t}\b", "the place where {a} was born"),
    (r"\bdied [^.;]{{0,40}}\bin {t}\b", "the place where {a} died"),
    (r"\b(?:son|daughter) of {t}\b", "the parent of {a}"),
    (r"\b(?:married|wife of|husband of) {t}\b", "the spouse of {a}"),
    (r"\b(?:located|situated) [^.;]{{0,30}}\bin [^.;]{{0,30}}{t}\b", "the place where {a} is"),
    (r"\b(?:headquartered|based) in {t}\b", "the place where {a} is based"),
    (r"\b(?:educated at|graduated from|attended|studied at) {t}\b", "the school of {a}"),
    (r"\bcapital [^.;]{{0,20}}\b(?:is|was) {t}\b", "the capital of {a}"),
)


@dataclass(frozen=True)
class BridgeOptions:
    """`most`: questions with the same passage at the bridge or the same first passage.
    `familiar`: a title that more passages speak of describes nothing. `cloze`: whether a sentence
    with a blank may stand for the title where no relation is recognised."""

    seed: int = 0
    most: int = 3
    familiar: int = 25
    cloze: bool = True


def make_bridges(found: TrainingSet, options: BridgeOptions = BridgeOptions()) -> TrainingSet:
    """Compose what can be composed. The passages are those of the set; the ids of the questions
    are new. The same set and options make the same questions."""
    rng = random.Random(f"bridges-{options.seed}")
    index = found.index()
    speaking = _speaking(found.passages)
    singles = [q for q in found.questions if len(q.evidence) == 1 and q.router_ok and q.gen_ok]
    rng.shuffle(singles)
    used: Counter[str] = Counter()
    made: list[Question] = []
    for single in singles:
        gold = found.passages[index[single.evidence[0]]]
        title = _plain(gold.title)
        if not _names(single.question, title) or len(speaking[title]) > options.familiar:
            continue
        others = [p for p in speaking[title] if _plain(p.title) not in ("", title)]
        rng.shuffle(others)
        composed = _compose(single, gold, title, others, used, options)
        if composed is not None:
            made.append(composed)
    return TrainingSet(found.passages, tuple(made))


def _compose(
    single: Question,
    gold: Passage,
    title: str,
    others: list[Passage],
    used: Counter[str],
    options: BridgeOptions,
) -> Question | None:
    if used[gold.id] >= options.most:
        return None
    for cloze in (False, True)[: 1 + options.cloze]:
        for other in others:
            if used[other.id] >= options.most or _names(single.question, _plain(other.title)):
                continue
            if any(answer.lower() in other.text.lower() for answer in single.answers):
                continue  # one passage would do
            asked = _reworded(single.question, title, other, cloze)
            if asked is not None:
                used.update((gold.id, other.id))
                return Question(
                    f"{DATASET}:{single.id}", DATASET, asked, single.answers, (other.id, gold.id),
                    True, True, True, "bridge_cloze" if cloze else "bridge",
                )  # fmt: skip
    return None


def _reworded(question: str, title: str, other: Passage, cloze: bool) -> str | None:
    """The question without the title."""
    name = re.compile(rf"\b{re.escape(title)}\b")
    if cloze:
        sentences = [s for s in _SENTENCE.split(other.text) if name.search(s)]
        if not sentences or len(sentences[0]) > 240 or len(_WORD.findall(sentences[0])) < 8:
            return None
        return f"{name.sub(_BLANK, sentences[0]).strip()} {name.sub(_BLANK, question)}"
    for pattern, description in _PATTERNS:
        if re.search(pattern.format(t=re.escape(title)), other.text):
            said = description.format(a=_plain(other.title))
            return name.sub(said.replace("\\", r"\\"), question)
    return None


def _speaking(passages: tuple[Passage, ...]) -> dict[str, list[Passage]]:
    """For each title, the passages of other titles whose text has it."""
    titles = {_plain(passage.title) for passage in passages}
    found: dict[str, list[Passage]] = defaultdict(list)
    for passage in passages:
        for name in set(_runs(passage.text)) & titles:
            if name != _plain(passage.title):
                found[name].append(passage)
    return found


def _runs(text: str) -> Iterator[str]:
    """Everything in a text that could be a title: from a capital letter, some words on."""
    words = list(_WORD.finditer(text))
    for at, first in enumerate(words):
        if first[0][0].isupper():
            for last in words[at : at + _LONGEST]:
                yield text[first.start() : last.end()]


def _plain(title: str) -> str:
    """A title without what tells it apart."""
    return _BRACKETS.sub("", title)


def _names(text: str, title: str) -> bool:
    there = len(title) > 2 and title in text  # a pattern costs a hundred times as much
    return there and re.search(rf"\b{re.escape(title)}\b", text) is not None
