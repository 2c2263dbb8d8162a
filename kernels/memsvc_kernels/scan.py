"""Routing over keys at 8 bits: a scan of whole numbers, then exact scores of the best documents.

Keys rest as int8 with one scale for each row of each router layer. Where the CPU multiplies int8, a
query is split in two int8 parts, so that the keys' rounding is the only one that counts; elsewhere
tiles of keys are widened to fp32. Shards of the keys are scanned by
threads of their own, with one thread inside each product (two OpenMP threads wait for each other
on a busy machine). Knows arrays only; where exact keys lie is the caller's.
Legend: C chunks, L router layers, R routing width, M queries, N documents.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_kernels.routing import rank_documents

RESCORED = 48  # documents, at least (PERFORMANCE.md: chunks are not enough)
_TILE = 4096  # chunks per product: its whole numbers stay in the second cache
_COLUMNS = 32  # queries are padded to a multiple of this
_FINE = 254  # the second part of a query is this much finer

ExactKeys = Callable[[Sequence[int]], Sequence[NDArray[np.floating]]]
"""Numbers of documents -> the keys [C, L, R] of each."""
_Product = Callable[[Tensor, int], Tensor]  # codes int8 [tile, R], layer -> fp32 [M, tile]


@dataclass(frozen=True)
class Codes:
    """Keys at 8 bits. codes: int8 [C, R] for each router layer; scales fp32 [C, L]: a key is
    scale · code."""

    codes: Sequence[NDArray[np.int8]]
    scales: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scales)


def quantise(keys: NDArray[np.floating]) -> Codes:
    """Keys [C, L, R] at 8 bits; a key is off by at most half a scale in each place."""
    wide = keys.astype(np.float32)
    most = np.abs(wide).max(axis=2, initial=0.0)
    scales = np.where(most > 0, most / 127, 1.0).astype(np.float32)
    codes = np.rint(wide / scales[:, :, None]).astype(np.int8)
    return Codes([np.ascontiguousarray(own) for own in codes.swapaxes(0, 1)], scales)


def route_codes(
    queries: NDArray[np.float32],
    codes: Codes,
    exact: ExactKeys,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    precedence: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """As `routing.route`, by a scan of codes and exact scores of the 48 (or 2·k) best documents.

    queries fp32 [M, L, R]; the rest and the result as there; scores are exact. Raises ValueError
    on a k below 1 or shapes that do not agree, and whatever `exact` raises.
    """
    m = len(queries)
    shapes = [own.shape for own in codes.codes]
    if k < 1 or shapes != [(len(chunk_document), queries.shape[2])] * queries.shape[1]:
        raise ValueError(
            f"k={k}, queries {queries.shape}, codes {shapes}, documents {chunk_document.shape}"
        )
    near = approximate(queries, codes)
    most = max(RESCORED, 2 * k)
    found = rank_documents(near, chunk_document, allowed, most, "max", precedence)[0]
    wanted = np.unique(found[found >= 0])
    if not len(wanted):
        return rank_documents(near[:, :0], chunk_document[:0], None, k, "max", None)
    keys = exact(wanted.tolist())
    owner = np.repeat(wanted, [len(own) for own in keys])
    flat = np.concatenate(keys).astype(np.float32, copy=False).reshape(len(owner), -1)
    scores = queries.reshape(m, -1) @ flat.T
    documents, best, chunks = rank_documents(scores, owner, None, k, "max", precedence)
    within = chunks - np.searchsorted(owner, documents)
    first = np.searchsorted(chunk_document, documents)
    return documents, best, np.where(documents < 0, -1, first + within)


def approximate(queries: NDArray[np.float32], codes: Codes) -> NDArray[np.float32]:
    """Inner products fp32 [M, C] of queries [M, L, R] with the keys that codes stand for."""
    out = np.empty((len(queries), len(codes)), np.float32)
    begin = _in_whole_numbers(queries) if whole_numbers() else _widened(queries)

    def scan(shard: range) -> None:
        product = begin()
        for at in shard:
            some = slice(at, at + _TILE)
            scales = torch.from_numpy(codes.scales[some])
            found = torch.from_numpy(out[:, some]).zero_()
            for layer, own in enumerate(codes.codes):
                found.addcmul_(product(torch.from_numpy(own[some]), layer), scales[:, layer])

    list(_THREADS.map(scan, _shards(len(codes))))
    return out


@cache
def whole_numbers() -> bool:
    """Whether this CPU multiplies int8 faster than it widens it to fp32 (it does with VNNI).

    Measured once in a process, in about a hundredth of a second.
    """
    codes = torch.ones(_TILE // 8, 384, dtype=torch.int8)
    one = np.ones((1, 1, 384), np.float32)
    products = [make(one)() for make in (_in_whole_numbers, _widened)]
    seconds = []
    for product in products:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            product(codes, 0)
            times.append(time.perf_counter() - began)
        seconds.append(min(times))
    return seconds[0] < seconds[1]


def _widened(queries: NDArray[np.float32]) -> Callable[[], _Product]:
    """Products [M, tile] of a layer's queries with codes in fp32."""
    own = torch.from_numpy(np.ascontiguousarray(queries.swapaxes(0, 1)))

    def begin() -> _Product:
        room = torch.empty(_TILE, queries.shape[2])

        def product(codes: Tensor, layer: int) -> Tensor:
            wide = room[: len(codes)].copy_(codes)
            return own[layer] @ wide.T

        return product

    return begin


def _in_whole_numbers(queries: NDArray[np.float32]) -> Callable[[], _Product]:
    """The same by int8 products."""
    parts, mixes = _split(queries)

    def product(codes: Tensor, layer: int) -> Tensor:
        return mixes[layer] @ torch._int_mm(codes, parts[layer]).T.float()

    return lambda: product


def _split(queries: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Queries [M, L, R] as whole numbers int8 [L, R, columns], a coarse and a fine one for each,
    and what puts their products together again, fp32 [L, M, columns]."""
    wide = torch.from_numpy(np.ascontiguousarray(queries.transpose(1, 2, 0), np.float32))
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


def _shards(chunks: int) -> list[range]:
    """Where tiles begin, dealt out to the threads."""
    tiles = -(-chunks // _TILE)
    share = -(-tiles // _THREADS.count) if tiles else 0
    return [
        range(at * _TILE, min(at + share, tiles) * _TILE, _TILE)
        for at in range(0, tiles, max(share, 1))
    ]


class _Threads:
    """Threads that scan, each with one thread of torch's own. Made at first use."""

    def __init__(self) -> None:
        self.count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[range], None], shards: Sequence[range]) -> Iterator[None]:
        """Work on all shards, the last one on the calling thread if it is the only one."""
        if len(shards) < 2:
            return map(work, shards)
        with self._lock:
            self._pool = self._pool or self._begin()
        return self._pool.map(work, shards)

    def _begin(self) -> ThreadPoolExecutor:
        """torch keeps the number of threads for each thread, and for those to come: the latter is
        put back as it was."""
        before, ready = torch.get_num_threads(), threading.Barrier(self.count + 1)

        def alone() -> None:
            torch.get_num_threads()  # lets torch set up this thread, or it would do so later
            torch.set_num_threads(1)
            ready.wait()

        pool = ThreadPoolExecutor(self.count, "memsvc-scan")
        for _ in range(self.count):
            pool.submit(alone)
        ready.wait()
        torch.set_num_threads(before)
        return pool


_THREADS = _Threads()
