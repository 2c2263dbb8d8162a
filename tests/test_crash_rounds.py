"""A server killed with SIGKILL in the middle of writes loses nothing that it acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.crash import CrashRounds
from benchmarks.crash_traffic import Ledger, Verdict


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_rounds_of_sigkill(tmp_path: Path) -> None:
    rounds = CrashRounds(tmp_path, seed=3)
    assert rounds.run(3) == Verdict()
    assert rounds.writes["add"] > 0


def test_the_judge_sees_what_is_wrong() -> None:
    def ledger() -> Ledger:
        return Ledger({"kept": "k", "gone": None}, {"new-1": "a", "new-2": "b"})

    assert ledger().judge({"kept": "k"}) == Verdict()
    assert ledger().judge({"kept": "k", "new-1": "a", "new-2": "b"}) == Verdict()
    assert ledger().judge({}).lost == ["kept"]
    assert ledger().judge({"kept": "older"}).lost == ["kept"]
    assert ledger().judge({"kept": "k", "gone": "g"}).resurrected == ["gone"]
    assert ledger().judge({"kept": "k", "new-1": "a"}).torn == ["new-1", "new-2"]


def test_what_is_found_after_a_crash_is_the_truth_from_then_on() -> None:
    ledger = Ledger({"kept": "k"}, {"kept": None})
    assert ledger.judge({}) == Verdict()
    assert ledger.living == []
    assert ledger.judge({"kept": "k"}).resurrected == ["kept"]
