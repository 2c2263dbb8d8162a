"""Any decoder loads as it was saved, within its size; what does not fit is refused by name."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from memsvc_router import SmallMemoryModel, load_model
from memsvc_router.checkpoint import DEFAULT_MODEL
from memsvc_router.decoder.initialise import init_checkpoint
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.shards import Shards, write_shards
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.decoder_support import (
    FAMILIES,
    TEMPLATE,
    change_config,
    ends,
    make_checkpoint,
    make_network,
    make_published,
    make_tokenizer,
)

ROOT = Path(__file__).resolve().parent.parent
ROUTER = "model.layers.2.self_attn.router_q_proj.0.weight"
NORM = "model.layers.1.input_layernorm.weight"


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_decoder_of_any_family_loads_as_it_was_saved(
    tmp_path: Path, family: str, tied: bool, dtype: torch.dtype
) -> None:
    made = make_checkpoint(tmp_path, family, tied=tied, dtype=dtype)
    assert len(list(made.glob("*.safetensors"))) > 1
    decoder = load_decoder(made)
    original = make_network(family, tied=tied, dtype=dtype)
    expected, found = original.state_dict(), decoder.network.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], tensor), name
    buffers = dict(decoder.network.named_buffers())
    for name, buffer in original.named_buffers():
        assert torch.equal(buffers[name], buffer), name
    embeddings, head = ends(decoder.network)
    assert (embeddings is head) == tied
    assert decoder.identity.dtype == str(dtype).removeprefix("torch.")
    assert not decoder.network.training


@pytest.mark.parametrize("family", FAMILIES)
def test_routers_of_the_published_format_stand_where_they_belong(
    tmp_path: Path, family: str
) -> None:
    made = make_published(tmp_path, family, dtype=torch.bfloat16)
    decoder = load_decoder(made)
    stored, found = load_file(made / "model.safetensors"), decoder.network.state_dict()
    routers = [name for name in stored if ".router_" in name]
    assert len(routers) == 4
    assert all(torch.equal(found[name], stored[name]) for name in routers)
    assert not decoder.routers_missing
    assert decoder.identity.model == f"msa/{family}/msa"
    assert decoder.identity.router_layers == (2, 3)


def test_another_precision_may_be_asked_for(tmp_path: Path) -> None:
    made = make_published(tmp_path, dtype=torch.bfloat16)
    decoder = load_decoder(made, torch.float32)
    assert {p.dtype for p in decoder.network.parameters()} == {torch.float32}
    assert decoder.identity == load_decoder(made).identity  # its blocks differ by rounding alone


def test_missing_routers_are_said_clearly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        decoder = load_decoder(make_checkpoint(tmp_path, "llama"))
    assert decoder.routers_missing
    assert not decoder.config.decouple_router
    assert "no routers" in caplog.text
    assert "memsvc model init" in caplog.text


def test_loading_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = make_published(tmp_path)
    capfd.readouterr()
    load_decoder(made)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_every_weight_and_what_shapes_it_is_part_of_the_identity(tmp_path: Path) -> None:
    made = make_published(tmp_path)
    seen = {load_decoder(made).identity.weights_digest}
    for name in (NORM, ROUTER, "lm_head.weight"):
        change_weights(made, lambda w, name=name: w[name].view(-1)[-1:].add_(1))  # type: ignore[misc]
        seen.add(load_decoder(made).identity.weights_digest)
    change_config(made, rope_parameters={"rope_type": "default", "rope_theta": 5.0})
    seen.add(load_decoder(made).identity.weights_digest)
    assert len(seen) == 5


def test_the_identity_does_not_depend_on_how_weights_are_spread(tmp_path: Path) -> None:
    made = make_published(tmp_path)
    before = load_decoder(made).identity
    weights = load_file(made / "model.safetensors")
    (made / "model.safetensors").unlink()
    write_shards(made, weights.items(), 50_000)
    assert len(list(made.glob("*.safetensors"))) > 3
    assert load_decoder(made).identity == before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    made = make_published(tmp_path)
    (made / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace(".", r"\.")):
        load_decoder(made)


def test_a_missing_shard_is_named_with_the_index(tmp_path: Path) -> None:
    made = make_checkpoint(tmp_path, "qwen3")
    lost = sorted(made.glob("*.safetensors"))[2]
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{lost.name}.*index\.json names it"):
        load_decoder(made)


@pytest.mark.parametrize("left", [0, 4, 2000, -1])
def test_a_truncated_shard_is_named(tmp_path: Path, left: int) -> None:
    made = make_checkpoint(tmp_path, "qwen3")
    shard = sorted(made.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:left])
    with pytest.raises(ValueError, match=rf"{shard.name}.*truncated.*fetch the file again"):
        load_decoder(made)


@pytest.mark.parametrize(
    "index", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../evil.safetensors"}}']
)
def test_an_index_that_cannot_be_followed_is_named(tmp_path: Path, index: str) -> None:
    made = make_checkpoint(tmp_path, "qwen3")
    (made / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json"):
        load_decoder(made)


def test_a_tensor_that_only_the_index_knows_is_named(tmp_path: Path) -> None:
    made = make_checkpoint(tmp_path, "qwen3")
    path = made / "model.safetensors.index.json"
    body = json.loads(path.read_text())
    body["weight_map"]["ghost.weight"] = next(iter(body["weight_map"].values()))
    path.write_text(json.dumps(body))
    with pytest.raises(ValueError, match=r"ghost\.weight"):
        load_decoder(made)


@pytest.mark.parametrize(
    ("family", "shape", "reason"),
    [
        ("lfm2", {"layer_types": ["conv", "full_attention"] * 2}, r"layers \[0, 2\] have no att"),
        ("xglm", {"head_width": None}, "does not let its attention be replaced"),
        ("gptj", {"head_width": None}, "does not let its attention be replaced"),
    ],
)
def test_a_family_without_a_place_for_memory_is_refused(
    tmp_path: Path, family: str, shape: dict[str, Any], reason: str
) -> None:
    made = make_checkpoint(tmp_path, family, **shape)
    with pytest.raises(ValueError, match=reason):
        load_decoder(made)
    with pytest.raises(ValueError, match=reason):
        init_checkpoint(made, tmp_path / "out")


@pytest.mark.parametrize("name", [NORM, ROUTER])
def test_a_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    made = make_published(tmp_path)
    change_weights(made, lambda weights: weights.pop(name))
    with pytest.raises(ValueError, match=f"lack {name}"):
        load_decoder(made)


@pytest.mark.parametrize(
    "name", ["model.layers.9.mlp.up_proj.weight", ROUTER.replace("2", "1"), "odd"]
)
def test_an_unexpected_tensor_is_named(tmp_path: Path, name: str) -> None:
    made = make_published(tmp_path)
    change_weights(made, lambda weights: weights.update({name: torch.zeros(3)}))
    with pytest.raises(ValueError, match=f"hold {name}"):
        load_decoder(made)


@pytest.mark.parametrize("name", [NORM, ROUTER])
def test_a_wrong_shape_is_named_with_both(tmp_path: Path, name: str) -> None:
    made = make_published(tmp_path)
    change_weights(made, lambda weights: weights.update({name: torch.zeros(5)}))
    with pytest.raises(ValueError, match=rf"{name} is \[5\], expected \[64"):
        load_decoder(made)


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    made = make_published(tmp_path)
    change_weights(
        made, lambda w: w.update({n: t.to(torch.float8_e4m3fn) for n, t in w.items() if t.ndim})
    )
    with pytest.raises(ValueError, match="F8_E4M3"):
        load_decoder(made)


def test_pickles_are_never_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = make_published(tmp_path)
    trace = tmp_path / "it-ran"
    bomb = f"cos\nsystem\n(S'touch {trace}'\ntR.".encode()
    (made / "pytorch_model.bin").write_bytes(bomb)
    (made / "optimizer.pt").write_bytes(bomb)
    load_decoder(made)
    assert "pytorch_model.bin" in caplog.text
    (made / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"pytorch_model\.bin.*safetensors with save_pretrained"):
        load_decoder(made)
    assert not trace.exists()


@pytest.mark.parametrize("token", ["<|im_start|>", "<|im_end|>", "<|object_ref_end|>"])
def test_a_tokenizer_without_the_template_is_sent_to_init(tmp_path: Path, token: str) -> None:
    others = tuple(one for one in TEMPLATE if one != token)
    made = make_checkpoint(tmp_path, "qwen3", tokenizer=make_tokenizer(others))
    with pytest.raises(ValueError, match="memsvc model init BASE OUT") as refused:
        load_decoder(made)
    assert token in str(refused.value)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    made = make_checkpoint(tmp_path, "qwen3", vocabulary=300)
    with pytest.raises(ValueError, match=r"ids up to 399.*vocab_size is 300"):
        load_decoder(made)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_file_that_is_not_json_is_named(tmp_path: Path, name: str) -> None:
    made = make_published(tmp_path)
    (made / name).write_text("{ not json")
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        load_decoder(made)


def test_a_wrong_field_is_named_with_the_file(tmp_path: Path) -> None:
    made = make_published(tmp_path)
    change_config(made, max_position_embeddings=None)
    with pytest.raises(ValueError, match=r"config\.json: max_position_embeddings: missing"):
        load_decoder(made)


def test_a_name_stands_for_the_model_that_it_names(tmp_path: Path) -> None:
    assert isinstance(load_model(None), SmallMemoryModel)
    assert isinstance(load_model(str(DEFAULT_MODEL)), SmallMemoryModel)
    assert isinstance(load_model(str(make_published(tmp_path))), DecoderMemoryModel)
    with pytest.raises(FileNotFoundError, match="no such directory"):
        load_model(str(tmp_path / "gone"))


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    """A refusal must not cost the reading of gigabytes."""
    shards = Shards(make_published(tmp_path))
    assert all(one.digest is None for one in shards.tensors.values())
    assert shards.tensors[NORM][...].shape == (64,)
    assert [n for n, one in shards.tensors.items() if one.digest is not None] == [NORM]


@pytest.mark.slow
def test_loading_takes_little_more_memory_than_the_weights() -> None:
    command = [sys.executable, "-m", "benchmarks.load", "--gigabytes", "0.6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["ratio"] <= 1.1
