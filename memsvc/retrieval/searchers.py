"""FAISS indexes over vectors that are only ever added to: exact, by cells (IVF), by graph (HNSW).

Entries are rows of the vectors; which of them may be found is a mask given with each question.
Knows vectors of unit length; nothing of documents.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memsvc.retrieval.paths import IndexKind, PathSettings

# Its stubs do not know the keyword arguments that its Python side adds to parameters.
faiss: Any = importlib.import_module("faiss")

_POINTS_PER_CELL = 39  # what FAISS wants at least to train a cell from
_OUTGROWN = 4  # cells are drawn anew once there are so many times more vectors
_GPU_MOST = 1024  # neighbours that a GPU index is asked for
_LINKS, _BUILD_EFFORT = 32, 100

Found = tuple[NDArray[np.int64], NDArray[np.float32]]
Allowed = NDArray[np.bool_] | None


class Vectors:
    """Rows [M, width] in memory that grow by doubling."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._rows = np.empty((0, width), np.float32)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def rows(self) -> NDArray[np.float32]:
        return self._rows[: self._length]

    def extend(self, vectors: NDArray[np.float32]) -> None:
        needed = self._length + len(vectors)
        if needed > len(self._rows):
            grown = np.empty((max(needed, 2 * len(self._rows)), self.width), np.float32)
            grown[: self._length] = self.rows
            self._rows = grown
        self._rows[self._length : needed] = vectors
        self._length = needed


class Searcher(ABC):
    """One FAISS index. `approximate`: may miss the nearest."""

    approximate: bool

    def __init__(self, width: int) -> None:
        self._index: Any = self._empty(width)

    @property
    def count(self) -> int:
        """Vectors taken in."""
        return int(self._index.ntotal)

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Held in memory."""

    def follow(self, vectors: NDArray[np.float32]) -> None:
        """Take in the rows that are new: all vectors, of which the first `count` are known."""
        if len(vectors) > self.count:
            self._index.add(np.ascontiguousarray(vectors[self.count :]))

    def search(
        self, query: NDArray[np.float32], k: int, allowed: Allowed, settings: PathSettings
    ) -> Found:
        """Rows and inner products of the k nearest of those allowed; fewer if no more are met."""
        # The selector keeps a pointer to the bits, not the bits.
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        chosen = None if bits is None else faiss.IDSelectorBitmap(bits)
        scores, rows = self._index.search(query[None], k, params=self._params(settings, chosen))
        met = rows[0] >= 0
        return rows[0][met], scores[0][met]

    @abstractmethod
    def _empty(self, width: int) -> Any: ...

    @abstractmethod
    def _params(self, settings: PathSettings, chosen: Any) -> Any: ...


class Flat(Searcher):
    """Every vector is looked at; by a GPU where faiss-gpu is installed and finds one, as long as
    all may be found: FAISS has no masks there."""

    approximate = False

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self._on_gpu: Any = None
        if faiss.get_num_gpus():
            self._resources = faiss.StandardGpuResources()
            self._on_gpu = faiss.GpuIndexFlatIP(self._resources, width)

    @property
    def bytes(self) -> int:
        return self.count * int(self._index.d) * 4

    def follow(self, vectors: NDArray[np.float32]) -> None:
        super().follow(vectors)
        if self._on_gpu is not None and len(vectors) > self._on_gpu.ntotal:
            self._on_gpu.add(np.ascontiguousarray(vectors[self._on_gpu.ntotal :]))

    def search(
        self, query: NDArray[np.float32], k: int, allowed: Allowed, settings: PathSettings
    ) -> Found:
        if self._on_gpu is None or allowed is not None or k > _GPU_MOST:
            return super().search(query, k, allowed, settings)
        scores, rows = self._on_gpu.search(query[None], k)
        return rows[0], scores[0]

    def _empty(self, width: int) -> Any:
        return faiss.IndexFlatIP(width)

    def _params(self, settings: PathSettings, chosen: Any) -> Any:  # noqa: ARG002
        return None if chosen is None else faiss.SearchParameters(sel=chosen)


class Cells(Searcher):
    """About 4·sqrt(M) cells, of which the `nprobe` nearest are looked into; flat until there are
    vectors enough to draw them from."""

    approximate = True

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self._drawn = 0  # vectors that there were when the cells were drawn; 0: none are
        self._cells = 0

    @property
    def bytes(self) -> int:
        each = int(self._index.d) * 4
        ids = 8 * self.count if self._drawn else 0
        return self.count * each + ids + self._cells * each

    def follow(self, vectors: NDArray[np.float32]) -> None:
        cells = round(4 * sqrt(len(vectors)))
        enough = len(vectors) >= _POINTS_PER_CELL * cells
        if enough and len(vectors) >= _OUTGROWN * self._drawn:
            width = vectors.shape[1]
            centres = faiss.IndexFlatIP(width)
            index = faiss.IndexIVFFlat(centres, width, cells, faiss.METRIC_INNER_PRODUCT)
            index.train(np.ascontiguousarray(vectors))
            self._index = index
            self._drawn, self._cells = len(vectors), cells
        super().follow(vectors)

    def _empty(self, width: int) -> Any:
        return faiss.IndexFlatIP(width)

    def _params(self, settings: PathSettings, chosen: Any) -> Any:
        if not self._drawn:
            return None if chosen is None else faiss.SearchParameters(sel=chosen)
        probes = min(settings.nprobe, self._cells)
        if chosen is None:
            return faiss.SearchParametersIVF(nprobe=probes)
        return faiss.SearchParametersIVF(nprobe=probes, sel=chosen)


class Graph(Searcher):
    """A navigable graph, of which `ef_search` candidates are kept on the way."""

    approximate = True

    @property
    def bytes(self) -> int:
        graph = self._index.hnsw
        links = 4 * graph.neighbors.size() + 8 * graph.offsets.size() + 4 * graph.levels.size()
        return self.count * int(self._index.d) * 4 + int(links)

    def _empty(self, width: int) -> Any:
        index = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _BUILD_EFFORT
        return index

    def _params(self, settings: PathSettings, chosen: Any) -> Any:
        if chosen is None:
            return faiss.SearchParametersHNSW(efSearch=settings.ef_search)
        return faiss.SearchParametersHNSW(efSearch=settings.ef_search, sel=chosen)


_KINDS: dict[IndexKind, type[Searcher]] = {"flat": Flat, "ivf": Cells, "hnsw": Graph}


def make_searcher(kind: IndexKind, width: int) -> Searcher:
    """An empty index of vectors of a width."""
    return _KINDS[kind](width)


def exact(
    vectors: NDArray[np.float32], query: NDArray[np.float32], k: int, allowed: Allowed
) -> Found:
    """The k rows with the highest inner products, by looking at each of those allowed."""
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    scores = vectors[rows] @ query
    best = np.argsort(-scores, kind="stable")[:k]
    return rows[best], scores[best]
