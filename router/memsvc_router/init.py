"""A fresh memory model on a pretrained encoder: routing starts as its embedding plus BM25.

Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertModel

from memsvc_router.checkpoint import as_stored
from memsvc_router.config import MemoryConfig
from memsvc_router.network import MemoryNetwork
from memsvc_router.texts import CLS, SEP

_KEPT = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "hidden_act", "max_position_embeddings", "type_vocab_size"),
    "layer_norm_eps",
)


def fresh_network(base: Path, documents: Iterable[list[int]], **shape: Any) -> MemoryNetwork:
    """Build a network on the encoder in `base`; `documents` (token ids) give word frequencies,
    `shape` fields of `MemoryConfig`.

    Raises OSError if `base` holds no readable encoder.
    """
    encoder = BertModel.from_pretrained(base, add_pooling_layer=False, dtype=torch.float32)
    body = encoder.config.to_dict()
    backbone = {name: body[name] for name in _KEPT}
    shape = {"router_width": body["hidden_size"]} | shape
    network = MemoryNetwork(MemoryConfig(backbone=backbone, **shape))
    weights = encoder.state_dict()
    network.reader.load_state_dict(weights, strict=False)
    network.encoder.load_state_dict(weights, strict=False)
    with torch.no_grad():
        frequency, total = document_frequency(documents, body["vocab_size"])
        idf = torch.log((total - frequency + 0.5) / (frequency + 0.5) + 1)
        idf[[0, CLS, SEP]] = 0
        network.router.word_weight.weight.copy_(idf.unsqueeze(1))
        network.router.query.weight.copy_(torch.eye(*network.router.query.weight.shape))
        words = network.encoder.embeddings.word_embeddings.weight
        words.copy_(as_stored(words))  # what trains is what will be served
    return network


def document_frequency(documents: Iterable[list[int]], vocabulary: int) -> tuple[Tensor, int]:
    """In how many documents each token occurs, fp32 [vocabulary], and how many there are."""
    counts, total = torch.zeros(vocabulary), 0
    for ids in documents:
        counts[torch.tensor(sorted(set(ids)), dtype=torch.long)] += 1
        total += 1
    return counts, max(total, 1)
