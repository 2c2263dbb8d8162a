"""The keyword path: Okapi BM25 over whole documents, by bm25s (English stop words, no stemming).

The words of documents are kept, so that a change costs no text but its own: the weights, which
depend on every document, are computed anew. Knows views and bm25s; nothing of answers.
"""

from __future__ import annotations

import threading
import time
from typing import cast

import bm25s
import numpy as np
from numpy.typing import NDArray

from memsvc.engine import IndexedView
from memsvc.retrieval.ledger import Ledger, texts_of


class Bm25Index:
    """The words of one bank, in memory. Thread-safe. `build_seconds`: spent on indexing so far."""

    def __init__(self) -> None:
        self.build_seconds = 0.0
        self._lock = threading.Lock()
        self._ledger = Ledger()
        self._words: list[list[str]] = []
        self._weighed: NDArray[np.int64] | None = None  # the entries that the weights are of
        self._weights: bm25s.BM25 | None = None

    def __len__(self) -> int:
        """Documents whose words are kept."""
        return len(self._words)

    @property
    def bytes(self) -> int:
        """Of the weights."""
        if self._weights is None:
            return 0
        return sum(int(self._weights.scores[name].nbytes) for name in ("data", "indices", "indptr"))

    def search(self, view: IndexedView, query: str, k: int) -> list[tuple[int, float]]:
        """Handles and scores of the k best documents, best first; none without a common word.

        A score is BM25's, as a share of what a document could at most have: between 0 and 1.
        """
        with self._lock:
            self._follow(view)
            placed = self._ledger.place(view.rows())
            weights, entries = self._weights, self._weighed
        asked = tokenize([query])[0]
        if weights is None or entries is None or not asked:
            return []
        scores = weights.get_scores(asked) / _most(weights, asked)
        scores[~placed.allowed[entries]] = 0
        best = _best(scores, placed.precedence[entries], k)
        return placed.found(entries[best], scores[best])

    def follow(self, view: IndexedView) -> None:
        """Bring the index in line with the bank. Raises what `view.texts` raises."""
        with self._lock:
            self._follow(view)

    def _follow(self, view: IndexedView) -> None:
        began = time.perf_counter()
        rows = view.rows()
        if self._ledger.wasteful(rows):
            self._words, self._ledger, self._weighed = [], Ledger(), None
        for handles, texts in texts_of(view, self._ledger.missing(rows)):
            self._words += tokenize(texts)
            self._ledger.add(rows, handles)
        kept = self._ledger.kept(rows)
        if self._weighed is None or not np.array_equal(kept, self._weighed):
            words = [self._words[entry] for entry in kept]
            self._weights = None
            if any(words):
                self._weights = bm25s.BM25()
                self._weights.index(words, show_progress=False)
            self._weighed = kept
            self.build_seconds += time.perf_counter() - began


def tokenize(texts: list[str]) -> list[list[str]]:
    """The words of texts as the keyword paths see them: lower case, without stop words."""
    words = bm25s.tokenize(texts, return_ids=False, show_progress=False)
    return cast("list[list[str]]", words)  # bm25s' type allows for ids, too


def _most(weights: bm25s.BM25, asked: list[str]) -> float:
    """What a document of nothing but the asked words would approach: the sum of their idf."""
    documents = int(weights.scores["num_docs"])
    starts = weights.scores["indptr"]
    ids = [weights.vocab_dict.get(word) for word in asked]
    holding = np.array([0 if i is None else starts[i + 1] - starts[i] for i in ids], np.float64)
    return float(np.log1p((documents - holding + 0.5) / (holding + 0.5)).sum())


def _best(scores: NDArray[np.floating], precedence: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The places of the k highest scores above 0."""
    some = np.flatnonzero(scores > 0)
    best: NDArray[np.int64] = some[np.lexsort((precedence[some], -scores[some]))[:k]]
    return best
