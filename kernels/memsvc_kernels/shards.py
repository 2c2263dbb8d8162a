"""Work on parts of arrays, or on batches, by threads, each with one thread of torch's own.

Two OpenMP threads inside one product wait for each other on a busy machine (PERFORMANCE.md). Knows
rows and jobs only.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

TILE = 1024  # rows a product takes at a time: measured, half and four times as many are slower
Item = TypeVar("Item")
Measured = TypeVar("Measured")


def each_shard(rows: int, work: Callable[[range], None], tile: int = TILE) -> None:
    """Call `work` with where its tiles of so many rows begin, in as many threads as there are
    processors; on the calling one if there is but one tile. Returns when all are done; raises what
    any of them did."""
    tiles = -(-rows // tile)
    share = max(1, -(-tiles // _THREADS.count))
    shards = [
        range(at * tile, min(at + share, tiles) * tile, tile) for at in range(0, tiles, share)
    ]
    side_by_side(work, shards)


def even_tile(rows: int, most: int) -> int:
    """Rows of a tile, at most so many, such that each thread has as much to do; one tile if they
    all go into one."""
    if rows <= most:
        return max(rows, 1)
    tiles = -(-rows // (most * _THREADS.count)) * _THREADS.count
    return -(-rows // tiles)


def side_by_side(work: Callable[[Item], Measured], items: Sequence[Item]) -> list[Measured]:
    """What `work` makes of each item, in order; in as many threads as there are processors, or on
    the calling one if there is but one item or processor. Raises what any of them raised."""
    if len(items) < 2 or _THREADS.count < 2:
        return [work(one) for one in items]
    return list(_THREADS.pool().map(work, items))


def flowing(
    work: Callable[[Item], Measured], items: Sequence[Item]
) -> Generator[Measured, None, None]:
    """What `work` makes of each item, in order, each when it is there, while threads of their own
    go on with the next ones: whoever takes what they made need not keep up with them. Raises what
    `work` raises; given up, it waits for what is under way."""
    if len(items) < 2 or _FLOWING.count < 2:
        yield from map(work, items)
        return
    pool, begun = _FLOWING.pool(), deque[Future[Measured]]()
    try:
        for one in items:
            begun.append(pool.submit(work, one))
            if len(begun) > _FLOWING.count:  # each thread has one, and the next is at hand
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
        wait(begun)


def shard_threads() -> int:
    """In how many threads `side_by_side` and `flowing` work."""
    return _THREADS.count


def in_shard(measure: Callable[[], Measured]) -> Measured:
    """What `measure` returns or raises, called as a shard's work is: by one of those threads."""
    return _THREADS.pool().submit(measure).result()


class _Threads:
    """Made at first use."""

    def __init__(self, name: str) -> None:
        self._name = name
        given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        self.count = min(given, torch.get_num_threads())
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def pool(self) -> ThreadPoolExecutor:
        with self._lock:
            self._pool = self._pool or self._begin()
            return self._pool

    def _begin(self) -> ThreadPoolExecutor:
        """torch keeps the number of threads for each thread, and for those to come: the latter is
        put back as it was."""
        before, ready = torch.get_num_threads(), threading.Barrier(self.count + 1)

        def alone() -> None:
            torch.get_num_threads()  # lets torch set up this thread, or it would do so later
            torch.set_num_threads(1)
            ready.wait()

        pool = ThreadPoolExecutor(self.count, self._name)
        for _ in range(self.count):
            pool.submit(alone)
        ready.wait()
        torch.set_num_threads(before)
        return pool


_THREADS, _FLOWING = _Threads("memsvc-scan"), _Threads("memsvc-encode")
