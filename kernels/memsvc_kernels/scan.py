"""Routing over keys at 8 bits: a scan of whole numbers, then exact scores of the best documents.

Keys rest as int8 with one scale for each row of each router layer, and four more bits that only the
exact scores read: 8 bits alone swap documents whose scores all but tie (dev/LOG.md, M5). Where the
CPU multiplies int8, a query is split in two int8 parts, so that the keys' rounding is the only one
that counts; elsewhere tiles of keys are widened to fp32. Knows arrays only.
Legend: C chunks, L router layers, R routing width, M queries, N documents.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_kernels.routing import rank_documents, route, route_layer
from memsvc_kernels.shards import TILE, each_shard, in_shard

RESCORED = 48  # documents, at least (PERFORMANCE.md: chunks are not enough)
_COLUMNS = 32  # queries are padded to a multiple of this
_FINE = 254  # the second part of a query is this much finer
_MANY = 8  # queries that share a scan
_TRIALS = 12  # a busy machine spoils some

Routed = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
"""As `routing.route` returns it."""
_Product = Callable[[Tensor, int], Tensor]  # codes int8 [tile, R], layer -> fp32 [M, tile]


@dataclass(frozen=True)
class Codes:
    """Keys at 8 bits. codes: int8 [C, R] for each router layer; scales fp32 [C, L]: a key is
    scale · code; finer: what `four_more` made of them, uint8 [C, L, ceil(R/2)], or None."""

    codes: Sequence[NDArray[np.int8]]
    scales: NDArray[np.float32]
    finer: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.scales)

    def keys(self, chunks: NDArray[np.integer]) -> NDArray[np.float32]:
        """Keys of some chunks as exactly as they are known, fp32 [n, L, R]."""
        codes = np.stack([own[chunks] for own in self.codes], axis=1)
        finer = self.finer[chunks] if self.finer is not None else None
        return full_width(codes, self.scales[chunks], finer)


def eight_bits(values: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Values [..., W] as int8 codes and a scale fp32 [...] for each row: a value is scale · code,
    off by at most half a scale."""
    wide = values.astype(np.float32)
    most = np.abs(wide).max(axis=-1, initial=0.0)
    scales = np.where(most > 0, most / 127, 1.0).astype(np.float32)
    return np.rint(wide / scales[..., None]).astype(np.int8), scales


