"""Stages of several threads add up to the time that passed."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from memsvc.bench.clock import StageClock

_SECONDS = 0.05


class Work:
    """What is watched."""

    def slow(self, until: threading.Barrier) -> str:
        until.wait()
        time.sleep(_SECONDS)
        return "done"

    def both(self) -> list[str]:
        until = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self.slow, [until, until]))


def test_threads_side_by_side_share_the_time_and_who_waits_has_none() -> None:
    clock = StageClock("rest")
    with clock.watching({"slow": [(Work, "slow")], "both": [(Work, "both")]}):
        began = time.perf_counter()
        with clock.inside("rest"):
            assert Work().both() == ["done", "done"]
        passed = time.perf_counter() - began
    assert sum(clock.seconds.values()) == pytest.approx(passed, rel=0.05)
    assert clock.seconds["slow"] > _SECONDS / 2
    clock.clear()
    Work().both()  # not watched any more
    assert not clock.seconds


def test_the_innermost_stage_counts_and_errors_end_it() -> None:
    clock = StageClock("rest")
    with clock.inside("rest"), clock.inside("inner"):
        time.sleep(_SECONDS)
    with pytest.raises(ZeroDivisionError), clock.inside("inner"):
        raise ZeroDivisionError
    with clock.inside("rest"):
        pass
    assert clock.seconds["inner"] >= _SECONDS
    assert clock.seconds["rest"] < _SECONDS
    with pytest.raises(AttributeError), clock.watching({"none": [(Work, "none")]}):
        pass
