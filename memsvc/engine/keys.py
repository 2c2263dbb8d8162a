"""Routing keys of a bank in memory, at 8 bits and 4 more, in arrays that grow.

Knows nothing of documents or stores. Legend: C chunks, L router layers, R routing width.
"""

from __future__ import annotations

import numpy as np
from memsvc_kernels import Codes, layer_runs
from numpy.typing import NDArray

from memsvc.engine.growing import Growing


class KeyTable:
    """A bank's keys. Not thread-safe; what `now` returned stays as it is."""

    def __init__(self, layers: int, width: int) -> None:
        self._shape = (layers, width)
        self._runs = layer_runs(layers, width)
        self._codes: list[Growing[np.int8]] = [
            Growing(np.int8, (len(run), width)) for run in self._runs
        ]
        self._scales: Growing[np.float32] = Growing(np.float32, (layers,))
        self._finer: Growing[np.uint8] = Growing(np.uint8, (layers, -(-width // 2)))

    def __len__(self) -> int:
        return len(self._scales)

    @property
    def nbytes(self) -> int:
        """Memory that they take, with their room to grow."""
        return sum(own.nbytes for own in self._codes) + self._scales.nbytes + self._finer.nbytes

    def extend(
        self, codes: NDArray[np.int8], scales: NDArray[np.float32], finer: NDArray[np.uint8]
    ) -> None:
        """Append keys: codes [n, L, R], scales [n, L] and finer [n, L, ceil(R/2)]."""
        for run, own in zip(self._runs, self._codes, strict=True):
            own.extend(codes[:, run])
        self._scales.extend(scales)
        self._finer.extend(finer)

    def now(self) -> Codes:
        """Everything there is at this moment."""
        return Codes([own.rows for own in self._codes], self._scales.rows, self._finer.rows)

    def kept(self, chunks: NDArray[np.bool_]) -> KeyTable:
        """A copy of some chunks, bool [C]."""
        copy = KeyTable(*self._shape)
        for mine, own in zip(copy._codes, self._codes, strict=True):
            mine.extend(own.rows[chunks])
        copy._scales.extend(self._scales.rows[chunks])
        copy._finer.extend(self._finer.rows[chunks])
        return copy
