"""Routing over keys at 8 bits: a scan of whole numbers, then exact scores of the best documents.

Knows arrays only.
Legend: C chunks, L router layers, l layers of a run, R routing width, M queries, N documents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_kernels.codes import Codes, layer_runs
from memsvc_kernels.products import Product, Products, products
from memsvc_kernels.routing import Ranking, route, route_layer
from memsvc_kernels.shards import each_shard, even_tile

RESCORED = 48  # documents, at least (PERFORMANCE.md: chunks are not enough)

Routed = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
"""As `routing.route` returns it."""


class Resident(Protocol):
    """Keys that lie on a device, too, where they are scanned (`resident`). Both find the `most`
    best documents of each query, as the scan here does; None: this one has to."""

    def nearest(
        self,
        queries: NDArray[np.float32],
        codes: Codes,
        chunk_document: NDArray[np.integer],
        allowed: NDArray[np.bool_] | None,
        most: int,
        precedence: NDArray[np.integer] | None,
    ) -> Sequence[NDArray[np.int64]] | None: ...

    def nearest_in_layer(
        self,
        queries: NDArray[np.float32],
        codes: Codes,
        layer: int,
        chunk_document: NDArray[np.integer],
        allowed: NDArray[np.bool_] | None,
        most: int,
        query_reduce: str,
        chunk_reduce: str,
        precedence: NDArray[np.integer] | None,
    ) -> Sequence[NDArray[np.int64]] | None: ...


def route_codes(
    queries: NDArray[np.float32],
    codes: Codes,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    precedence: NDArray[np.integer] | None = None,
    rows: NDArray[np.int64] | None = None,
    resident: Resident | None = None,
) -> Routed:
    """As `routing.route` over what the codes stand for: a scan, then fp32 products of the 48 (or
    2·k) best documents.

    queries fp32 [M, L, R]; rows: the chunks to scan, ascending (None: all); resident: scans all,
    where it can; the rest and the result as there. Raises ValueError on a k below 1 or shapes that
    do not agree.
    """
    check_codes(k, queries.shape[1:], codes, chunk_document)
    given = (queries, codes, chunk_document, allowed, _most(k), precedence)
    found = None if resident is None else resident.nearest(*given)
    if found is None:
        found = _nearest(*given, rows)

    def again(keys: NDArray[np.float32], owner: NDArray[np.int64]) -> Routed:
        flat = queries.reshape(len(queries), -1)
        return route(flat, keys.reshape(len(keys), flat.shape[1]), owner, None, k, precedence)

    return _refined(found, codes, chunk_document, again)


def _nearest(
    queries: NDArray[np.float32],
    codes: Codes,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    most: int,
    precedence: NDArray[np.integer] | None,
    rows: NDArray[np.int64] | None,
) -> Sequence[NDArray[np.int64]]:
    owners = chunk_document if rows is None else chunk_document[rows]
    near = np.empty((len(queries), len(owners)), np.float32)
    by_layer, runs = queries.swapaxes(0, 1), layer_runs(*queries.shape[1:])

    def scan(tile: slice, found: Tensor, multiply: Product) -> None:
        wanted = tile if rows is None else rows[tile]
        scales = torch.from_numpy(codes.scales[wanted]).unsqueeze(2)
        found.zero_()
        for at, (run, own) in enumerate(zip(runs, codes.codes, strict=True)):
            scores = multiply(torch.from_numpy(own[wanted]).flatten(1), at)
            found += (scores * scales[:, run]).sum(1).T

    _tiles(near, products([by_layer[run] for run in runs]), scan)
    return Ranking(near, owners, allowed, "max", precedence).documents(most)


def route_layer_codes(
    queries: NDArray[np.float32],
    codes: Codes,
    layer: int,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    query_reduce: str = "max",
    chunk_reduce: str = "max",
    precedence: NDArray[np.integer] | None = None,
    resident: Resident | None = None,
) -> Routed:
    """As `routing.route_layer`, over one layer's codes, as `route_codes` does it.

    queries fp32 [M, J, R]. Raises as `route_codes`.
    """
    check_codes(k, (codes.scales.shape[1], queries.shape[2]), codes, chunk_document)
    given = (queries, codes, layer, chunk_document, allowed, _most(k))
    rest = (query_reduce, chunk_reduce, precedence)
    found = None if resident is None else resident.nearest_in_layer(*given, *rest)
    if found is None:
        found = _nearest_in_layer(*given, *rest)

    def again(keys: NDArray[np.float32], owner: NDArray[np.int64]) -> Routed:
        return route_layer(queries, keys[:, layer], owner, None, k, *rest)

    return _refined(found, codes, chunk_document, again)


def _nearest_in_layer(
    queries: NDArray[np.float32],
    codes: Codes,
    layer: int,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    most: int,
    query_reduce: str,
    chunk_reduce: str,
    precedence: NDArray[np.integer] | None,
) -> Sequence[NDArray[np.int64]]:
    m, rows, width = queries.shape
    near = np.empty((1, len(codes)), np.float32)
    run, inside = codes.where(layer)
    own = codes.codes[run]

    def scan(tile: slice, found: Tensor, multiply: Product) -> None:
        part = torch.from_numpy(np.ascontiguousarray(own[tile, inside]))
        by_token = multiply(part, 0).unflatten(2, (m, rows))[:, 0]
        best = by_token.amax(2)
        found[0] = best.amax(1) if query_reduce == "max" else best.mean(1)
        found *= torch.from_numpy(codes.scales[tile, layer])  # positive: the best stays the best

    _tiles(near, products([queries.reshape(1, m * rows, width)]), scan)
    return Ranking(near, chunk_document, allowed, chunk_reduce, precedence).documents(most)


def check_codes(
    k: int, shape: tuple[int, ...], codes: Codes, chunk_document: NDArray[np.integer]
) -> None:
    """Raises ValueError on a k below 1, or queries [..., L, R] of another shape than the codes."""
    shapes = [own.shape for own in codes.codes]
    wanted = [(len(chunk_document), len(run), shape[1]) for run in layer_runs(*shape)]
    if k < 1 or shapes != wanted:
        raise ValueError(
            f"k={k}, queries [..., {shape}], codes {shapes}, documents {chunk_document.shape}"
        )


def _most(k: int) -> int:
    """Documents that are scored exactly."""
    return max(RESCORED, 2 * k)


def _refined(
    found: Sequence[NDArray[np.int64]],
    codes: Codes,
    chunk_document: NDArray[np.integer],
    again: Callable[[NDArray[np.float32], NDArray[np.int64]], Routed],
) -> Routed:
    """Route once more, over keys [*, L, R] in fp32 of the documents found; chunks are counted as in
    the bank."""
    wanted = np.unique(np.concatenate(found))
    starts = np.searchsorted(chunk_document, wanted)
    counts = np.searchsorted(chunk_document, wanted, side="right") - starts
    owner = np.repeat(wanted, counts)
    chunks = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(len(owner))
    return in_bank(again(codes.keys(chunks), owner), chunks)


def in_bank(found: Routed, chunks: NDArray[np.int64]) -> Routed:
    """What was found among some of a bank's chunks, with chunks counted as in the bank."""
    documents, scores, best = found
    return documents, scores, np.append(chunks, -1)[best]  # -1 reads the last one


def _tiles(
    out: NDArray[np.float32],
    ways: Products,
    scan: Callable[[slice, Tensor, Product], None],
) -> None:
    """Fill scores [M, C], tile by tile, in all threads."""

    rows = even_tile(out.shape[1], ways.tile)

    def work(shard: range) -> None:
        multiply = ways.begin()
        for at in shard:
            tile = slice(at, at + rows)
            scan(tile, torch.from_numpy(out[:, tile]), multiply)

    each_shard(out.shape[1], work, rows)
