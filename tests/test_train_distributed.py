"""Training on two processes: they are one run, whose batches are shared between them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from memsvc_router.training.checkpointing import STATE
from memsvc_router.training.distributed import gather_rows
from memsvc_router.training.loop import Loop

from tests.train_support import OPTIONS, PairsTask, losses, same

ROOT = Path(__file__).resolve().parent.parent
SUPPORT = ROOT / "tests/train_support.py"
STEPS = 8
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}


def launch(folder: Path, *options: str, **more: str) -> int:
    """Train on two processes over gloo; the exit status of the launcher."""
    path = os.pathsep.join(str(ROOT / one) for one in ("", "router", "kernels"))
    own = {"PYTHONPATH": path, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    ran = subprocess.run(
        [*launcher, "--nproc-per-node", "2", SUPPORT, folder, str(STEPS), *options],
        env={**os.environ, **own, **more},
        capture_output=True,
        text=True,
        timeout=280,
    )
    return ran.returncode


def exported(folder: Path, name: str = "exported") -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / name / "weights.pt", weights_only=True)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process that sees both halves of each batch."""
    folder = tmp_path_factory.mktemp("alone")
    task = PairsTask()
    loop = Loop(task, OPTIONS, folder)
    loop.run(STEPS)
    loop.export(folder / "exported", PairsTask)
    return folder


def agree(folder: Path, alone: Path) -> None:
    """The same course and, within rounding, the same parameters."""
    ours, theirs = losses(folder), losses(alone)
    assert list(ours) == list(theirs)
    assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=1e-4)
    for name, value in exported(folder).items():
        torch.testing.assert_close(value, exported(alone)[name], rtol=1e-3, atol=1e-4)


def test_two_processes_train_as_one_that_sees_both_batches(tmp_path: Path, alone: Path) -> None:
    assert launch(tmp_path, "--total", str(OPTIONS.steps)) == 0
    assert same(exported(tmp_path, "rank0"), exported(tmp_path, "rank1"))
    agree(tmp_path, alone)


def test_a_sharded_run_is_resumed_and_exported_whole(tmp_path: Path, alone: Path) -> None:
    assert launch(tmp_path, "--total", str(OPTIONS.steps), "--die-in-save", "2", **FSDP) != 0
    assert torch.load(tmp_path / STATE, weights_only=True)["step"] == 2
    assert launch(tmp_path, "--total", str(OPTIONS.steps), **FSDP) == 0
    if (tmp_path / "rank0").exists():
        pytest.skip("this version of accelerate does not shard on a CPU")
    agree(tmp_path, alone)
    fresh = PairsTask()
    fresh.module.load_state_dict(exported(tmp_path))


def test_one_process_has_its_own_rows() -> None:
    rows = torch.randn(3, 2)
    assert gather_rows(rows) is rows
