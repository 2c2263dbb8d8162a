"""Arrays that grow by rows. Knows nothing of what they hold."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S", bound=np.generic)


class Growing(Generic[S]):
    """An array that grows along its rows by doubling; views of its past stay valid."""

    def __init__(self, dtype: type[S] | np.dtype[S], width: tuple[int, ...] = ()) -> None:
        self._rows: NDArray[S] = np.empty((0, *width), dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def extend(self, rows: NDArray[Any]) -> None:
        """Append rows [n, *width]."""
        needed = self._length + len(rows)
        if needed > len(self._rows):
            grown = np.empty((max(needed, 2 * len(self._rows)), *rows.shape[1:]), self._rows.dtype)
            grown[: self._length] = self._rows[: self._length]
            self._rows = grown
        self._rows[self._length : needed] = rows
        self._length = needed

    @property
    def nbytes(self) -> int:
        """Memory that it takes, with its room to grow."""
        return self._rows.nbytes

    @property
    def rows(self) -> NDArray[S]:
        """A view of all rows there are now."""
        return self._rows[: self._length]
