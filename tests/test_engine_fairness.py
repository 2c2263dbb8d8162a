"""The waiting line between banks: order within one, turns between them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsvc.engine.fairness import FairLine

_LANES = st.sampled_from("abcd")


def line_of(*lanes: str) -> FairLine[str]:
    """Items that are named by their lane and their place in it."""
    made: FairLine[str] = FairLine()
    places: Counter[str] = Counter()
    for lane in lanes:
        made.push(lane, f"{lane}{places[lane]}")
        places[lane] += 1
    return made


def test_the_bank_with_the_fewest_active_goes_first() -> None:
    line = line_of("a", "b", "c")
    assert line.pop({"a": 2, "b": 1, "c": 1}) == "b0"
    assert line.pop({"a": 2, "b": 2, "c": 1}) == "c0"
    assert line.pop({"a": 2, "b": 2, "c": 2}) == "a0"
    with pytest.raises(ValueError, match="empty"):
        line.pop({})


@given(st.lists(_LANES, max_size=40))
def test_banks_take_turns_and_each_keeps_its_order(lanes: list[str]) -> None:
    line = line_of(*lanes)
    came = [line.pop({}) for _ in lanes]
    for lane in set(lanes):
        own = [int(item[1:]) for item in came if item[0] == lane]
        assert own == sorted(own)
    rounds = [int(item[1:]) for item in came]
    assert rounds == sorted(rounds)  # nobody has a second turn while somebody waits for a first


def test_who_comes_back_at_once_does_not_jump_the_line() -> None:
    line = line_of("a", "a", "b")
    assert line.pop({}) == "a0"
    assert line.pop({}) == "b0"
    line.push("b", "b1")
    assert [line.pop({}) for _ in range(2)] == ["a1", "b1"]


@given(st.lists(_LANES, max_size=40), st.sets(_LANES))
def test_what_is_discarded_is_not_served(lanes: list[str], gone: set[str]) -> None:
    line = line_of(*lanes)
    line.discard(lambda item: item[0] in gone)
    left = sorted(lane for lane in lanes if lane not in gone)
    assert len(line) == len(left)
    assert sorted(item[0] for item in line.drain()) == left
    assert not line
