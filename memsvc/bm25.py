"""The keyword path: Okapi BM25 over whole documents, by bm25s (English stop words, no stemming).

Knows views and bm25s; nothing of answers.
"""

from __future__ import annotations

from typing import cast

import bm25s
import numpy as np

from memsvc.engine import IndexedView
from memsvc.indexing import indexed_texts


class Bm25Index:
    """A `Retriever` over the documents that a view showed when it was made."""

    def __init__(self, view: IndexedView) -> None:
        self._handles: list[int] = []
        words: list[list[str]] = []
        for handles, texts in indexed_texts(view):
            self._handles += handles
            words += _words(texts)
        self._index: bm25s.BM25 | None = None
        if any(words):
            self._index = bm25s.BM25()
            self._index.index(words, show_progress=False)

    def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:
        """Handles and scores of the k best documents, best first; none without a common word."""
        asked = _words([query])[0]
        if self._index is None or not asked:
            return []
        scores = self._index.get_scores(asked)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(self._handles[row], float(scores[row])) for row in best if scores[row] > 0]


def _words(texts: list[str]) -> list[list[str]]:
    words = bm25s.tokenize(texts, return_ids=False, show_progress=False)
    return cast("list[list[str]]", words)  # bm25s' type allows for ids, too
