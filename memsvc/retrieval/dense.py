"""The dense path: one embedding for each whole document, searched by FAISS.

An index belongs to one bank and one embedder. It follows the bank: before each question what is new
is embedded and what is gone is left out. Knows views, embedders and FAISS; nothing of answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from memsvc.engine import IndexedView
from memsvc.retrieval.embedders import TextEmbedder
from memsvc.retrieval.errors import DimensionMismatch
from memsvc.retrieval.ledger import Ledger, Placed, texts_of
from memsvc.retrieval.paths import IndexKind, PathSettings
from memsvc.retrieval.searchers import Searcher, Vectors, exact, make_searcher
from memsvc.retrieval.vectorfile import VectorFile

_LOG = logging.getLogger("memsvc.retrieval")
Write = Callable[[VectorFile, NDArray[np.int64], NDArray[np.float32]], None]


class DenseIndex:
    """The vectors of one bank by one embedder, in memory and, with a file, on disk. Thread-safe.
    `build_seconds`: spent on embedding and indexing so far."""

    def __init__(self, embedder: TextEmbedder, file: VectorFile | None = None) -> None:
        """Raises DimensionMismatch where the file holds vectors of another width."""
        self.build_seconds = 0.0
        self._embedder, self._file = embedder, file
        self._lock = threading.Lock()
        self._searchers: dict[IndexKind, Searcher] = {}
        keys, vectors = file.load() if file is not None else (None, None)
        self._ledger = Ledger(keys)
        self._vectors = Vectors(embedder.dimension)
        if vectors is not None:
            self._vectors.extend(vectors)

    def bytes(self, kind: IndexKind) -> int:
        """What the index of a kind holds in memory, its copy of the vectors included."""
        with self._lock:
            searcher = self._searchers.get(kind)
            return searcher.bytes if searcher is not None else 0

    def follow(self, view: IndexedView, kind: IndexKind) -> None:
        """Bring the index in line with the bank. Raises what `view.texts` raises, and
        DimensionMismatch."""
        with self._lock:
            self._follow(view, kind)

    def search(
        self, view: IndexedView, settings: PathSettings, query: str, k: int
    ) -> list[tuple[int, float]]:
        """Handles and cosines of the k most similar documents that the view shows, best first."""
        vector = self._embedder.query(query)
        with self._lock:
            searcher = self._follow(view, settings.index)
            placed = self._ledger.place(view.rows())
            k = min(k, int(placed.allowed.sum()))
            if k == 0:
                return []
            return placed.found(*self._nearest(searcher, settings, vector, k, placed))

    def _nearest(
        self,
        searcher: Searcher,
        settings: PathSettings,
        query: NDArray[np.float32],
        k: int,
        placed: Placed,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        allowed = None if placed.all_allowed else placed.allowed
        if allowed is not None and searcher.approximate and _is_selective(allowed):
            return exact(self._vectors.rows, query, k, allowed)
        entries, scores = searcher.search(query, k, allowed, settings)
        if len(entries) < k and searcher.approximate:  # the graph or the cells did not reach k
            return exact(self._vectors.rows, query, k, placed.allowed)
        return entries, scores

    def _follow(self, view: IndexedView, kind: IndexKind) -> Searcher:
        began = time.perf_counter()
        rows = view.rows()
        if self._ledger.wasteful(rows):
            self._compact(self._ledger.kept(rows))
        for handles, texts in texts_of(view, self._ledger.missing(rows)):
            vectors = self._embed(texts)
            self._keep(VectorFile.append, rows.keys[handles], vectors)
            self._vectors.extend(vectors)
            self._ledger.add(rows, handles)
        searcher = self._searchers.get(kind)
        if searcher is None or searcher.count < len(self._vectors):
            searcher = self._searchers.setdefault(kind, make_searcher(kind, self._vectors.width))
            searcher.follow(self._vectors.rows)
            self.build_seconds += time.perf_counter() - began
        return searcher

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        vectors = self._embedder.documents(texts)
        if vectors.shape != (len(texts), self._vectors.width):
            raise DimensionMismatch(
                f"the embedder {self._embedder.name} made vectors of shape {vectors.shape} of "
                f"{len(texts)} texts; its index holds {self._vectors.width} numbers for each"
            )
        return vectors

    def _keep(self, write: Write, keys: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Write to the file, if there is one. What cannot be kept is embedded anew after a restart,
        which is no reason to leave a question unanswered."""
        if self._file is not None:
            try:
                write(self._file, keys, vectors)
            except OSError as error:
                _LOG.warning("%s cannot be written to: %s", self._file.path, error)

    def _compact(self, kept: NDArray[np.int64]) -> None:
        """Make the index anew without the dead."""
        keys = self._ledger.keys()[kept]
        vectors = self._vectors.rows[kept]
        self._keep(VectorFile.rewrite, keys, vectors)
        self._ledger = Ledger(keys)
        self._vectors = Vectors(self._vectors.width)
        self._vectors.extend(vectors)
        self._searchers = {}


def _is_selective(allowed: NDArray[np.bool_]) -> bool:
    """Whether so few may be found that a graph or a few cells would mostly meet the others, and
    looking at each of them is cheap."""
    return int(allowed.sum()) * 20 <= len(allowed)
