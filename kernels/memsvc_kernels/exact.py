"""Routing over keys at rest as exactly as they are known: all of them, in fp32, no scan before.

What a scan is measured against, and what a question that may miss nothing asks for: `routing`'s own
products over keys that are widened a tile at a time, so that memory stays as it is. Knows arrays
only. Legend as in `scan`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memsvc_kernels.codes import Codes
from memsvc_kernels.routing import route, route_layer
from memsvc_kernels.scan import Routed, check_codes, in_bank


def route_exactly(
    queries: NDArray[np.float32],
    codes: Codes,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    precedence: NDArray[np.integer] | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Routed:
    """As `scan.route_codes`, but every chunk's score is of its key in fp32: what `routing.route`
    finds over `codes.keys` of all chunks. Raises as there."""
    check_codes(k, queries.shape[1:], codes, chunk_document)
    flat = queries.reshape(len(queries), -1)
    owners = chunk_document if rows is None else chunk_document[rows]
    keys = _Widened(codes, rows, None, (len(owners), flat.shape[1]))
    found = route(flat, keys, owners, allowed, k, precedence)
    return found if rows is None else in_bank(found, rows)


def route_layer_exactly(
    queries: NDArray[np.float32],
    codes: Codes,
    layer: int,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    query_reduce: str = "max",
    chunk_reduce: str = "max",
    precedence: NDArray[np.integer] | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Routed:
    """The same of `scan.route_layer_codes`, over `rows` if they are given."""
    width = queries.shape[2]
    check_codes(k, (codes.scales.shape[1], width), codes, chunk_document)
    owners = chunk_document if rows is None else chunk_document[rows]
    keys = _Widened(codes, rows, layer, (len(owners), width))
    rest = (allowed, k, query_reduce, chunk_reduce, precedence)
    found = route_layer(queries, keys, owners, *rest)
    return found if rows is None else in_bank(found, rows)


@dataclass(frozen=True)
class _Widened:
    """`routing.Keys` of all layers side by side, or of one; of the chunks `rows`, or of all."""

    codes: Codes
    rows: NDArray[np.int64] | None
    layer: int | None
    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        wanted = rows if self.rows is None else self.rows[rows]
        if self.layer is not None:
            return self.codes.layer_keys(self.layer, wanted)
        wide = self.codes.keys(wanted)
        return wide.reshape(len(wide), -1)
