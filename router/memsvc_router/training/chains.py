"""Training sets of multi-hop questions over a made-up world, as hard as is asked for.

Difficulty is how many passages a question takes, how many passages look alike, and how freely it
is worded. Knows nothing of real texts (`bridges.py` makes chains from those).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from memsvc_router.training.articles import link_back, write_article
from memsvc_router.training.asking import Asked, Asker
from memsvc_router.training.naming import WorldOptions
from memsvc_router.training.rows import Passage, Question, TrainingSet, holds_answer
from memsvc_router.training.world import World

DATASET = "chains"
MIX: Mapping[str, float] = {
    "compositional": 0.42,
    "inference": 0.08,
    "comparison": 0.14,
    "bridge_comparison": 0.14,
    "chain3": 0.14,
    "chain4": 0.08,
}
"""Shares of the types of questions: two to four passages each."""


@dataclass(frozen=True)
class ChainOptions:
    """`questions`: how many. `lookalikes`: see WorldOptions. `crowd`: how many persons the world
    has for each question, which is how many passages compete. `mix`: shares of the types."""

    questions: int
    seed: int = 0
    lookalikes: float = 0.3
    crowd: float = 0.5
    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    taken: frozenset[str] = frozenset()


def make_chains(options: ChainOptions) -> TrainingSet:
    """Make a world, write its articles, ask about them. The same options make the same set.

    Raises ValueError: an unknown type in the mix; a world too small for what is asked.
    """
    rng = random.Random(f"chains-{options.seed}")
    persons = max(120, int(options.questions * options.crowd))
    world = World(WorldOptions(persons, options.seed, options.lookalikes, options.taken))
    entities = [entity for kind in world.kinds.values() for entity in kind]
    works_of = link_back(entities)
    articles = [write_article(entity, rng, works_of(entity)) for entity in entities]
    asker = Asker(articles, rng)
    unknown = set(options.mix) - set(asker.types)
    if unknown:
        raise ValueError(f"no such type {min(unknown)!r}; there are {', '.join(asker.types)}")
    name = f"{DATASET}{options.seed}"
    ids = {id(article): f"{name}:p{number}" for number, article in enumerate(articles)}
    questions: dict[str, Question] = {}
    types, shares = list(options.mix), list(options.mix.values())
    while len(questions) < options.questions:
        asked = asker.draw(rng.choices(types, shares)[0])
        row = _row(f"{name}:q{len(questions)}", asked, ids)
        questions.setdefault(asked.question, row)
    passages = [Passage(ids[id(a)], DATASET, a.entity.title, a.text) for a in articles]
    rng.shuffle(passages)
    return TrainingSet(tuple(passages), tuple(questions.values()))


def _row(name: str, asked: Asked, ids: Mapping[int, str]) -> Question:
    return Question(
        id=name,
        dataset=DATASET,
        question=asked.question,
        answers=(asked.answer,),
        evidence=tuple(ids[id(article)] for article in asked.path),
        every=True,
        router_ok=True,
        gen_ok=asked.answer not in ("yes", "no")
        and any(holds_answer(article.text, [asked.answer]) for article in asked.path),
        type=asked.type,
    )
