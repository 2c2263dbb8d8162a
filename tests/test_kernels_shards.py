"""Work side by side: in order, each thread with one of torch's own, errors told."""

from __future__ import annotations

import threading

import pytest
import torch
from memsvc_kernels import flowing, shard_threads, side_by_side
from memsvc_kernels.shards import each_shard, even_tile, in_shard

LONG = 10.0  # seconds that nothing here takes


def test_what_is_made_comes_in_the_order_of_the_items() -> None:
    def square(n: int) -> int:
        return n * n

    for count in (0, 1, 2, 50):
        assert side_by_side(square, range(count)) == [n * n for n in range(count)]


def test_an_error_of_any_thread_reaches_the_caller_and_leaves_the_threads_usable() -> None:
    def fail(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n

    with pytest.raises(ValueError, match="three"):
        side_by_side(fail, range(6))
    assert side_by_side(fail, [0, 1]) == [0, 1]


def test_what_flows_comes_in_the_order_of_the_items() -> None:
    for count in (0, 1, 2, 50):
        assert list(flowing(lambda n: n * n, range(count))) == [n * n for n in range(count)]


@pytest.mark.skipif(shard_threads() < 2, reason="one thread makes what is asked for, then waits")
def test_threads_go_on_while_nobody_takes_what_they_made() -> None:
    begun = threading.Semaphore(0)

    def work(n: int) -> int:
        begun.release()
        return n

    made = flowing(work, range(20))
    assert next(made) == 0
    for _ in range(shard_threads() + 1):
        assert begun.acquire(timeout=LONG)
    assert list(made) == list(range(1, 20))


def test_giving_up_what_flows_waits_for_what_is_under_way_and_begins_no_more() -> None:
    ended, lock = [0], threading.Lock()

    def work(n: int) -> int:
        threading.Event().wait(0.05)
        with lock:
            ended[0] += 1
        return n

    made = flowing(work, range(1000))
    next(made)
    made.close()
    at_once = ended[0]
    threading.Event().wait(0.2)
    assert ended[0] == at_once < 1000


def test_an_error_of_what_flows_reaches_whoever_takes_it() -> None:
    def fail(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n

    made = flowing(fail, range(9))
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(made)
    assert list(flowing(fail, [0, 1])) == [0, 1]


def test_threads_have_one_thread_of_torch_and_the_caller_keeps_its_own() -> None:
    before = torch.get_num_threads()
    assert in_shard(torch.get_num_threads) == 1
    assert torch.get_num_threads() == before


def test_every_row_is_worked_on_once() -> None:
    seen: list[int] = []
    lock = threading.Lock()

    def work(shard: range) -> None:
        with lock:
            seen.extend(shard)

    each_shard(5000, work)
    assert sorted(seen) == [0, 1024, 2048, 3072, 4096]


@pytest.mark.parametrize("rows", [1, 8192, 8193, 33_000, 1_000_000])
def test_even_tiles_give_every_thread_as_much_to_do(rows: int) -> None:
    tile = even_tile(rows, 8192)
    tiles = -(-rows // tile)
    assert tile <= 8192
    assert tiles == 1 if rows <= 8192 else tiles % shard_threads() == 0
    assert tiles * tile - rows < tiles  # the last one lacks next to nothing
