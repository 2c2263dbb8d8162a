"""Published checkpoints: the engine agrees with what was computed elsewhere, in every shape, and
the check notices where it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from memsvc_client.cli import exits
from memsvc_router.decoder.conformance import check
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

from memsvc.model_cli import register
from tests.conformance_support import TINY, make_conformance
from tests.msa_reference import Reference, question_input

RAW = {"aux_loss_method": "INFONCE_DECOUPLE"}
SHAPES: dict[str, dict[str, Any]] = {
    "six layers, GQA 4:1": {"layers": 6, "heads": 8, "groups": 2, "router_layers": "3,4,5"},
    "one key head": {"groups": 1},
    "pool of 64": {"pool": 64},
    "raw scores": RAW,
    "60 documents": {"documents": 60, "top_k": 16, "seed": 1},
    "fewer documents than k": {"documents": 2},
    "best head": {"head_reduce_method": "max"},
    "mean over the question": {"query_reduce_method": "mean"},
    "last of the question": {"query_reduce_method": "last"},
    "mean over chunks": {"chunk_reduce_method": "mean"},
    "attention's own routing": {"decouple_router": False, "seed": 1},
    "attention's own routing, raw": {"decouple_router": False, **RAW},
    "untied head": {"tied": False},
    "all layers": {"router_layers": "all"},
    "all at once": {
        "layers": 6,
        "hidden": 96,
        "heads": 8,
        "groups": 2,
        "pool": 64,
        "top_k": 8,
        "router_layers": "all",
        "documents": 60,
        "tied": False,
        "head_reduce_method": "max",
        "query_reduce_method": "mean",
        "chunk_reduce_method": "mean",
        **RAW,
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tiny directory, to be changed."""
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


def conformance(folder: Path) -> tuple[int, set[str]]:
    """Exit status of `memsvc model conformance`, and the checks that did not hold."""
    app = typer.Typer()
    register(app)
    done = CliRunner().invoke(app, ["model", "conformance", str(folder)])
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len([line for line in lines if line[0] in ("ok", "FAIL")]) > 20, done.output
    return done.exit_code, {line[1].rstrip(":") for line in lines if line[0] == "FAIL"}


def change(path: Path, name: str, edit: Callable[[Tensor], object]) -> None:
    """Edit one tensor of a file in place."""
    tensors = load_file(path)
    edit(tensors[name])
    save_file(tensors, path, {"format": "pt"})


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def test_the_reference_gives_what_was_computed_elsewhere() -> None:
    told = json.loads((TINY / "expected.json").read_text())
    expected = load_file(TINY / "expected.safetensors")
    reference = Reference(TINY / "checkpoint")
    for number, text in enumerate(told["documents"]):
        reference.remember(text, number)
    for layer in reference.settings.router_layers:
        for name in ("key", "value", "routing_key"):
            found = torch.cat([getattr(blocks[layer], name) for blocks in reference.memory])
            assert relative(found, expected[f"memory.{layer}.{name}"]) <= 1e-3
    for layer, pair in reference.prefix.local.items():
        for name, found in zip(("key", "value"), pair, strict=True):
            assert relative(found, expected[f"prefix.{layer}.{name}"]) <= 1e-3
    tokens = reference.tokens(question_input(told["question"]))
    assert tokens == expected["query.input_ids"].tolist()
    routed = int((expected["query.doc_ids"] == 0).sum())
    answer = reference.question(tokens, routed)
    for layer, route in told["route"].items():
        assert answer.routes[int(layer)] == route["topk_doc_ids"]
        scores = answer.scores[int(layer)][route["topk_doc_ids"]]
        torch.testing.assert_close(scores, torch.tensor(route["score"]), atol=1e-5, rtol=0)
    assert (answer.logits - expected["query.logits"]).abs().max() <= 1e-4
    assert reference.continuation(tokens, routed, 12) == told["greedy_tokens"]


def test_the_engine_gives_what_was_computed_elsewhere() -> None:
    assert conformance(TINY) == (exits.OK, set())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_engine_gives_what_the_reference_computes(shape: str, tmp_path: Path) -> None:
    # Seeds are such that no choice is closer than 1e-4: `make_conformance` refuses others.
    checks = check(make_conformance(tmp_path / "made", **SHAPES[shape]))
    assert [one for one in checks if not one.ok] == []
    names = {one.name.split(".")[0] for one in checks}
    assert names == {"memory", "prefix", "query", "route", "score", "greedy_tokens"}


def test_one_changed_weight_is_noticed(folder: Path) -> None:
    def turn(weight: Tensor) -> None:
        weight[7, 7] += 0.1

    change(folder / "checkpoint/model.safetensors", "model.layers.1.mlp.up_proj.weight", turn)
    status, wrong = conformance(folder)
    assert status == exits.FAULT
    assert {"memory.2.key", "query.logits"} <= wrong


def test_one_changed_router_weight_is_noticed(folder: Path) -> None:
    def turn(weight: Tensor) -> None:
        weight[3] *= -1

    name = "model.layers.3.self_attn.router_k_proj.0.weight"
    change(folder / "checkpoint/model.safetensors", name, turn)
    status, wrong = conformance(folder)
    assert status == exits.FAULT
    assert {"memory.3.routing_key", "score.3"} <= wrong
    assert not {"memory.3.key", "score.2"} & wrong


def test_one_changed_block_is_noticed(folder: Path) -> None:
    def turn(block: Tensor) -> None:
        block[17, 1] += 0.01 * block.abs().max()

    change(folder / "expected.safetensors", "memory.3.value", turn)
    assert conformance(folder) == (exits.FAULT, {"memory.3.value"})


def test_one_changed_route_is_noticed(folder: Path) -> None:
    path = folder / "expected.json"
    told = json.loads(path.read_text())
    told["route"]["2"]["topk_doc_ids"][1] = 11
    path.write_text(json.dumps(told))
    assert conformance(folder) == (exits.FAULT, {"route.2"})


def test_one_changed_greedy_token_is_noticed(folder: Path) -> None:
    path = folder / "expected.json"
    told = json.loads(path.read_text())
    told["greedy_tokens"][-1] += 1
    path.write_text(json.dumps(told))
    assert conformance(folder) == (exits.FAULT, {"greedy_tokens"})


def test_a_number_that_is_none_is_no_agreement(folder: Path) -> None:
    def spoil(logits: Tensor) -> None:
        logits[0, 0] = torch.nan

    change(folder / "expected.safetensors", "query.logits", spoil)
    assert conformance(folder) == (exits.FAULT, {"query.logits"})


@pytest.mark.parametrize("name", ["expected.json", "expected.safetensors", "checkpoint"])
def test_an_incomplete_directory_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=name):
        check(folder)
