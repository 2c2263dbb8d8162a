"""Whether a router finds more than another, on the same questions to the same documents.

Knows models, passages and questions; nothing of versions or banks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from memsvc_router.api import AskOptions, DocumentText, EncodedDocument, MemoryModel
from memsvc_router.memory import ResidentMemory
from memsvc_router.training.rows import Question, TrainingSet

from memsvc.bench.intervals import interval
from memsvc.bench.metrics import evidence_share, reciprocal_rank

_DEPTH = 10


@dataclass(frozen=True)
class Figures:
    """Means over some questions: recall among the first 1 and 10 (of a question that any of its
    documents answers: whether one is there), and the reciprocal rank of the first."""

    questions: int
    recall_at_1: float
    recall_at_10: float
    mrr: float


@dataclass(frozen=True)
class Verdict:
    """Two routers on the same questions. `difference`: of the reciprocal ranks, mean and 95 %
    bounds of a paired bootstrap; `by_kind`: mean difference for each kind of question."""

    before: Figures
    after: Figures
    difference: tuple[float, float, float]
    by_kind: Mapping[str, float]

    @property
    def better(self) -> bool:
        """Surely better in all, and not worse on what people asked."""
        return self.difference[1] > 0 and self.by_kind.get("feedback", 0.0) >= 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self) | {"better": self.better}


class Judge:
    """Asks routers the questions of a set, each over all passages of its evidence's dataset."""

    def __init__(self, data: TrainingSet, most: int, seed: int) -> None:
        """At most `most` questions, drawn by the seed. Raises ValueError where there is none."""
        if not data.questions:
            raise ValueError("no question was held back to judge by")
        order = np.random.default_rng(seed).permutation(len(data.questions))[:most]
        self.questions = [data.questions[at] for at in sorted(order.tolist())]
        self._passages, self._seed = data.passages, seed
        self._dataset = {one.id: one.dataset for one in data.passages}
        self._blocks: tuple[str, list[EncodedDocument]] | None = None

    def ask(self, model: MemoryModel) -> list[list[str]]:
        """The ids that the model finds for each question, best first."""
        views = self._encoded(model)
        found = []
        for question in self.questions:
            hops = len(question.evidence) if question.every else 1
            options = AskOptions(k=_DEPTH, max_hops=hops)
            view = views[self._dataset[question.evidence[0]]]
            recall = model.recall(view, question.question, options)
            found.append([hit.document_id for hit in recall.hits])
        return found

    def compare(self, before: Sequence[list[str]], after: Sequence[list[str]]) -> Verdict:
        """What two routers found, as `ask` gave it."""
        ranks = [
            [_rank(question, found) for question, found in zip(self.questions, one, strict=True)]
            for one in (before, after)
        ]
        differences = [new - old for old, new in zip(*ranks, strict=True)]
        kinds: dict[str, list[float]] = {}
        for question, difference in zip(self.questions, differences, strict=True):
            kinds.setdefault(question.dataset, []).append(difference)
        return Verdict(
            self._figures(before, ranks[0]),
            self._figures(after, ranks[1]),
            (_mean(differences), *interval(differences, self._seed)),
            {kind: _mean(some) for kind, some in sorted(kinds.items())},
        )

    def _encoded(self, model: MemoryModel) -> dict[str, ResidentMemory]:
        """All passages as the model sees them, by dataset; encoded once for models of one
        identity."""
        digest = model.identity.digest
        texts = [DocumentText(one.title, one.text, one.id) for one in self._passages]
        if self._blocks is None or self._blocks[0] != digest:
            self._blocks = digest, model.encode(texts)
        views = {}
        for dataset in dict.fromkeys(one.dataset for one in self._passages):
            at = [n for n, one in enumerate(self._passages) if one.dataset == dataset]
            names = [self._passages[n].id for n in at]
            blocks = [self._blocks[1][n] for n in at]
            views[dataset] = ResidentMemory(names, [texts[n] for n in at], blocks)
        return views

    def _figures(self, found: Sequence[list[str]], ranks: Sequence[float]) -> Figures:
        pairs = list(zip(self.questions, found, strict=True))
        return Figures(
            len(pairs),
            _mean([_recall(question, one, 1) for question, one in pairs]),
            _mean([_recall(question, one, _DEPTH) for question, one in pairs]),
            _mean(ranks),
        )


def _recall(question: Question, found: Sequence[str], k: int) -> float:
    share = evidence_share(found, question.evidence, k)
    return share if question.every else float(share > 0)


def _rank(question: Question, found: Sequence[str]) -> float:
    return reciprocal_rank(found, question.evidence)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6)
