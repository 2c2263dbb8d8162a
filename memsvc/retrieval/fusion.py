"""Paths made of others: two rankings fused, or one sorted by a cross-encoder.

A reader weighs scores beside its own certainty, and knows them as cosines. So these paths order
documents anew and hand the cosines on in that order: the first has the highest, whichever it is.
Only the order differs from the dense path. Knows retrievers; nothing of indexes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from memsvc_router.api import Retriever

from memsvc.engine import IndexedView
from memsvc.retrieval.ledger import texts_of
from memsvc.retrieval.rerankers import Reranker

RRF_K = 60  # of the method's authors

Ranking = list[tuple[int, float]]


class Hybrid:
    """A `Retriever`: reciprocal-rank fusion of a dense and a keyword path."""

    def __init__(self, dense: Retriever, keywords: Retriever, candidates: int) -> None:
        self._dense, self._keywords = dense, keywords
        self._candidates = candidates

    def retrieve(self, query: str, k: int) -> Ranking:
        """The k best of both, best first."""
        most = max(k, self._candidates)
        near = self._dense.retrieve(query, most)
        worded = self._keywords.retrieve(query, most)
        return _in_order(fuse([near, worded])[:k], near)


class Reranked:
    """A `Retriever`: the dense path's first documents, sorted by a cross-encoder."""

    def __init__(
        self, dense: Retriever, reranker: Reranker, view: IndexedView, candidates: int
    ) -> None:
        self._dense, self._reranker, self._view = dense, reranker, view
        self._candidates = candidates

    def retrieve(self, query: str, k: int) -> Ranking:
        """The k best by the cross-encoder, best first. Raises what `view.texts` raises."""
        near = self._dense.retrieve(query, max(k, self._candidates))
        groups = texts_of(self._view, [handle for handle, _ in near])
        texts = [text for _, group in groups for text in group]
        logits = self._reranker.scores(query, texts)
        ranked = sorted(zip(near, logits, strict=True), key=lambda one: -one[1])
        return _in_order([handle for (handle, _), _ in ranked[:k]], near)


def fuse(rankings: Sequence[Ranking]) -> list[int]:
    """Handles by the sum of 1 / (60 + rank) over rankings, ranks from 1; equals in the
    order of the first ranking that has them."""
    scores: dict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (handle, _) in enumerate(ranking, 1):
            scores[handle] += 1 / (RRF_K + rank)
    return sorted(scores, key=lambda handle: -scores[handle])


def _in_order(handles: list[int], near: Ranking) -> Ranking:
    """Handles in their order, with the scores of the dense ranking in its order. (It is at least as
    long: what keywords add displaces what is near.)"""
    return [(handle, score) for handle, (_, score) in zip(handles, near, strict=False)]
