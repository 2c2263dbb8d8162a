"""A server that is started with another model, as an operator does it: nothing is lost or mixed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import memsvc_router
import pytest
from memsvc_client import Bank, FailedPrecondition, MemoryClient
from memsvc_client.cli import exits
from safetensors.numpy import load_file, save_file

from tests.e2e_support import FACTS, Served, environment, serving

QUESTION = "Where does the key of the cellar hang?"


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that ships, with one weight changed by a little: another identity."""
    folder = tmp_path_factory.mktemp("models") / "other"
    shutil.copytree(Path(memsvc_router.__file__).parent / "default_model", folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = min(name for name in tensors if tensors[name].ndim == 1)
    tensors[name] = tensors[name] + tensors[name].dtype.type(1e-3)
    save_file(tensors, file)
    return folder


def memsvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memsvc_client.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment(),
    )


def data(*arguments: str) -> Any:
    run = memsvc(*arguments, "--json")
    assert run.returncode == exits.OK, run.stdout + run.stderr
    return json.loads(run.stdout)["data"]


def ended(client: MemoryClient) -> Bank:
    """The bank once its re-encoding has ended. Until then it answers right, or not at all."""
    while (bank := client.get_bank("notes")).reencoding is not None:
        try:
            assert client.recall("notes", QUESTION).hits[0].document.endswith("/keys")
        except FailedPrecondition as refusal:
            if refusal.reason != "BANK_REENCODING" or not refusal.retryable:
                raise
            client.wait_operation(bank.reencoding.operation, timeout=120)
    return bank


@pytest.mark.timeout(600)
def test_another_model_takes_over_and_gives_back(tmp_path: Path, other_model: Path) -> None:
    folder = tmp_path / "data"
    with serving(folder) as served, MemoryClient(served.target) as client:
        client.wait_serving()
        client.create_bank("notes")
        added = client.add("notes", FACTS)
        assert added.operation is not None
        client.wait_operation(added.operation, timeout=120)
        before = client.get_bank("notes").serving_identity
        _estimates(served, other_model)
    # The model before was the one that ships: it is known without being named.
    with (
        serving(folder, "--model", str(other_model)) as served,
        MemoryClient(served.target) as client,
    ):
        client.wait_serving()
        assert client.recall("notes", QUESTION).hits[0].document.endswith("/keys")
        bank = ended(client)
        assert bank.serving_identity == bank.loaded_identity != before
        shown = memsvc("bank", "show", "notes", "--server", served.target)
        assert "by the loaded model" in shown.stdout
        assert bank.identity_digest in shown.stdout
    # Nobody can read the blocks of the other model now.
    with serving(folder) as served, MemoryClient(served.target) as client:
        client.wait_serving()
        bank = ended(client)
        assert bank.serving_identity == bank.loaded_identity == before
        assert client.recall("notes", QUESTION).hits[0].document.endswith("/keys")
        told = [one.kind for one in client.list_operations(bank="notes", state="DONE")]
        assert told == ["REENCODE", "REENCODE", "ENCODE"]


def _estimates(served: Served, model: Path) -> None:
    by_server = data(
        "bank", "estimate", "--tokens", "1000000", "--documents", "5000", "--server", served.target
    )
    offline = data(
        "bank", "estimate", "--tokens", "1000000", "--documents", "5000", "--model", str(model)
    )
    assert offline["encode_seconds"] is None
    assert by_server["encode_seconds"] > 0
    for field in ("chunk_count", "near_bytes", "far_bytes", "hop_bytes", "k"):
        assert offline[field] == by_server[field]
    shape = data(
        "bank", "estimate", "--tokens", "1000", "--like", "notes", "--server", served.target
    )
    assert shape["document_count"] > 10
    wrong = memsvc("bank", "estimate", "--tokens", "5", "--model", str(model / "none"), "--json")
    assert wrong.returncode == exits.USAGE
    both = memsvc("bank", "estimate", "--tokens", "5", "--model", str(model), "--like", "notes")
    assert both.returncode == exits.USAGE
    assert "--like stands alone" in both.stderr
