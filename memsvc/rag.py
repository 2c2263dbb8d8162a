"""The plain RAG path: one embedding for each whole document, searched exactly by FAISS.

The embedder is the default model's own backbone before it was trained as a memory, so that what
differs from the MSA path is how documents are found. Knows views and FAISS; nothing of answers.
"""

from __future__ import annotations

import faiss
from memsvc_router.minilm import Embedder

from memsvc.engine import IndexedView
from memsvc.indexing import indexed_texts


class RagIndex:
    """A `Retriever` over the documents that a view showed when it was made."""

    def __init__(self, embedder: Embedder, view: IndexedView) -> None:
        self._embedder = embedder
        self._handles: list[int] = []
        self._index: faiss.IndexFlatIP | None = None
        for handles, texts in indexed_texts(view):
            vectors = embedder.embed(texts)
            if self._index is None:
                self._index = faiss.IndexFlatIP(vectors.shape[1])
            self._index.add(vectors)
            self._handles += handles

    def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:
        """Handles and cosines of the k most similar documents, best first."""
        if self._index is None:
            return []
        scores, rows = self._index.search(self._embedder.embed([query]), min(k, len(self._handles)))
        return [
            (self._handles[row], float(score))
            for row, score in zip(rows[0], scores[0], strict=True)
        ]
