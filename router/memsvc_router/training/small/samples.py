"""What there is to learn from a question: its passages in an order to read them, and its answer.

Knows tokens, not tensors or networks.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from memsvc_router.texts import Piece, tokenize
from memsvc_router.training.rows import Question

_MAX_SPANS = 8
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Sample:
    """One question. `golds` are passage numbers; `every`: all of them are needed; `spans`: the
    characters of the answer in each of them; `answers`: in lower case; `routable`: the question
    alone identifies its passages."""

    question: Piece
    dataset: str
    golds: tuple[int, ...]
    every: bool
    spans: Mapping[int, Spans]
    answers: tuple[str, ...]
    routable: bool

    def complete(self, read: Sequence[int]) -> bool:
        """Whether these passages hold all that the question needs."""
        have = [g in read for g in self.golds]
        return all(have) if self.every else any(have)


def answer_spans(text: str, answers: Sequence[str]) -> Spans:
    """Characters of every occurrence of every answer (case-insensitive), at most 8."""
    low = text.lower()
    found: set[tuple[int, int]] = set()
    for answer in answers:
        needle = answer.lower().strip()
        at = low.find(needle) if needle else -1
        while at >= 0 and len(found) < _MAX_SPANS:
            found.add((at, at + len(needle)))
            at = low.find(needle, at + 1)
    return tuple(sorted(found))


def kind_of(row: Question) -> str:
    """A question's data set and type, as a weight names them."""
    return f"{row.dataset}/{row.type}"


def make_samples(
    questions: Sequence[Question],
    number: Mapping[str, int],
    text: Callable[[int], str],
    tokenizer: Tokenizer,
    weighed: Collection[str] = (),
) -> list[Sample]:
    """Samples of the questions that teach anything: where to look, or where the answer stands.

    weighed: data sets, and types of their questions (`SET/TYPE`), that have a weight; such a type
    is a data set of its own.
    """
    pieces = tokenize(tokenizer, [q.question for q in questions])
    found = []
    for row, piece in zip(questions, pieces, strict=True):
        golds = tuple(dict.fromkeys(number[e] for e in row.evidence))
        spans = {g: answer_spans(text(g), row.answers) for g in golds} if row.gen_ok else {}
        spans = {g: s for g, s in spans.items() if s}
        if piece.ids and (spans or row.router_ok):
            answers = tuple(a.lower() for a in row.answers if len(a) > 1)
            kind = kind_of(row)
            dataset = kind if kind in weighed else row.dataset
            found.append(Sample(piece, dataset, golds, row.every, spans, answers, row.router_ok))
    return found


class Mix:
    """An endless sequence of samples: data sets by weight, each gone through before it repeats.

    Which sample stands at a position depends on the seed and the position alone.
    """

    _ROUND = 16384

    def __init__(self, samples: Sequence[Sample], weights: Mapping[str, float], seed: int) -> None:
        """Sets without a weight count by the root of their size.

        Raises ValueError if there are no samples.
        """
        if not samples:
            raise ValueError("no question to learn from; expected at least one with evidence")
        self._by_set: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._by_set[sample.dataset].append(sample)
        given: dict[str, float] = {
            n: weights.get(n, len(rows) ** 0.5) for n, rows in self._by_set.items()
        }
        total = sum(given.values())
        self._share = {n: round(self._ROUND * w / total) for n, w in sorted(given.items())}
        self._seed, self._round = seed, -1
        self._rows: list[Sample] = []
        self._orders: dict[tuple[str, int], list[int]] = {}

    def at(self, position: int) -> Sample:
        """The sample at a position."""
        number, offset = divmod(position, sum(self._share.values()))
        if number != self._round:
            self._round, self._rows = number, self._fill(number)
        return self._rows[offset]

    def _fill(self, number: int) -> list[Sample]:
        """All samples of one round of the sequence."""
        rows: list[Sample] = []
        for name, share in self._share.items():
            size = len(self._by_set[name])
            for place in range(number * share, (number + 1) * share):
                cycle, at = divmod(place, size)
                rows.append(self._by_set[name][self._order(name, cycle, size)[at]])
        random.Random(f"{self._seed}/{number}").shuffle(rows)
        return rows

    def _order(self, name: str, cycle: int, size: int) -> list[int]:
        key = (name, cycle)
        if key not in self._orders:
            self._orders[key] = list(range(size))
            random.Random(f"{self._seed}/{name}/{cycle}").shuffle(self._orders[key])
        return self._orders[key]
