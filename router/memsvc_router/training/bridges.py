"""Two-hop questions from real passages and the single-hop questions that were asked of them.

Where a question names somebody or something that another passage speaks of, the name is replaced
by what the other passage says of it: then the other must be found first.
Knows sets; nothing of made-up worlds (`chains.py`).
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from memsvc_router.training.rows import Passage, Question, TrainingSet

DATASET = "bridges"
_WORD = re.compile(r"\w[\w’'-]*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-ZÀ-Ý\"(])")
_BRACKETS = re.compile(r"\s*\([^)]*\)$")
_CAPITAL = r"[A-ZÀ-Ý][\w’-]+"
_NAME = re.compile(rf"\b{_CAPITAL}(?: (?:(?:of|de|von|the) )?{_CAPITAL})*")
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
    `familiar`: a name that more passages speak of describes nothing. `cloze`: whether a sentence
    with a blank may stand for the name where no relation is recognised."""

    seed: int = 0
    most: int = 3
    familiar: int = 25
    cloze: bool = True


def make_bridges(found: TrainingSet, options: BridgeOptions = BridgeOptions()) -> TrainingSet:
    """Compose what can be composed. The passages are those of the set; the ids of the questions
    are new. The same set and options make the same questions."""
    rng = random.Random(f"bridges-{options.seed}")
    index = found.index()
    singles = [q for q in found.questions if len(q.evidence) == 1 and q.router_ok and q.gen_ok]
    titles = {q.id: _plain(found.passages[index[q.evidence[0]]].title) for q in singles}
    names = {name for q in singles for name in _candidates(q, titles[q.id])}
    speaking = _speaking(found.passages, names)
    rng.shuffle(singles)
    used: Counter[str] = Counter()
    made: list[Question] = []
    for single in singles:
        gold = found.passages[index[single.evidence[0]]]
        for name in _candidates(single, titles[single.id]):
            spoken = speaking.get(name, [])
            if len(spoken) > options.familiar or name not in f"{gold.title} {gold.text}":
                continue
            about = {name, titles[single.id], ""}
            others = [p for p in spoken if p is not gold and _plain(p.title) not in about]
            rng.shuffle(others)
            composed = _compose(single, gold, name, others, used, options)
            if composed is not None:
                made.append(composed)
                break
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


def _speaking(passages: tuple[Passage, ...], names: set[str]) -> dict[str, list[Passage]]:
    """For each name, the passages whose text has it, and not as a part of a longer one."""
    found: dict[str, list[Passage]] = defaultdict(list)
    for passage in passages:
        for name in set(_NAME.findall(passage.text)) & names:
            found[name].append(passage)
    return found


def _candidates(question: Question, title: str) -> list[str]:
    """Names in a question: of two words and more, or the title of its passage."""
    first, _, rest = question.question.partition(" ")
    named = _NAME.findall(rest if first[:1].isupper() else question.question)
    return [name for name in dict.fromkeys(named) if " " in name or name == title]


def _plain(title: str) -> str:
    """A title without its section and what tells it apart."""
    return _BRACKETS.sub("", title.split(" - ")[0])


def _names(text: str, title: str) -> bool:
    there = len(title) > 2 and title in text  # a pattern costs a hundred times as much
    return there and re.search(rf"\b{re.escape(title)}\b", text) is not None
