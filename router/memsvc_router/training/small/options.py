"""Sizes, rates and weights of training a small model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# Of the losses of routing and of reading, by stage (MSA §5, but for `main`, where both are
# learned by one tower and at once: dev/LOG.md, M4).
STAGES: dict[str, tuple[float, float]] = {
    "warmup": (1.0, 0.1),
    "main": (0.5, 1.0),
    "sft": (0.1, 1.0),
}


@dataclass(frozen=True)
class SmallTraining:
    """Sizes, rates and weights of a run.

    questions: asked in a step; negatives: chunks each is routed against (the best of the whole
    corpus); look_alikes: how often one is read besides the passage itself, where that alone is
    needed (in chains always), out of the first `look_among`; near: documents whose
    blocks a path sees; easiest: share of the loss that a chain's easiest next passage takes;
    stage: what routing and reading weigh in the loss (`STAGES`); reading: whether more than
    routing is trained; dropout: of states in the reader's own layers; masked: share of the texts'
    tokens that are hidden from it; weights: of data sets, or of one type of a set's questions
    (`SET/TYPE`); those not named count by the root of their size, and 0 leaves a set and its
    passages out; words_from: data sets that give a fresh model its word weights (none named: all).
    """

    questions: int = 32
    reader_rate: float = 2.6e-4
    router_rate: float = 1e-3
    head_rate: float = 1e-3
    negatives: int = 192
    temperature: float = 0.05
    look_alikes: float = 0.35
    look_among: int = 8
    near: int = 16
    easiest: float = 0.7
    stage: Literal["warmup", "main", "sft"] = "main"
    reading: bool = True
    dropout: float = 0.0
    masked: float = 0.0
    seed: int = 1
    weights: Mapping[str, float] = field(default_factory=dict)
    words_from: tuple[str, ...] = ()
