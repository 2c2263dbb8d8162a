"""The small memory model's network: two towers of one pretrained encoder, memory layers on top.

Documents go through the encoder as it was pretrained, so their keys do not depend on training;
questions and the texts read go through a tuned copy. The encoder is the transformers library's
own, and its attention ours, as in `decoder`; what serves is the same by fewer steps (`tower`).
Knows tensors, not text. Legend as in `layers`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from memsvc_router.config import MemoryConfig
from memsvc_router.decoder.attention import ATTENTION, attach_hook
from memsvc_router.decoder.passes import WholePass
from memsvc_router.layers import MemoryLayer, PointerHeads, Router, pool_states
from memsvc_router.tower import Tower, towers


@dataclass(frozen=True)
class PartBatch:
    """Padded parts of documents: ids int64 [B, T], mask bool [B, T]; chunk_of_token covers the
    tokens in `mask`. document_tokens, document_parts int64 [B]: of the whole document."""

    ids: Tensor
    mask: Tensor
    chunk_of_token: Tensor
    chunks: int
    document_tokens: Tensor
    document_parts: Tensor


@dataclass(frozen=True)
class Blocks:
    """Pooled blocks of a batch of parts: content [C, Lm, 2, G, D], routing keys [C, L, R]."""

    content: Tensor
    routing: Tensor


@dataclass(frozen=True)
class Pointed:
    """Logits in fp32: start, end [B, T]; relevant [B]: the last text matters; complete [B]: the
    texts hold all that the question needs."""

    start: Tensor
    end: Tensor
    relevant: Tensor
    complete: Tensor


class MemoryNetwork(nn.Module):
    """Encoder, reader, router, memory layers and pointers in one module."""

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        self.config = config
        bert = BertConfig(
            **config.backbone, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        self.encoder, self.reader = (BertModel(bert, add_pooling_layer=False) for _ in range(2))
        self.reader.embeddings = self.encoder.embeddings
        for at in range(config.shared_layers):
            self.reader.encoder.layer[at] = self.encoder.encoder.layer[at]
        for tower in (self.encoder, self.reader):
            tower.set_attn_implementation(ATTENTION)
        self._hook = attach_hook(self.encoder, self.reader)
        self._settled: tuple[Tower, ...] = ()
        hidden, vocabulary = bert.hidden_size, bert.vocab_size
        self.router = Router(config, hidden, vocabulary)
        self.memory = nn.ModuleList(
            MemoryLayer(config, hidden) for _ in range(config.memory_layers)
        )
        self.pointer = PointerHeads(hidden)

    def shared_names(self) -> tuple[str, ...]:
        """Prefixes of the reader's weights that are the encoder's own."""
        layers = (f"reader.encoder.layer.{i}." for i in range(self.config.shared_layers))
        return ("reader.embeddings.", *layers)

    def settle(self) -> None:
        """Lay the towers' weights out for serving. From then on forwards without gradients do not
        see changes of the weights."""
        self._settled = tuple(towers(self.encoder, self.reader))

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Final states [B, T, E] of document parts. ids int64 [B, T]; mask bool [B, T]."""
        if self._settled and not torch.is_grad_enabled():
            return self._settled[0](ids, mask)
        with self._hook.during(WholePass(mask)):
            out: Tensor = self.encoder(input_ids=ids).last_hidden_state
        return out

    def read(self, ids: Tensor, mask: Tensor, types: Tensor) -> Tensor:
        """Final states [B, T, E] of paths. ids, types int64 [B, T]; mask bool [B, T]."""
        if self._settled and not torch.is_grad_enabled():
            return self._settled[1](ids, mask, types)
        with self._hook.during(WholePass(mask)):
            out: Tensor = self.reader(input_ids=ids, token_type_ids=types).last_hidden_state
        return out

    def blocks(self, parts: PartBatch) -> Blocks:
        """Encode parts, each alone, and pool them."""
        ids, mask = parts.ids, parts.mask
        pooled = pool_states(self.states(ids, mask), mask, parts.chunk_of_token, parts.chunks)
        row_of_token = torch.arange(len(ids)).unsqueeze(1).expand_as(ids)[mask]
        row = row_of_token.new_zeros(parts.chunks).scatter(0, parts.chunk_of_token, row_of_token)
        words = self.router.words(ids, mask, parts.document_tokens)[row]
        keys = self.router.keys(pooled, words, parts.document_parts[row])
        return Blocks(self.content(pooled), keys)

    def content(self, pooled: Tensor) -> Tensor:
        """What memory layers see of chunks: pooled final states [C, E] -> [C, Lm, 2, G, D]."""
        found = []
        for layer in self.memory:
            assert isinstance(layer, MemoryLayer)
            found.append(layer.content(pooled.to(layer.key.weight.dtype)))
        return torch.stack(found, dim=1)

    def forward(
        self,
        ids: Tensor,
        mask: Tensor,
        types: Tensor,
        pooled: Tensor,
        slots: Tensor,
        entries: Tensor,
    ) -> tuple[Tensor, Pointed]:
        """What training needs of paths in one pass: queries, and where they point with the pooled
        states [B, M, E] of documents before them (as `content` makes of them)."""
        final = self.read(ids, mask, types)
        memory = self.content(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])
        queries = self.queries(ids, mask, types, final)
        return queries, self.point(final, mask, memory, slots, entries)

    def queries(self, ids: Tensor, mask: Tensor, types: Tensor, final: Tensor) -> Tensor:
        """Collapsed routing queries fp32 [B, L, R]; a dot with routing keys [L, R] is the score."""
        return self.router.queries(ids, mask, types, final)

    def point(
        self, final: Tensor, mask: Tensor, memory: Tensor, slots: Tensor, entries: Tensor
    ) -> Pointed:
        """Read through the memory layers and point.

        final [B, T, E]; memory [B, M, Lm, 2, G, D]; slots int64 [B, M]; entries bool [B, M]
        (True: a real entry).
        """
        states = final
        for at, layer in enumerate(self.memory):
            assert isinstance(layer, MemoryLayer)
            marked = layer.with_slots(memory[:, :, at].to(states.dtype), slots)
            states = layer(states, mask, marked, entries)
        return Pointed(*self.pointer(states))