def four_more(
    values: NDArray[Any], codes: NDArray[np.int8], scales: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """What `eight_bits` rounded off of values [..., W], in sixteenths of a scale, two to a byte:
    uint8 [..., ceil(W/2)]. With it a value is off by a thirty-second of a scale (a sixteenth where
    it lay halfway)."""
    off = values.astype(np.float32) / scales[..., None] - codes
    levels = np.rint(off * 16).clip(-8, 7).astype(np.int8) & 15
    if levels.shape[-1] % 2:
        levels = np.concatenate((levels, np.zeros_like(levels[..., :1])), axis=-1)
    packed: NDArray[np.uint8] = (levels[..., ::2] | levels[..., 1::2] << 4).astype(np.uint8)
    return packed


def full_width(
    codes: NDArray[Any], scales: NDArray[Any], finer: NDArray[np.uint8] | None = None
) -> NDArray[np.float32]:
    """What `eight_bits` made, in fp32 again; with `finer` of `four_more`, as close as that is."""
    wide: NDArray[np.float32] = codes.astype(np.float32)
    if finer is not None:
        pairs = np.stack((finer << 4, finer & 0xF0), axis=-1).view(np.int8)  # 16 times a level
        levels = pairs.reshape(*finer.shape[:-1], 2 * finer.shape[-1])
        wide += levels[..., : codes.shape[-1]] / np.float32(256)
    wide *= scales[..., None]
    return wide


def codes_of(
    codes: NDArray[np.int8],
    scales: NDArray[np.float32],
    finer: NDArray[np.uint8] | None = None,
) -> Codes:
    """Codes [C, L, R] with their scales, as the scan wants them."""
    return Codes([np.ascontiguousarray(own) for own in codes.swapaxes(0, 1)], scales, finer)


def route_codes(
    queries: NDArray[np.float32],
    codes: Codes,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    precedence: NDArray[np.integer] | None = None,
    rows: NDArray[np.int64] | None = None,
) -> Routed:
    """As `routing.route` over what the codes stand for: a scan, then fp32 products of the 48 (or
    2·k) best documents.

    queries fp32 [M, L, R]; rows: the chunks to scan, ascending (None: all); the rest and the result
    as there. Raises ValueError on a k below 1 or shapes that do not agree.
    """
    _check(k, queries.shape[1:], codes, chunk_document)
    owners = chunk_document if rows is None else chunk_document[rows]
    near = np.empty((len(queries), len(owners)), np.float32)
    product = _products(queries.swapaxes(0, 1))

    def scan(tile: slice, found: Tensor, multiply: _Product) -> None:
        found.zero_()
        wanted = tile if rows is None else rows[tile]
        for layer, own in enumerate(codes.codes):
            scales = torch.from_numpy(codes.scales[wanted, layer])
            found.addcmul_(multiply(torch.from_numpy(own[wanted]), layer), scales)

    _tiles(near, product, scan)
    found = rank_documents(near, owners, allowed, _most(k), "max", precedence)[0]

    def again(keys: NDArray[np.float32], owner: NDArray[np.int64]) -> Routed:
        flat = queries.reshape(len(queries), -1)
        return route(flat, keys.reshape(len(keys), flat.shape[1]), owner, None, k, precedence)

    return _refined(found, codes, chunk_document, again)


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
) -> Routed:
    """As `routing.route_layer`, over one layer's codes, as `route_codes` does it.

    queries fp32 [M, J, R]. Raises as `route_codes`.
    """
    m, rows, width = queries.shape
    _check(k, (len(codes.codes), width), codes, chunk_document)
    near = np.empty((1, len(codes)), np.float32)
    product = _products(queries.reshape(1, m * rows, width))

    def scan(tile: slice, found: Tensor, multiply: _Product) -> None:
        by_token = multiply(torch.from_numpy(codes.codes[layer][tile]), 0).unflatten(0, (m, rows))
        best = by_token.amax(1)
        found[0] = best.amax(0) if query_reduce == "max" else best.mean(0)
        found *= torch.from_numpy(codes.scales[tile, layer])  # positive: the best stays the best

    _tiles(near, product, scan)
    found = rank_documents(near, chunk_document, allowed, _most(k), chunk_reduce, precedence)[0]

    def again(keys: NDArray[np.float32], owner: NDArray[np.int64]) -> Routed:
        own = keys[:, layer]
        return route_layer(queries, own, owner, None, k, query_reduce, chunk_reduce, precedence)

    return _refined(found, codes, chunk_document, again)


def _check(
    k: int, shape: tuple[int, ...], codes: Codes, chunk_document: NDArray[np.integer]
) -> None:
    shapes = [own.shape for own in codes.codes]
    if k < 1 or shapes != [(len(chunk_document), shape[1])] * shape[0]:
        raise ValueError(
            f"k={k}, queries [..., {shape}], codes {shapes}, documents {chunk_document.shape}"
        )


def _most(k: int) -> int:
    """Documents that are scored exactly."""
    return max(RESCORED, 2 * k)


def _refined(
    found: NDArray[np.int64],
    codes: Codes,
    chunk_document: NDArray[np.integer],
    again: Callable[[NDArray[np.float32], NDArray[np.int64]], Routed],
) -> Routed:
    """Route once more, over keys [*, L, R] in fp32 of the documents found; chunks are counted as in
    the bank."""
    wanted = np.unique(found[found >= 0])
    starts = np.searchsorted(chunk_document, wanted)
    counts = np.searchsorted(chunk_document, wanted, side="right") - starts
    owner = np.repeat(wanted, counts)
    chunks = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(len(owner))
    documents, scores, best = again(codes.keys(chunks), owner)
    return documents, scores, np.where(best < 0, -1, np.append(chunks, -1)[best])


