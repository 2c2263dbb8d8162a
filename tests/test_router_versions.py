"""Versions of the router: one serves at any time, whatever is killed and when."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from memsvc_storage import RouterNotFound, RoutersBusy, RoutersDamaged, RouterVersions

WEIGHTS = b"weights of some kind" * 1000


def _write(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(WEIGHTS)
    (checkpoint / "config.json").write_text("{}")


def _add(versions: RouterVersions, parent: int = 0) -> int:
    with versions.drafting("some-model") as draft:
        _write(draft)
        return versions.keep(draft, parent, {"bank": "b", "feedback": 3}).number


def _states(data: Path) -> dict[int, str]:
    return {one.number: one.state for one in RouterVersions(data).all()}


def _survives(step: Callable[[], None], kill_at: int) -> bool:
    """Run `step` in a child that is killed at its `kill_at`-th call that touches the disk's
    order of things; whether it came to its end."""
    child = os.fork()
    if child == 0:
        left = kill_at
        fsync, rename, replace = os.fsync, os.rename, os.replace

        def counted(real: Callable[..., None]) -> Callable[..., None]:
            def call(*arguments: object, **named: object) -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                real(*arguments, **named)

            return call

        os.fsync, os.rename, os.replace = counted(fsync), counted(rename), counted(replace)
        try:
            step()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def test_a_version_is_a_candidate_until_it_is_promoted(tmp_path: Path) -> None:
    versions = RouterVersions(tmp_path)
    assert versions.current() is None
    assert versions.all() == []
    first = _add(versions)
    found = versions.get(first)
    assert (found.parent, found.state, found.facts) == (
        0,
        "candidate",
        {"bank": "b", "feedback": 3},
    )
    assert found.checkpoint.name == "some-model"
    assert (found.checkpoint / "model.safetensors").read_bytes() == WEIGHTS
    assert versions.current() is None
    versions.promote(first)
    current = RouterVersions(tmp_path).current()
    assert current is not None
    assert (current.number, current.state) == (first, "current")


def test_rolling_back_goes_from_child_to_parent(tmp_path: Path) -> None:
    versions = RouterVersions(tmp_path)
    first = _add(versions)
    versions.promote(first)
    _add(versions, first)  # was not better
    third = _add(versions, first)
    versions.promote(third)
    before = versions.previous()
    assert before is not None
    assert before.number == first
    assert _states(tmp_path) == {1: "retired", 2: "candidate", 3: "current"}
    assert versions.rollback() == first
    assert _states(tmp_path) == {1: "current", 2: "candidate", 3: "retired"}
    assert versions.rollback() == 0
    assert versions.current() is None
    with pytest.raises(RouterNotFound):
        versions.rollback()
    assert _states(tmp_path) == {1: "retired", 2: "candidate", 3: "retired"}


def test_promoting_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    versions = RouterVersions(tmp_path)
    versions.promote(_add(versions))
    with pytest.raises(RouterNotFound):
        versions.promote(7)
    assert _states(tmp_path) == {1: "current"}


def test_a_number_that_served_is_given_once(tmp_path: Path) -> None:
    versions = RouterVersions(tmp_path)
    versions.promote(_add(versions))
    versions.promote(0)
    for path in sorted((tmp_path / "routers" / "1").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "routers" / "1").rmdir()
    assert _add(versions) == 2
    assert versions.previous() is None


def test_a_draft_that_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    versions = RouterVersions(tmp_path)

    def fail_while_drafting() -> None:
        with versions.drafting("some-model") as draft:
            _write(draft)
            raise OSError("no space left on the disk")

    with pytest.raises(OSError, match="disk"):
        fail_while_drafting()
    assert versions.all() == []
    assert not list((tmp_path / "routers").glob(".draft*"))


def test_only_one_at_a_time_makes_a_version(tmp_path: Path) -> None:
    with RouterVersions(tmp_path).drafting("some-model"):
        other = RouterVersions(tmp_path)
        with pytest.raises(RoutersBusy), other.drafting("some-model"):
            pass
        other.promote(0)  # what serves can be changed meanwhile


def test_a_damaged_pointer_is_named_and_can_be_written_anew(tmp_path: Path) -> None:
    versions = RouterVersions(tmp_path)
    number = _add(versions)
    versions.promote(number)
    (tmp_path / "routers" / "current.json").write_text('{"current": ')
    with pytest.raises(RoutersDamaged, match=r"current\.json"):
        versions.current()
    versions.promote(number)
    current = versions.current()
    assert current is not None
    assert current.number == number


def test_a_kill_between_any_two_steps_leaves_whole_versions_and_one_that_serves(
    tmp_path: Path,
) -> None:
    versions = RouterVersions(tmp_path)
    served = _add(versions)
    versions.promote(served)

    def make_and_promote() -> None:
        mine = RouterVersions(tmp_path)
        mine.promote(_add(mine, served))

    outcomes = set()
    for kill_at in range(100):
        done = _survives(make_and_promote, kill_at)
        after = RouterVersions(tmp_path)
        for one in after.all():
            assert (one.checkpoint / "model.safetensors").read_bytes() == WEIGHTS
        current = after.current()
        assert current is not None
        newest = max(_states(tmp_path))
        outcomes.add(current.number == newest)
        assert current.number in (served, newest)
        if done:
            assert current.number == newest
            break
        versions.promote(served)
    else:
        pytest.fail("it never came to its end")
    assert kill_at >= 5
    assert outcomes == {True, False}
    with versions.drafting("some-model") as draft:
        assert list((tmp_path / "routers").glob(".draft*")) == [draft.parent]
