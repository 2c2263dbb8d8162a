"""Products of queries with tiles of keys at 8 bits, by whatever multiplies them fastest here.

Keys come as *runs*: one or several router layers side by side in a row. Where the CPU multiplies
int8, queries are rounded to 8 bits, too (what is found is scored exactly afterwards), and one
product serves all layers of a run; elsewhere tiles are widened to fp32. Knows arrays only.
Legend: C chunks, l layers of a run, R routing width, M queries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_kernels.shards import TILE, in_shard

_COLUMNS = 16  # queries are padded to a multiple of this
_WHOLE_TILE = 8192  # rows of an int8 product: fewer calls, and less waiting for the interpreter
_MANY = 8  # queries that share a scan
_TRIALS = 12  # a busy machine spoils some

Product = Callable[[Tensor, int], Tensor]
"""Codes int8 [tile, l·R] of a run, and its number -> fp32 [tile, l, M], not scaled."""


@dataclass(frozen=True)
class Products:
    """begin: makes what multiplies, anew for each thread; tile: rows at a time, at most."""

    begin: Callable[[], Product]
    tile: int


def products(queries: Sequence[NDArray[np.float32]]) -> Products:
    """What multiplies queries [l, M, R], one array for each run."""
    many = queries[0].shape[1] >= _MANY
    if whole_numbers(many):
        return Products(_in_whole_numbers(queries), _WHOLE_TILE)
    return Products(_widened(queries), TILE)


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
    split = [_rounded(run) for run in queries]

    def product(codes: Tensor, run: int) -> Tensor:
        rounded, units = split[run]
        whole: Tensor = torch.ops.aten._int_mm(codes, rounded)
        return whole[:, : units.numel()].view(len(codes), *units.shape) * units

    return lambda: product


def _rounded(queries: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Queries [l, M, R] as whole numbers int8 [l·R, columns], each of which sees its own layer's
    keys alone, and what one of them is worth, fp32 [l, M]."""
    wide = torch.from_numpy(np.ascontiguousarray(queries.swapaxes(1, 2), np.float32))
    layers, width, m = wide.shape
    units = (wide.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
    columns = -(-layers * m // _COLUMNS) * _COLUMNS
    rounded = torch.zeros(layers, width, columns, dtype=torch.int8)
    own = rounded[:, :, : layers * m].unflatten(2, (layers, m)).diagonal(0, 0, 2)  # [R, M, l]
    own.copy_((wide / units.unsqueeze(1)).round().permute(1, 2, 0))
    return rounded.flatten(0, 1), units
