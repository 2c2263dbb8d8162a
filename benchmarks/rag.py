"""The other side: what a RAG path needs at least, an embedding of the question and FAISS.

What the vectors are does not matter to the time of a search, so they are random. Knows nothing of
servers or texts.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cached_property

import faiss
import numpy as np
from memsvc_router.minilm import Embedder
from numpy.typing import NDArray

WIDTH, FOUND = 384, 16
_PROBED = 16  # cells of an IVF index that a search visits
_LEARNT = 64  # vectors for each cell that its centres are learnt from
_BLOCK = 1 << 16  # vectors made at a time

Vectors = NDArray[np.float32]


def flat(count: int) -> faiss.Index:
    """An index that compares all of so many vectors."""
    index = faiss.IndexFlatIP(WIDTH)
    _fill(index, count)
    return index


def cells(count: int) -> faiss.Index:
    """An IVF index of about √count cells, of which a search visits 16."""
    lists = max(1, math.isqrt(count))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(WIDTH), WIDTH, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors(min(count, _LEARNT * lists), 0))
    _fill(index, count)
    index.nprobe = _PROBED
    return index


def vectors(count: int, seed: int) -> Vectors:
    """Random ones, fp32 [count, 384]."""
    return np.random.default_rng(seed).standard_normal((count, WIDTH), np.float32)


def _fill(index: faiss.Index, count: int) -> None:
    for at in range(0, count, _BLOCK):
        index.add(vectors(min(_BLOCK, count - at), at))


@dataclass(frozen=True)
class Spent:
    """Milliseconds of a question: its embedding, and the search."""

    embedding: float
    search: float

    @property
    def whole(self) -> float:
        """Both."""
        return self.embedding + self.search


class Rag:
    """FAISS over so many vectors, behind the embedding of a question. Indexes are made when they
    are first asked."""

    def __init__(self, count: int) -> None:
        self._embedder, self._count = Embedder(), count

    def flat(self, question: str) -> Spent:
        """By all vectors."""
        return self._ask(self._flat, question)

    def cells(self, question: str) -> Spent:
        """By 16 cells of an IVF index."""
        return self._ask(self._cells, question)

    @cached_property
    def _flat(self) -> faiss.Index:
        return flat(self._count)

    @cached_property
    def _cells(self) -> faiss.Index:
        return cells(self._count)

    def _ask(self, index: faiss.Index, question: str) -> Spent:
        began = time.perf_counter()
        vector = self._embedder.embed([question])
        embedded = time.perf_counter()
        index.search(vector, FOUND)
        return Spent(1e3 * (embedded - began), 1e3 * (time.perf_counter() - embedded))
