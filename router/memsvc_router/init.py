"""A fresh memory model on a pretrained encoder: routing starts at parity with its embedding.

The final-state router starts as the identity; the lexical one as a whitening of the word vectors,
weighted by inverse document frequency. Knows nothing of training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from transformers import BertModel

from memsvc_router.config import MemoryConfig
from memsvc_router.network import MemoryNetwork
from memsvc_router.texts import CLS, SEP

_KEPT = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "hidden_act", "max_position_embeddings", "type_vocab_size"),
    "layer_norm_eps",
)


def fresh_network(base: Path, documents: Iterable[list[int]]) -> MemoryNetwork:
    """Build a network on the encoder in `base`; `documents` (token ids) give word frequencies.

    Raises OSError if `base` holds no readable encoder.
    """
    encoder = BertModel.from_pretrained(base, add_pooling_layer=False, dtype=torch.float32)
    shape = encoder.config.to_dict()
    config = MemoryConfig(
        backbone={name: shape[name] for name in _KEPT},
        router_layers=(0, shape["num_hidden_layers"]),
        router_width=shape["hidden_size"],
    )
    network = MemoryNetwork(config)
    network.encoder.load_state_dict(encoder.state_dict(), strict=False)
    frequency, total = document_frequency(documents, shape["vocab_size"])
    idf = torch.log((total - frequency + 0.5) / (frequency + 0.5) + 1).clamp_min(1e-3)
    idf[[0, CLS, SEP]] = 1e-3
    words = network.encoder.embeddings.word_embeddings.weight.detach()
    with torch.no_grad():
        network.router.token_weight.weight.copy_(torch.log(torch.expm1(idf)).unsqueeze(1))
        for side in (network.router.key, network.router.query):
            lexical, final = side[0].weight, side[-1].weight
            assert isinstance(lexical, Tensor)
            assert isinstance(final, Tensor)
            lexical.copy_(whitening(words, frequency))
            final.copy_(torch.eye(*final.shape))
    return network


def document_frequency(documents: Iterable[list[int]], vocabulary: int) -> tuple[Tensor, int]:
    """In how many documents each token occurs, fp32 [vocabulary], and how many there are."""
    counts, total = torch.zeros(vocabulary), 0
    for ids in documents:
        counts[torch.tensor(sorted(set(ids)), dtype=torch.long)] += 1
        total += 1
    return counts, max(total, 1)


def whitening(words: Tensor, frequency: Tensor, floor: float = 0.05) -> Tensor:
    """A map [E, E] that makes common word vectors nearly uncorrelated; weak axes are damped."""
    weight = frequency.clamp(max=math.sqrt(float(frequency.max()) + 1) * 20).unsqueeze(1)
    second = (words * weight).T @ words / weight.sum().clamp_min(1)
    values, axes = torch.linalg.eigh(second)
    spread = values.clamp_min(0).sqrt()
    scale: Tensor = spread.max() / (spread + floor * spread.max())
    white: Tensor = scale.unsqueeze(1) * axes.T
    return white
