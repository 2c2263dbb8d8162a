"""Routing keys of a bank in memory: near at 8 bits for the scan, exact where there is room.

A small bank has its keys as they are, and is routed by them. A larger one is scanned by codes of 8
bits, and only the best documents are scored exactly; beyond a bound in bytes exact keys are left
where they rest, and read for those few. Knows nothing of documents or stores.
Legend: C chunks, L router layers, R routing width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from memsvc_kernels import route, route_layer
from memsvc_kernels.scan import (
    Codes,
    ExactKeys,
    Routed,
    quantise,
    route_codes,
    route_layer_codes,
)
from memsvc_router.api import RouteRule
from numpy.typing import NDArray

from memsvc.engine.growing import Growing

_SCANNED = 1024  # chunks; below, exact products are as fast
_GROUP = 65536  # chunks at a time: bounds what taking keys in holds twice


@dataclass(frozen=True)
class Owners:
    """Whose chunks they are: chunk_slot [C] ascending, allowed [N], precedence [N] (of documents of
    equal score, the lowest goes first)."""

    chunk_slot: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    precedence: NDArray[np.int64]


@dataclass(frozen=True)
class KeyRows:
    """One moment of a table: exact keys [C, L, R] if they are in memory, codes if there are any
    (one of them there is)."""

    rows: NDArray[np.floating] | None
    codes: Codes | None

    def route(
        self, queries: NDArray[np.float32], owners: Owners, k: int, exact: ExactKeys
    ) -> Routed:
        """Route queries [M, L, R] whose layers the model has weighed; `exact` reads keys."""
        rest = (owners.chunk_slot, owners.allowed, k, owners.precedence)
        if self.codes is not None:
            return route_codes(queries, self.codes, exact, *rest)
        assert self.rows is not None
        flat = self.rows.reshape(len(self.rows), -1)
        return route(queries.reshape(len(queries), -1), flat, *rest)

    def route_layer(
        self,
        layer: int,
        queries: NDArray[np.float32],
        owners: Owners,
        k: int,
        rule: RouteRule,
        exact: ExactKeys,
    ) -> Routed:
        """Route one query [M, J, R] by one router layer."""
        rest = (owners.chunk_slot, owners.allowed, k, rule.query, rule.chunk, owners.precedence)
        if self.codes is not None:
            return route_layer_codes(queries, self.codes, layer, exact, *rest)
        assert self.rows is not None
        return route_layer(queries, self.rows[:, layer], *rest)


class KeyTable:
    """A bank's keys, growing. Not thread-safe; what `now` returned stays as it is."""

    def __init__(self, width: tuple[int, ...], dtype: np.dtype[Any], exact_bytes: int) -> None:
        """width: (L, R), or what one key is; dtype: float16 stays, others become float32;
        exact_bytes: more than these are not kept beside their codes."""
        kept = np.dtype(np.float16 if dtype == np.float16 else np.float32)
        self._exact_bytes = exact_bytes
        self._rows: Growing[Any] | None = Growing(kept, width)
        self._codes: list[Growing[np.int8]] = []
        self._scales: Growing[np.float32] = Growing(np.float32, width[:1])
        self._width, self._dtype, self._length = width, kept, 0

    def __len__(self) -> int:
        return self._length

    def extend(self, keys: NDArray[np.floating]) -> None:
        """Append keys [n, L, R]."""
        self._length += len(keys)
        if self._rows is not None:
            self._rows.extend(keys)
        if self._codes or self._length >= _SCANNED:
            first = self._rows.rows if not self._codes and self._rows is not None else keys
            for at in range(0, len(first), _GROUP):
                self._extend_codes(quantise(first[at : at + _GROUP]))
            if self._rows is not None and self._rows.rows.nbytes > self._exact_bytes:
                self._rows = None

    def now(self) -> KeyRows:
        """Everything there is at this moment."""
        codes = None
        if self._codes:
            codes = Codes([own.rows for own in self._codes], self._scales.rows)
        return KeyRows(None if self._rows is None else self._rows.rows, codes)

    def kept(self, chunks: NDArray[np.bool_]) -> KeyTable:
        """A copy of some chunks [C]."""
        copy = KeyTable(self._width, self._dtype, self._exact_bytes)
        copy._length = int(chunks.sum())
        copy._rows = None
        if self._rows is not None:
            copy._rows = Growing(self._dtype, self._width)
            copy._rows.extend(self._rows.rows[chunks])
        if self._codes:
            some = [own.rows[chunks] for own in self._codes]
            copy._extend_codes(Codes(some, self._scales.rows[chunks]))
        return copy

    def _extend_codes(self, new: Codes) -> None:
        if not self._codes:
            self._codes = [Growing(np.int8, self._width[1:]) for _ in new.codes]
        for own, rows in zip(self._codes, new.codes, strict=True):
            own.extend(rows)
        self._scales.extend(new.scales)


def rows_of(
    rows: NDArray[np.floating], first: NDArray[np.int64], chunks: NDArray[np.int64]
) -> Sequence[NDArray[np.floating]]:
    """The exact keys of documents that begin at `first` and have so many chunks."""
    return [rows[a : a + n] for a, n in zip(first.tolist(), chunks.tolist(), strict=True)]
