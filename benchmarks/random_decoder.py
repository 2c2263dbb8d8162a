"""A decoder of random weights in any shape, as a memory model: for measuring, not for answers."""

from __future__ import annotations

from dataclasses import replace

import torch
from memsvc_router.api import Identity
from memsvc_router.decoder.attention import ATTENTION, attach_routers
from memsvc_router.decoder.config import plain
from memsvc_router.decoder.loading import Decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.prompts import END, REFERENCE_END, START
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, Qwen3Config


def byte_tokenizer() -> Tokenizer:
    """One token per byte, and the template's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [START, END, REFERENCE_END, *alphabet]
    tokenizer = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([START, END, REFERENCE_END])
    return tokenizer


def random_decoder(
    *,
    layers: int = 12,
    hidden: int = 640,
    heads: int = 10,
    groups: int = 2,
    head_width: int = 64,
    inner: int = 1920,
    vocabulary: int = 4096,
    pool: int = 64,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cpu",
) -> DecoderMemoryModel:
    """A Qwen3-shaped decoder with routers in its upper half; about 55M parameters by default."""
    shape = Qwen3Config(
        num_hidden_layers=layers,
        hidden_size=hidden,
        intermediate_size=inner,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=head_width,
        vocab_size=vocabulary,
        max_position_embeddings=32768,
        tie_word_embeddings=True,
    )
    config = replace(plain(shape), pool_size=pool, decouple_router=True)
    torch.manual_seed(0)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(
            shape, dtype=dtype, attn_implementation=ATTENTION
        )
    attach_routers(network, config)
    name = str(dtype).removeprefix("torch.")
    identity = Identity("random", "0", "0", config.template, pool, name, config.router_layers)
    return DecoderMemoryModel(Decoder(network.eval(), config, byte_tokenizer(), identity, False))
