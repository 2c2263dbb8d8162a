"""The forward of a pretrained encoder for serving: the transformers library's BERT, to the rounding
of bf16, at half the time for a question (dev/LOG.md, 2026-11-30).

Queries, keys and values are one product, and weights are packed for the processor. Training, and
whatever needs gradients, goes through the library's own modules. Knows tensors, not text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from memsvc_kernels import attend_masked, pack_linear
from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm
from transformers import BertModel
from transformers.activations import ACT2FN
from transformers.models.bert.modeling_bert import BertLayer

from memsvc_router.decoder.passes import seen_by_all


class _Layer:
    """One layer's packed weights."""

    def __init__(self, layer: BertLayer, heads: int, act: str) -> None:
        attention, output = layer.attention.self, layer.attention.output
        self._heads = heads
        self._act = None if act == "gelu" else ACT2FN[act]
        self._inputs = pack_linear(attention.query, attention.key, attention.value)
        self._mixed, self._mixed_norm = pack_linear(output.dense), _norm(output.LayerNorm)
        self._up = pack_linear(layer.intermediate.dense)
        self._down, self._norm = pack_linear(layer.output.dense), _norm(layer.output.LayerNorm)

    def __call__(self, states: Tensor, rows: int, seen: Tensor | None) -> Tensor:
        """states [B·T, E] of B rows; seen bool [B, 1, 1, T] or None."""
        inputs = self._inputs(states).view(rows, len(states) // rows, 3, self._heads, -1)
        queries, keys, values = inputs.permute(2, 0, 3, 1, 4)
        mixed = attend_masked(queries, keys, values, seen)
        mixed = mixed.transpose(1, 2).reshape(states.shape)
        states = self._mixed_norm(states + self._mixed(mixed))
        wide = self._up.gelu(states) if self._act is None else self._act(self._up(states))
        return self._norm(states + self._down(wide))


class Tower:
    """One encoder as it serves. Later changes of its weights are not seen."""

    def __init__(self, bert: BertModel, layers: Iterable[_Layer]) -> None:
        parts = bert.embeddings
        tables = (parts.word_embeddings, parts.token_type_embeddings, parts.position_embeddings)
        self._words, self._types, self._positions = (table.weight.detach() for table in tables)
        self._norm = _norm(parts.LayerNorm)
        self._layers = tuple(layers)

    def __call__(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        """Final states [B, T, E]. ids, types int64 [B, T]; mask bool [B, T]."""
        seen = seen_by_all(mask)
        kinds = self._types[0] if types is None else embedding(types, self._types)
        words = embedding(ids, self._words)
        embedded = self._norm(words + kinds + self._positions[: ids.shape[1]])
        states = embedded.flatten(0, 1)  # oneDNN is called with less ado for two dimensions
        for layer in self._layers:
            states = layer(states, len(ids), seen)
        return states.view(embedded.shape)


def _norm(module: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    """The module without what torch does around each call of one."""
    weight, bias, width = module.weight.detach(), module.bias.detach(), module.normalized_shape
    return lambda states: layer_norm(states, width, weight, bias, module.eps)


@torch.no_grad()
def towers(*encoders: BertModel) -> list[Tower]:
    """Each encoder's tower; layers that they share are packed once."""
    made: dict[nn.Module, _Layer] = {}
    found = []
    for bert in encoders:
        heads, act = bert.config.num_attention_heads, bert.config.hidden_act
        for layer in bert.encoder.layer:
            assert isinstance(layer, BertLayer)
            if layer not in made:
                made[layer] = _Layer(layer, heads, act)
        found.append(Tower(bert, [made[layer] for layer in bert.encoder.layer]))
    return found
