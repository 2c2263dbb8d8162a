"""Questions within questions: a name in one is replaced by the question that it answers.

"Who founded Orion?" (Mike Medavoy) and "Where was Mike Medavoy born?" make "Where was who founded
Orion born?", with both passages as evidence, the inner one first (the construction of MuSiQue:
Trivedi et al. 2022, §4). Three deep where the inner question was made so itself. Knows sets only.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from memsvc_router.training.rows import Question, TrainingSet

DATASET = "composed"
_NAME = re.compile(r"[A-ZÀ-Ý][\w’'.-]*(?: (?:(?:of|de|von|the) )?[A-ZÀ-Ý][\w’'.-]*){0,3}")
_WORD = re.compile(r"\w[\w’'-]*")
_SHORTEST = 5  # words of an inner question: shorter ones ask for anything
_ASK = ("{q}", "{q}", "the one that is the answer to “{q}”", "({q})")


@dataclass(frozen=True)
class ComposeOptions:
    """`most`: questions around the same name, around the same outer question, and with the same
    inner one; `familiar`: a name that more questions answer or hold says too little."""

    seed: int = 0
    most: int = 3
    familiar: int = 60
    questions: int = 8000


def compose(found: TrainingSet, options: ComposeOptions = ComposeOptions()) -> TrainingSet:
    """Compose two- and three-hop questions. The passages are those of the set; ids are new. The
    same set and options make the same questions."""
    rng = random.Random(f"compose-{options.seed}")
    singles = [q for q in found.questions if q.gen_ok and q.router_ok and len(q.evidence) == 1]
    two = _round(singles, singles, options, rng)
    three = _round([q for q in two if len(q.question) < 160], singles, options, rng)
    share = options.questions // 4
    rng.shuffle(two)
    rng.shuffle(three)
    kept = [*two[: options.questions - min(share, len(three))], *three[:share]]
    named = [replace(q, id=f"{DATASET}-q{n}") for n, q in enumerate(kept)]
    used = {e for q in named for e in q.evidence}
    return TrainingSet(tuple(p for p in found.passages if p.id in used), tuple(named))


def _round(
    inner: Sequence[Question],
    outer: Sequence[Question],
    options: ComposeOptions,
    rng: random.Random,
) -> list[Question]:
    """Every fair pair of an inner and an outer question, in a seeded order, within the limits."""
    answered: dict[str, list[Question]] = defaultdict(list)
    for question in inner:
        if len(_WORD.findall(question.question)) >= _SHORTEST:
            for answer in {a.strip() for a in question.answers}:
                if _NAME.fullmatch(answer) and len(answer) > 3:
                    answered[answer].append(question)
    held = [(question, name) for question in outer for name in _names(question.question)]
    often = Counter(name for _, name in held)
    pairs = [
        (one, two, name)
        for two, name in held
        if often[name] <= options.familiar and len(answered[name]) <= options.familiar
        for one in answered[name]
        if _fair(one, two, name)
    ]
    rng.shuffle(pairs)
    return list(_within(pairs, options.most, rng))


def _within(
    pairs: Sequence[tuple[Question, Question, str]], most: int, rng: random.Random
) -> Iterator[Question]:
    counts: Counter[str] = Counter()
    for one, two, name in pairs:
        keys = (f"name {name}", f"inner {one.id}", f"outer {two.id}")
        if all(counts[key] < most for key in keys):
            counts.update(keys)
            yield _join(one, two, name, rng)


def _names(text: str) -> Iterator[str]:
    """Names that do not open the question."""
    for match in _NAME.finditer(text):
        name = match.group().rstrip(".'")
        if match.start() and not name.isupper():
            yield name


def _fair(one: Question, two: Question, name: str) -> bool:
    """Neither gives the other away, and each needs a passage of its own."""
    inner = one.question.lower()
    apart = not set(one.evidence) & set(two.evidence)
    return apart and name.lower() not in inner and not set(two.answers) & set(one.answers)


def _join(one: Question, two: Question, name: str, rng: random.Random) -> Question:
    words = one.question.rstrip(" ?.")
    words = words[:1].lower() + words[1:]
    asked = two.question.replace(name, rng.choice(_ASK).format(q=words), 1)
    hops = len(one.evidence) + 1
    return replace(
        two,
        id=f"{one.id}+{two.id}",
        dataset=DATASET,
        question=asked,
        evidence=(*one.evidence, *two.evidence),
        every=True,
        type=f"composed{hops}",
    )
