"""`init_checkpoint`: what it writes loads, holds the backbone bit for bit, and can be asked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from memsvc_router.api import DocumentText
from memsvc_router.decoder.initialise import init_checkpoint
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.shards import Shards
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoTokenizer

from tests.decoder_support import (
    FAMILIES,
    TEMPLATE,
    change_config,
    ends,
    make_checkpoint,
    make_published,
    make_tokenizer,
)


def tensors(folder: Path) -> dict[str, Tensor]:
    return {name: stored[...] for name, stored in Shards(folder).tensors.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_backbone_is_kept_bit_for_bit_and_routers_join(tmp_path: Path, family: str) -> None:
    base = make_checkpoint(tmp_path, family, dtype=torch.bfloat16)
    made = init_checkpoint(base, tmp_path / "out", shard_bytes=100_000)
    before, after = tensors(base), tensors(made.folder)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    routers = set(after) - set(before)
    assert len(routers) == 4
    assert {after[name].dtype for name in routers} == {torch.bfloat16}
    assert len(list(made.folder.glob("*.safetensors"))) > 1
    decoder = load_decoder(made.folder)
    assert not decoder.routers_missing
    assert decoder.config.decouple_router
    assert decoder.identity.model == f"msa/{family}/out"
    assert (made.tokens_added, made.router_layers) == ((), (2, 3))
    same = (base / "tokenizer.json", made.folder / "tokenizer.json")
    assert same[0].read_bytes() == same[1].read_bytes()


def test_routers_begin_as_the_attention_s_projections(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "llama")
    made = init_checkpoint(base, tmp_path / "out")
    weights = tensors(made.folder)
    assert (made.routers_copied, made.routers_drawn) == (4, 0)
    for side in "qk":
        own = weights[f"model.layers.3.self_attn.{side}_proj.weight"]
        router = weights[f"model.layers.3.self_attn.router_{side}_proj.0.weight"]
        assert torch.equal(own, router)


def test_routers_without_a_like_are_drawn_by_the_seed(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "phi3")  # its q, k and v are one matrix
    made = [init_checkpoint(base, tmp_path / f"out{i}", seed=i // 2) for i in range(3)]
    assert (made[0].routers_copied, made[0].routers_drawn) == (0, 4)
    name = "model.layers.3.self_attn.router_q_proj.0.weight"
    first, again, other = (tensors(one.folder)[name] for one in made)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0.5 < float(first.std()) * 8 < 2  # a projection that keeps the scale of 64 inputs


@pytest.mark.parametrize("family", [*FAMILIES, "gpt_neox"])
@pytest.mark.parametrize("tied", [False, True])
def test_tokens_of_the_template_are_added_with_rows_of_their_own(
    tmp_path: Path, family: str, tied: bool
) -> None:
    tokenizer = make_tokenizer(("<|im_start|>",))
    groups = 4 if family == "gpt_neox" else 2  # a family without grouped heads
    base = make_checkpoint(
        tmp_path, family, tokenizer=tokenizer, tied=tied, vocabulary=400, groups=groups
    )
    with pytest.raises(ValueError, match="memsvc model init"):
        load_decoder(base)
    made = init_checkpoint(base, tmp_path / "out")
    assert made.tokens_added == ("<|im_end|>", "<|object_ref_end|>")
    decoder = load_decoder(made.folder)
    assert [decoder.tokenizer.token_to_id(t) for t in made.tokens_added] == [400, 401]
    assert decoder.tokenizer.encode("a<|im_end|>b", add_special_tokens=False).ids[1] == 400
    found, original = ends(decoder.network), load_plain(base, make_tokenizer())
    for new, old in zip(found, original, strict=True):
        assert new.shape[0] == 402
        assert torch.equal(new[:400], old)
        rows = new[400:].detach()
        assert not torch.equal(rows[0], rows[1])
        assert (rows - old.mean(0)).abs().max() <= 5 * 0.1 * old.std(0).max()
    assert (found[0] is found[1]) == tied
    blocks = DecoderMemoryModel(decoder).encode([DocumentText("A", "some text", "7")])
    assert blocks[0].tokens > 4


def load_plain(base: Path, tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """The embeddings and the head of a base whose own tokenizer would be refused."""
    tokenizer.save(str(base / "tokenizer.json"))
    return ends(load_decoder(base).network)


def test_spare_rows_are_used_before_any_is_added(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(("<|im_start|>",))
    base = make_checkpoint(tmp_path, "qwen3", tokenizer=tokenizer, vocabulary=512)
    made = init_checkpoint(base, tmp_path / "out")
    name = "model.embed_tokens.weight"
    assert torch.equal(tensors(made.folder)[name], tensors(base)[name])
    assert json.loads((made.folder / "config.json").read_text())["vocab_size"] == 512


def test_transformers_reads_the_tokenizer_too(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "qwen3", tokenizer=make_tokenizer(TEMPLATE[:1]))
    made = init_checkpoint(base, tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(made.folder)
    assert tokenizer("a<|im_end|>", add_special_tokens=False).input_ids[-1] == 400


def test_options_stand_in_the_config(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "mistral")
    made = init_checkpoint(base, tmp_path / "out", pool_size=8, top_k=3, router_layers="0,3")
    config = load_decoder(made.folder).config
    assert (config.pool_size, config.top_k, config.router_layers) == (8, 3, (0, 3))
    body = json.loads((made.folder / "config.json").read_text())
    assert (body["model_type"], body["memsvc_backbone"]) == ("msa", "mistral")
    everywhere = init_checkpoint(base, tmp_path / "all", router_layers="all")
    assert everywhere.router_layers == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"router_layers": "7"}, "router_layer_idx"),
        ({"router_layers": "lower"}, "router_layer_idx"),
        ({"pool_size": 0}, "pooling_kernel_size"),
        ({"top_k": 0}, "top_k_docs"),
    ],
)
def test_a_wrong_option_writes_nothing(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    base = make_checkpoint(tmp_path, "qwen3")
    with pytest.raises(ValueError, match=named):
        init_checkpoint(base, tmp_path / "out", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["qwen3"]


def test_a_damaged_base_leaves_nothing_behind(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "qwen3")
    shard = sorted(base.glob("*.safetensors"))[-1]
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(ValueError, match=shard.name):
        init_checkpoint(base, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["qwen3"]


def test_what_exists_is_not_touched(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "qwen3")
    out = tmp_path / "out"
    out.mkdir()
    init_checkpoint(base, out)  # an empty directory will do
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).digest()
    with pytest.raises(FileExistsError, match="not an empty directory"):
        init_checkpoint(base, out, seed=5)
    assert hashlib.sha256((out / "model.safetensors").read_bytes()).digest() == digest


def test_a_model_with_routers_is_not_given_others(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has routers already"):
        init_checkpoint(make_published(tmp_path), tmp_path / "out")


def test_code_named_in_the_base_does_not_travel(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path, "qwen3")
    change_config(base, auto_map={"AutoModelForCausalLM": "evil.Model"})
    made = init_checkpoint(base, tmp_path / "out")
    assert "auto_map" not in json.loads((made.folder / "config.json").read_text())
