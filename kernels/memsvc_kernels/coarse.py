"""One bit for each dimension of routing keys: a first pass that reads a sixth of their bytes.

Codes are RaBitQ's (Gao & Long, SIGMOD 2024) over rotated keys, by faiss; what the pass names is
scored again by `scan`. Cells of keys (IVF) were measured and lose: half of a key stands for exact
words, which no cell gathers (dev/LOG.md, M5). Knows arrays only. Legend: C chunks, L router layers,
R routing width, M queries.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray


def coarse_serves() -> bool:
    """Whether this faiss has such codes (1.15 and later)."""
    return hasattr(faiss, "IndexRaBitQFastScan") and hasattr(faiss, "HadamardRotation")


class CoarseCodes:
    """Codes of keys in the order of their chunks. Not thread-safe."""

    def __init__(self, keys: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
        """Learn from some keys [n, L, R] and queries [M, L, R]: their mean, and how to weigh the
        layers so that the error of a product is least."""
        sizes = [np.sqrt(np.square(some).sum(-1).mean(0)) + 1e-6 for some in (keys, queries)]
        self._weights = np.sqrt(sizes[1] / sizes[0]).astype(np.float32)[:, None]
        rotation = faiss.HadamardRotation(keys.shape[1] * keys.shape[2])
        codes = faiss.IndexRaBitQFastScan(rotation.d_out, faiss.METRIC_INNER_PRODUCT)
        self._index = faiss.IndexPreTransform(rotation, codes)
        self._parts = (rotation, codes)  # the index does not own them
        self._index.train(self._flat(keys * self._weights))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def nbytes(self) -> int:
        """Memory of the codes."""
        return len(self) * int(self._parts[1].sa_code_size())

    def extend(self, keys: NDArray[np.float32]) -> None:
        """Append keys [n, L, R]."""
        self._index.add(self._flat(keys * self._weights))

    def nearest(self, queries: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """The chunks, ascending, that seem to be among the `count` best of any query [M, L, R]."""
        flat = self._flat(queries / self._weights)
        found = self._index.search(flat, min(count, len(self)))[1] if len(self) else np.empty(0)
        return np.unique(found[found >= 0]).astype(np.int64)

    @staticmethod
    def _flat(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(values.reshape(len(values), -1), np.float32)
