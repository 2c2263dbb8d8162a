"""Checkpoints: what was saved is what is loaded; what does not fit is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from memsvc_router import SmallMemoryModel
from memsvc_router.checkpoint import DEFAULT_MODEL, load_checkpoint, save_checkpoint
from safetensors.torch import load_file, save_file

from tests.router_support import TOWNS, default_model


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_MODEL, tmp_path / "copy"))


def test_a_saved_model_encodes_as_the_one_it_was_saved_from(tmp_path: Path) -> None:
    network, tokenizer, identity = load_checkpoint(DEFAULT_MODEL, torch.float32)
    save_checkpoint(network, tokenizer, tmp_path / "again")
    again = SmallMemoryModel(tmp_path / "again")
    assert again.identity.weights_digest == identity.weights_digest
    texts = list(TOWNS.values())[:3]
    for a, b in zip(again.encode(texts), default_model().encode(texts), strict=True):
        for name, tensor in a.tensors.items():
            assert (tensor == b.tensors[name]).all()


@pytest.mark.parametrize(
    ("name", "of_documents"),
    [
        ("encoder.encoder.layer.5.output.dense.weight", True),
        ("memory.0.value.weight", True),
        ("router.word_weight.weight", True),
        ("memory.0.query.weight", False),
        ("router.query.weight", False),
        ("reader.encoder.layer.5.output.dense.weight", False),
        ("pointer.start_end.weight", False),
    ],
)
def test_blocks_are_of_another_identity_only_if_documents_are_encoded_otherwise(
    copy: Path, name: str, of_documents: bool
) -> None:
    weights = load_file(copy / "model.safetensors")
    weights[name] = weights[name] + 1
    save_file(weights, copy / "model.safetensors")
    same = SmallMemoryModel(copy).identity.digest == default_model().identity.digest
    assert same is not of_documents


def test_an_unknown_field_is_named(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"pool_sise": 32}))
    with pytest.raises(ValueError, match="pool_sise"):
        load_checkpoint(copy)


def test_another_architecture_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    with pytest.raises(ValueError, match=r"model_type.*llama"):
        load_checkpoint(copy)


def test_a_missing_tensor_is_named(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["router.query.weight"]
    save_file(weights, copy / "model.safetensors")
    with pytest.raises(ValueError, match=r"router\.query\.weight"):
        load_checkpoint(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_checkpoint(copy)


def test_the_shipped_weights_fit_the_package() -> None:
    total = sum(f.stat().st_size for f in DEFAULT_MODEL.iterdir())
    assert total <= 60e6
    assert not [f for f in DEFAULT_MODEL.iterdir() if f.suffix in {".pt", ".bin", ".pkl"}]
