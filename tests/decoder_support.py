"""Tiny random decoders of several families, made on the fly, with a tokenizer of their own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from tests.router_support import TOWNS

FAMILIES = ("qwen3", "llama", "mistral", "phi3", "gemma")
TEMPLATE = ("<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>")
MSA: dict[str, Any] = {
    "ansloss_weight": 1.0,
    "aux_loss": False,
    "aux_loss_method": "INFONCE",
    "auxloss_weight": 0.1,
    "chunk_reduce_method": "max",
    "decouple_pooling_mode": "mean",
    "decouple_router": True,
    "head_reduce_method": "mean",
    "infonce_loss_temp": 0.1,
    "lmloss_weigth": 1.0,
    "pooling_kernel_size": 8,
    "query_reduce_method": "max",
    "recloss_weight": 0.0,
    "rewrite_position": True,
    "router_layer_idx": "2,3",
    "top_k_docs": 3,
}


@cache
def _trained(special: tuple[str, ...]) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[AddedToken(t, special=True) for t in ("<|endoftext|>", *special)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = ["[12]. The user's question is: who?\n<End-of-Retrieve>[7]"]
    tokenizer.train_from_iterator([d.text for d in TOWNS.values()] + words, trainer)
    return tokenizer.to_str()


def make_tokenizer(special: tuple[str, ...] = TEMPLATE) -> Tokenizer:
    """A byte-level BPE of about 400 tokens; `<|endoftext|>` is 0, then `special`."""
    return Tokenizer.from_str(_trained(special))


def make_network(
    family: str,
    *,
    layers: int = 4,
    hidden: int = 64,
    heads: int = 4,
    groups: int = 2,
    head_width: int = 16,
    vocabulary: int = 512,
    tied: bool = False,
    max_positions: int = 4096,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **more: Any,
) -> PreTrainedModel:
    """A random decoder of a transformers family. `more` are fields of the family's own config."""
    config = AutoConfig.for_model(
        family,
        num_hidden_layers=layers,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=head_width,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        max_position_embeddings=max_positions,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.2,
        **more,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return network


def make_checkpoint(
    folder: Path,
    family: str,
    *,
    shard: str = "100KB",
    tokenizer: Tokenizer | None = None,
    **shape: Any,
) -> Path:
    """A plain checkpoint of a family, as transformers saves it, in `folder`/`family`.

    `shape`: see `make_network`. `shard`: the most that one weights file holds.
    """
    path = folder / family
    make_network(family, **shape).save_pretrained(path, max_shard_size=shard)
    _save_tokenizer(tokenizer or make_tokenizer(), path)
    return path


def make_published(
    folder: Path,
    family: str = "qwen3",
    *,
    msa: dict[str, Any] | None = None,
    tokenizer: Tokenizer | None = None,
    **shape: Any,
) -> Path:
    """A checkpoint in the published format with random routers, in one file, in `folder`/msa.

    `msa` overrides fields of `msa_config`; `shape`: see `make_network`.
    """
    settings = MSA | (msa or {})
    network = make_network(family, **shape)
    path = folder / "msa"
    network.save_pretrained(path, max_shard_size="1GB")
    body = json.loads((path / "config.json").read_text())
    body |= {"model_type": "msa", "msa_config": settings, "architectures": ["MSAForCausalLM"]}
    if family != "qwen3":
        body["memsvc_backbone"] = family
    (path / "config.json").write_text(json.dumps(body))
    weights = load_file(path / "model.safetensors")
    weights["temperature"] = torch.tensor(0.1)
    if settings["decouple_router"]:
        weights |= _routers(body, settings, seed=int(shape.get("seed", 0)))
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    _save_tokenizer(tokenizer or make_tokenizer(), path)
    return path


def ends(network: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights of the embeddings and of the head on top; the same tensor if tied."""
    head = network.get_output_embeddings()
    assert head is not None
    both = (network.get_input_embeddings().weight, head.weight)
    assert isinstance(both[0], torch.Tensor)
    assert isinstance(both[1], torch.Tensor)
    return both[0], both[1]


def change_config(folder: Path, **fields: Any) -> None:
    """Set fields of a checkpoint's config.json; None takes one away."""
    path = folder / "config.json"
    body = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in body.items() if v is not None}))


def _routers(body: dict[str, Any], settings: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    chosen = settings["router_layer_idx"]
    count = body["num_hidden_layers"]
    layers = range(count) if chosen == "all" else [int(one) for one in chosen.split(",")]
    generator = torch.Generator().manual_seed(seed + 1)
    sides = {"q": body["num_attention_heads"], "k": body["num_key_value_heads"]}
    return {
        f"model.layers.{layer}.self_attn.router_{side}_proj.0.weight": torch.randn(
            heads * body["head_dim"], body["hidden_size"], generator=generator
        ).to(getattr(torch, body["dtype"]))
        for layer in layers
        for side, heads in sides.items()
    }


def _save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    tokenizer.save(str(path / "tokenizer.json"))
    body = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
    (path / "tokenizer_config.json").write_text(json.dumps(body))
