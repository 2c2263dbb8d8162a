"""The mean of checkpoints: of what was trained, and only where they come from the same model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import typer
from memsvc_client.cli import exits
from memsvc_router.averaging import average_checkpoints
from memsvc_router.checkpoint import load_checkpoint, save_checkpoint
from typer.testing import CliRunner

from memsvc.model_cli import register
from tests.test_router_training import tiny_network, words


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Checkpoints whose pointers weigh 1 and 2, alike in all else."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for value, folder in enumerate(folders, 1):
        network = tiny_network()
        network.pointer.start_end.weight.data.fill_(float(value))
        save_checkpoint(network, words(), folder)
    return folders


def test_what_was_trained_is_averaged_and_documents_are_encoded_as_before(
    two: list[Path], tmp_path: Path
) -> None:
    identity = average_checkpoints(two, tmp_path / "mean")
    mean, _, same = load_checkpoint(tmp_path / "mean", torch.float32)
    first, _, its = load_checkpoint(two[0], torch.float32)
    assert identity.digest == same.digest == its.digest
    assert mean.pointer.start_end.weight.unique().tolist() == [1.5]
    for name, weight in first.state_dict().items():
        if not name.startswith("pointer.start_end.weight"):
            torch.testing.assert_close(mean.state_dict()[name], weight, atol=1e-4, rtol=1e-3)


def test_only_what_comes_from_the_same_model_is_averaged(two: list[Path], tmp_path: Path) -> None:
    network = tiny_network()
    next(network.encoder.encoder.layer[0].parameters()).data.fill_(0.5)
    save_checkpoint(network, words(), tmp_path / "other")
    app, out = typer.Typer(), tmp_path / "out"
    register(app)
    for models, told in (
        ([*two, tmp_path / "other"], "does not come from the same model"),
        (two[:1], "at least two"),
        ([two[0], tmp_path / "gone"], "gone"),
    ):
        arguments = ["model", "average", *map(str, models), "--out", str(out)]
        ran = CliRunner().invoke(app, arguments)
        assert ran.exit_code == exits.USAGE
        assert told in " ".join(ran.stderr.split())
        assert not out.exists()
    ran = CliRunner().invoke(app, ["model", "average", *map(str, two), "--out", str(two[0])])
    assert ran.exit_code == exits.USAGE
