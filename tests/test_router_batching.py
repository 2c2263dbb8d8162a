"""Which inputs share a forward."""

from __future__ import annotations

import random

from memsvc_router.batching import by_length, shared_out


def _padded(groups: list[list[int]], lengths: list[int]) -> list[int]:
    return [len(group) * max(lengths[i] for i in group) for group in groups]


def test_every_worker_gets_as_much_to_do_and_nothing_is_lost() -> None:
    draw = random.Random(1)
    for workers in (1, 2, 3):
        for count in (2, 9, 40, 300):
            lengths = [draw.randint(5, 250) for _ in range(count)]
            groups = shared_out(lengths, 1024, workers)
            assert sorted(i for group in groups for i in group) == list(range(count))
            assert max(_padded(groups, lengths)) <= 1024
            if count > workers and sum(lengths) > 1024:
                assert len(groups) % workers == 0 or len(groups) < len(lengths)


def test_a_small_remainder_is_spread_over_all_groups() -> None:
    lengths = [100] * 22  # ten to a group, and two are left over
    assert [len(group) for group in by_length(lengths, 1024)] == [10, 10, 2]
    assert [len(group) for group in shared_out(lengths, 1024, 1)] == [8, 8, 6]
    assert [len(group) for group in shared_out(lengths, 1024, 2)] == [6, 6, 6, 4]


def test_one_long_input_or_none() -> None:
    assert shared_out([], 1024, 2) == []
    assert shared_out([5000], 1024, 2) == [[0]]
    assert shared_out([5000, 10], 1024, 2) == [[1], [0]]