def _tiles(
    out: NDArray[np.float32],
    products: Callable[[], _Product],
    scan: Callable[[slice, Tensor, _Product], None],
) -> None:
    """Fill scores [M, C], tile by tile, in all threads."""

    def work(shard: range) -> None:
        multiply = products()
        for at in shard:
            tile = slice(at, at + TILE)
            scan(tile, torch.from_numpy(out[:, tile]), multiply)

    each_shard(out.shape[1], work)


def _products(queries: NDArray[np.float32]) -> Callable[[], _Product]:
    """What multiplies queries [L, M, R], made anew for each thread."""
    many = queries.shape[1] >= _MANY
    return _in_whole_numbers(queries) if whole_numbers(many) else _widened(queries)


@cache
def whole_numbers(many: bool) -> bool:
    """Whether this CPU multiplies int8 faster than it widens it to fp32: with `many` queries at
    once it does where it has VNNI or AMX, with one not always (dev/LOG.md, 2026-11-30).

    Measured once in a process for each, in about a hundredth of a second, and by a thread of those
    that scan: widening gains by two threads of torch's own, which they do not have.
    """
    return in_shard(lambda: _faster_in_whole_numbers(_MANY if many else 1))


def _faster_in_whole_numbers(count: int) -> bool:
    """Of `count` queries, by this thread."""
    codes = torch.ones(TILE // 2, 1152, dtype=torch.int8)
    queries = np.ones((1, count, 1152), np.float32)
    products = [make(queries)() for make in (_in_whole_numbers, _widened)]
    seconds = []
    for product in products:
        times = []
        for _ in range(_TRIALS):
            began = time.perf_counter()
            product(codes, 0)
            times.append(time.perf_counter() - began)
        seconds.append(min(times))
    return seconds[0] < seconds[1]


def _widened(queries: NDArray[np.float32]) -> Callable[[], _Product]:
    """Products [M, tile] of a layer's queries with codes in fp32."""
    own = torch.from_numpy(np.ascontiguousarray(queries))

    def begin() -> _Product:
        room = torch.empty(TILE, queries.shape[2])

        def product(codes: Tensor, layer: int) -> Tensor:
            wide = room[: len(codes)].copy_(codes)
            return own[layer] @ wide.T

        return product

    return begin


def _in_whole_numbers(queries: NDArray[np.float32]) -> Callable[[], _Product]:
    """The same by int8 products."""
    parts, mixes = _split(queries)

    def product(codes: Tensor, layer: int) -> Tensor:
        whole: Tensor = torch.ops.aten._int_mm(codes, parts[layer])
        return mixes[layer] @ whole.T.float()

    return lambda: product


def _split(queries: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Queries [L, M, R] as whole numbers int8 [L, R, columns], a coarse and a fine one for each,
    and what puts their products together again, fp32 [L, M, columns]."""
    wide = torch.from_numpy(np.ascontiguousarray(queries.swapaxes(1, 2), np.float32))
    layers, _, m = wide.shape
    unit = (wide.abs().amax(1, keepdim=True) / 127).clamp_min(torch.finfo(torch.float32).tiny)
    coarse = (wide / unit).round()
    fine = ((wide / unit - coarse) * _FINE).round()
    columns = -(-2 * m // _COLUMNS) * _COLUMNS
    parts = torch.zeros(layers, wide.shape[1], columns, dtype=torch.int8)
    parts[:, :, :m], parts[:, :, m : 2 * m] = coarse.to(torch.int8), fine.to(torch.int8)
    mixes = torch.zeros(layers, m, columns)
    at = torch.arange(m)
    mixes[:, at, at], mixes[:, at, m + at] = unit[:, 0], unit[:, 0] / _FINE
    return parts, mixes
