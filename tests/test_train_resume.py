"""A training run that is stopped, killed or out of room goes on, and ends where it would have."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from memsvc_router.training.checkpointing import STATE, ResumeError, SaveError
from memsvc_router.training.loop import Loop
from memsvc_router.training.metrics import METRICS, read_rows
from torch import nn

from tests.train_support import OPTIONS, PairsTask, losses, same, train, weights

ROOT = Path(__file__).resolve().parent.parent
SUPPORT = ROOT / "tests/train_support.py"


@contextmanager
def training(folder: Path, steps: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A process that trains; killed at the end if it still does."""
    path = os.pathsep.join(str(ROOT / one) for one in ("", "router", "kernels"))
    ran = subprocess.Popen(
        [sys.executable, SUPPORT, folder, str(steps), "--dropout", "0.2", *options],
        env={**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield ran
    finally:
        ran.kill()
        ran.communicate()


def test_a_run_killed_between_saves_ends_where_it_would_have(tmp_path: Path) -> None:
    train(tmp_path / "whole", steps=9)
    killed = tmp_path / "killed"
    with training(killed, 9, "--pause", "0.05", "--save-every", "4") as ran:
        while ran.poll() is None and len(read_rows(killed)) < 6:
            time.sleep(0.01)
        ran.kill()
        assert ran.wait() == -signal.SIGKILL
    with (killed / METRICS).open("a") as rows:
        rows.write('{"step": 7, "lo')  # as a row that a kill cut short
    assert train(killed, steps=9).resumed == 4
    assert same(weights(tmp_path / "whole"), weights(killed))
    assert losses(tmp_path / "whole") == losses(killed)


def test_a_run_killed_while_it_saves_ends_where_it_would_have(tmp_path: Path) -> None:
    train(tmp_path / "whole", steps=6)
    killed = tmp_path / "killed"
    with training(killed, 6, "--die-in-save", "2") as ran:
        assert ran.wait() == -signal.SIGKILL
    assert (killed / f"{STATE}.part").exists()
    assert train(killed, steps=6).resumed == 2
    assert same(weights(tmp_path / "whole"), weights(killed))
    assert losses(tmp_path / "whole") == losses(killed)
    assert not (killed / f"{STATE}.part").exists()


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """As on a full disk: a write beyond it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_last_state(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    folder = tmp_path / "run"
    train(folder, until=4)
    before = (folder / STATE).read_bytes()
    room = len(before) // 2
    with files_no_longer_than(room), pytest.raises(SaveError, match=r"state\.pt .*is intact"):
        train(folder)
    assert (folder / STATE).read_bytes() == before
    assert not (folder / f"{STATE}.part").exists()
    train(folder)
    assert same(weights(tmp_path / "whole"), weights(folder))
    assert losses(tmp_path / "whole") == losses(folder)


def test_metrics_on_a_full_disk_end_the_run(tmp_path: Path) -> None:
    train(tmp_path, until=4)
    state, room = (tmp_path / STATE).read_bytes(), (tmp_path / METRICS).stat().st_size + 20
    with files_no_longer_than(room), pytest.raises(SaveError, match=r"metrics\.jsonl"):
        train(tmp_path)
    assert (tmp_path / STATE).read_bytes() == state
    assert train(tmp_path, until=5).resumed == 4
    assert [row["step"] for row in read_rows(tmp_path)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("damage", [b"", b"no state", "half"])
def test_a_damaged_state_is_named(tmp_path: Path, damage: bytes | str) -> None:
    train(tmp_path, until=2)
    path = tmp_path / STATE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if isinstance(damage, str) else damage)
    with pytest.raises(ResumeError, match=r"state\.pt is no state.*remove the file"):
        train(tmp_path)


def test_a_state_of_another_run_is_refused_and_kept(tmp_path: Path) -> None:
    Loop(PairsTask(), OPTIONS, tmp_path, {"stage": "warmup", "data": "1f"}).run(2)
    before = (tmp_path / STATE).read_bytes()
    with pytest.raises(ResumeError, match="its stage is 'warmup', this run's 'main'"):
        Loop(PairsTask(), OPTIONS, tmp_path, {"stage": "main", "data": "1f"}).run()
    with pytest.raises(ResumeError, match="its seed is 3, this run's 4"):
        Loop(
            PairsTask(), replace(OPTIONS, seed=4), tmp_path, {"stage": "warmup", "data": "1f"}
        ).run()
    assert (tmp_path / STATE).read_bytes() == before


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    train(tmp_path, until=2)
    wider = PairsTask()
    wider.module.out = nn.Linear(64, 9)
    with pytest.raises(ResumeError, match=r"out\.bias is not that of the model"):
        train(tmp_path, wider)


def test_a_run_stopped_twice_ends_where_one_run_does(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole)
    assert train(parts, until=5).steps == 5
    train(parts, until=6)
    summary = train(parts)
    assert (summary.resumed, summary.steps, summary.finished) == (6, 12, True)
    assert same(weights(whole), weights(parts))
    assert losses(whole) == losses(parts)


def test_what_is_frozen_is_not_in_the_state_and_stays(tmp_path: Path) -> None:
    task = PairsTask()
    task.module.words.requires_grad_(False)
    before = task.module.words.weight.clone()
    train(tmp_path, task)
    assert torch.equal(task.module.words.weight, before)
    assert "words.weight" not in weights(tmp_path)
    assert "out.weight" in weights(tmp_path)


def test_where_no_terminal_is_nothing_is_printed(tmp_path: Path) -> None:
    with training(tmp_path / "run", 2) as ran:
        _, told = ran.communicate(timeout=240)
        assert ran.returncode == 0
    assert told == ""
