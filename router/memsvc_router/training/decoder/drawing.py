"""Which questions a step asks, and which documents stand in its pool. Knows numbers and ids of
rows, no tokens.

A batch is of one data set where that has enough questions: its other documents are the negatives
that are hardest to tell apart, and sets that contradict each other never meet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from memsvc_router.training.rows import Question, TrainingSet

_SCHEDULE, _DRAW = 0, 1  # what a seed is used for


def generator(*seed: int) -> np.random.Generator:
    """Random numbers that depend on these numbers alone."""
    return np.random.default_rng(list(seed))


class Schedule:
    """Batches of questions without end: each once an epoch, in an order of its own."""

    def __init__(self, questions: Sequence[Question], size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._groups: dict[str, list[int]] = defaultdict(list)
        for number, question in enumerate(questions):
            self._groups[question.dataset].append(number)
        self._epoch, self._batches = -1, self._shuffled(0)

    def batch(self, index: int) -> list[int]:
        """Numbers of the questions of a batch, counted from 0 on over all epochs."""
        epoch, at = divmod(index, len(self._batches))
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        return self._batches[at]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        """Every epoch has as many batches."""
        random = generator(self._seed, _SCHEDULE, epoch)
        batches, left = [], []
        for group in self._groups.values():
            order = [group[i] for i in random.permutation(len(group))]
            whole = len(order) // self._size * self._size
            batches += [order[at : at + self._size] for at in range(0, whole, self._size)]
            left += order[whole:]
        left = [left[i] for i in random.permutation(len(left))]
        batches += [left[at : at + self._size] for at in range(0, len(left), self._size)]
        return [batches[i] for i in random.permutation(len(batches))]


class Pool:
    """Chooses a step's documents."""

    def __init__(self, data: TrainingSet, negatives: Sequence[Sequence[int]] | None) -> None:
        """negatives: numbers of passages, mined for each question."""
        self._data, self._index = data, data.index()
        self._negatives = negatives or [()] * len(data.questions)
        self._of_set: dict[str, list[int]] = defaultdict(list)
        for number, passage in enumerate(data.passages):
            self._of_set[passage.dataset].append(number)

    def documents(
        self,
        questions: Sequence[int],
        mined: int,
        cost: Callable[[int], int],
        budget: int,
        random: np.random.Generator,
    ) -> list[int]:
        """Numbers of passages in random order: what the questions need and, beside it, `mined`
        negatives of each and others of their sets (then of any) until they cost the budget."""
        needed = [self._index[name] for q in questions for name in self._data.questions[q].evidence]
        chosen = {number: cost(number) for number in dict.fromkeys(needed)}
        spent = 0
        for number in self._mined(questions, mined, random):
            if number not in chosen:
                spent += chosen.setdefault(number, cost(number))
        sets = dict.fromkeys(self._data.questions[q].dataset for q in questions)
        near = [number for name in sets for number in self._of_set[name]]
        for source in (near, range(len(self._data.passages))):
            for at in random.permutation(len(source)) if spent < budget else ():
                if spent >= budget:
                    break
                if source[at] not in chosen:
                    spent += chosen.setdefault(source[at], cost(source[at]))
        found = list(chosen)
        return [found[i] for i in random.permutation(len(found))]

    def _mined(
        self, questions: Sequence[int], most: int, random: np.random.Generator
    ) -> Iterator[int]:
        for q in questions:
            some: Sequence[int] = self._negatives[q]
            for i in random.permutation(len(some))[:most]:
                yield some[int(i)]


def draw(seed: int, batch: int) -> np.random.Generator:
    """The random numbers of one batch."""
    return generator(seed, _DRAW, batch)
