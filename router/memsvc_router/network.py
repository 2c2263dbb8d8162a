"""The small memory model's network: a pretrained encoder with memory layers on top.

The encoder is the transformers library's own, and its attention ours, as in `decoder`. Knows
tensors, not text. Legend as in `layers`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from memsvc_kernels import chunk_mean
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from memsvc_router.config import MemoryConfig
from memsvc_router.decoder.attention import ATTENTION, attach_hook
from memsvc_router.decoder.passes import WholePass
from memsvc_router.layers import MemoryLayer, PointerHeads, Router


@dataclass(frozen=True)
class Backbone:
    """What the pretrained encoder says of a batch: word embeddings and final states [B, T, E]."""

    embedded: Tensor
    final: Tensor


@dataclass(frozen=True)
class Blocks:
    """Pooled blocks of a batch of parts: content [C, Lm, 2, G, D], routing keys [C, L, R]."""

    content: Tensor
    routing: Tensor


class MemoryNetwork(nn.Module):
    """Encoder, router, memory layers and pointers in one module."""

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        self.config = config
        bert = BertConfig(
            **config.backbone, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        self.encoder = BertModel(bert, add_pooling_layer=False)
        self.encoder.set_attn_implementation(ATTENTION)
        self._hook = attach_hook(self.encoder)
        hidden, vocabulary = bert.hidden_size, bert.vocab_size
        self.router = Router(config, hidden, vocabulary)
        self.memory = nn.ModuleList(
            MemoryLayer(config, hidden) for _ in range(config.memory_layers)
        )
        self.pointer = PointerHeads(hidden)

    def read(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Backbone:
        """Run the encoder. ids int64 [B, T]; mask bool [B, T]; types int64 [B, T] or None."""
        with self._hook.during(WholePass(mask)):
            out = self.encoder(input_ids=ids, token_type_ids=types)
        return Backbone(self.encoder.embeddings.word_embeddings(ids), out.last_hidden_state)

    def blocks(self, ids: Tensor, mask: Tensor, chunk_of_token: Tensor, chunks: int) -> Blocks:
        """Encode parts, each alone, and pool them. chunk_of_token covers the tokens in `mask`."""
        seen = self.read(ids, mask)
        routing = self._keys(ids, seen, mask, chunk_of_token, chunks)
        states, content = seen.final, []
        for at, layer in enumerate(self.memory):
            assert isinstance(layer, MemoryLayer)
            content.append(chunk_mean(layer.content(states)[mask], chunk_of_token, chunks))
            if at + 1 < len(self.memory):
                empty = states.new_zeros(len(ids), 0, 2, layer.groups, layer.width)
                states = layer(states, mask, empty, mask[:, :0])
        return Blocks(torch.stack(content, dim=1), routing)

    def queries(self, ids: Tensor, mask: Tensor, types: Tensor, seen: Backbone) -> Tensor:
        """Collapsed routing queries [B, L, R]: a weighted mean over the tokens in `mask`,
        layer-scaled, so that a dot with routing keys [L, R] is the score. types as in `read`."""
        rows = torch.arange(len(ids)).unsqueeze(1).expand_as(ids)[mask]
        states = self.router.states(ids[mask], seen.embedded[mask], seen.final[mask])
        shares = self.router.token_shares(types[mask])
        pooled = [
            chunk_mean(s.float() * w.unsqueeze(1), rows, len(ids))
            for s, w in zip(states, shares, strict=True)
        ]
        return self.router.scale_queries(self.router.project(pooled, "query"))

    def _keys(
        self, ids: Tensor, seen: Backbone, mask: Tensor, chunk: Tensor, chunks: int
    ) -> Tensor:
        states = self.router.states(ids[mask], seen.embedded[mask], seen.final[mask])
        return self.router.project([chunk_mean(s, chunk, chunks) for s in states], "key")

    def point(
        self, seen: Backbone, mask: Tensor, memory: Tensor, slots: Tensor, entries: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read through the memory layers and point.

        memory [B, M, Lm, 2, G, D]; slots int64 [B, M]; entries bool [B, M] (True: a real entry).
        Returns start, end [B, T] and found [B] logits.
        """
        states = seen.final
        for at, layer in enumerate(self.memory):
            assert isinstance(layer, MemoryLayer)
            marked = layer.with_slots(memory[:, :, at].to(states.dtype), slots)
            states = layer(states, mask, marked, entries)
        start, end, found = self.pointer(states)
        return start, end, found
