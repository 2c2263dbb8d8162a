"""Products of queries with tiles of keys at 8 bits, by whatever multiplies them fastest here.

Keys come as *runs*: one or several router layers side by side in a row. Where the CPU multiplies
int8, a query is split in two int8 parts, so that the keys' rounding is the only one that counts,
and one product serves all layers of a run; elsewhere tiles are widened to fp32. Knows arrays only.
Legend: C chunks, l layers of a run, R routing width, M queries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_kernels.shards import TILE, in_shard

_COLUMNS = 32  # queries are padded to a multiple of this
_FINE = 254  # the second part of a query is this much finer
_MANY = 8  # queries that share a scan
_TRIALS = 12  # a busy machine spoils some

Product = Callable[[Tensor, int], Tensor]
"""Codes int8 [tile, l·R] of a run, and its number -> fp32 [tile, l, M], not scaled."""


def products(queries: Sequence[NDArray[np.float32]]) -> Callable[[], Product]:
    """What multiplies queries [l, M, R], one array for each run, made anew for each thread."""
    many = queries[0].shape[1] >= _MANY
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
    queries = [np.ones((1, count, 1152), np.float32)]
    seconds = []
    for product in (make(queries)() for make in (_in_whole_numbers, _widened)):
        times = []
        for _ in range(_TRIALS):
            began = time.perf_counter()
            product(codes, 0)
            times.append(time.perf_counter() - began)
        seconds.append(min(times))
    return seconds[0] < seconds[1]


def _widened(queries: Sequence[NDArray[np.float32]]) -> Callable[[], Product]:
    """Products of queries with codes in fp32."""
    own = [torch.from_numpy(np.ascontiguousarray(run)).transpose(1, 2) for run in queries]
    width = max(run.shape[0] * run.shape[2] for run in queries)

    def begin() -> Product:
        room = torch.empty(TILE * width)

        def product(codes: Tensor, run: int) -> Tensor:
            wide = room[: codes.numel()].view(len(codes), len(own[run]), -1)
            wide.copy_(codes.view_as(wide))
            return (wide.transpose(0, 1) @ own[run]).transpose(0, 1)

        return product

    return begin


def _in_whole_numbers(queries: Sequence[NDArray[np.float32]]) -> Callable[[], Product]:
    """The same by int8 products."""
    split = [_split(run) for run in queries]

    def product(codes: Tensor, run: int) -> Tensor:
        parts, mixes = split[run]
        whole: Tensor = torch.ops.aten._int_mm(codes, parts)
        return (whole.float() @ mixes).view(len(codes), len(queries[run]), -1)

    return lambda: product


def _split(queries: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Queries [l, M, R] as whole numbers int8 [l·R, columns], a coarse and a fine one for each that
    see their own layer's keys alone, and what puts their products together again, fp32
    [columns, l·M]."""
    wide = torch.from_numpy(np.ascontiguousarray(queries.swapaxes(1, 2), np.float32))
    layers, width, m = wide.shape
    unit = (wide.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)  # [l, M]
    in_units = wide / unit.unsqueeze(1)
    coarse = in_units.round()
    both = torch.stack((coarse, ((in_units - coarse) * _FINE).round()))  # [2, l, R, M]
    used = 2 * layers * m
    columns = -(-used // _COLUMNS) * _COLUMNS
    parts = torch.zeros(layers, width, columns, dtype=torch.int8)
    own = parts[:, :, :used].unflatten(2, (layers, 2, m)).diagonal(0, 0, 2)  # [R, 2, M, l]
    own.copy_(both.permute(2, 0, 3, 1))
    mixes = torch.zeros(columns, layers * m)
    mixed = mixes[:used].view(layers, 2, m, layers, m).diagonal(0, 0, 3).diagonal(0, 1, 2)
    mixed.copy_(torch.stack((unit, unit / _FINE)))  # [2, l, M]
    return parts.flatten(0, 1), mixes
