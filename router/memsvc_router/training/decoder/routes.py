"""Routing with gradient: every question of a batch against every document of its pool (MSA §2).

Scores are those of the engine, reduced as the checkpoint's config says. Knows tensors only.
Legend: B questions, T tokens of a row, S segments, C chunks, N documents, R routing width, M routed
tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from memsvc_kernels import chunk_mean, document_max
from torch import Tensor

from memsvc_router.decoder.attention import LayerCall
from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.routing import query_rows

_NEVER = float("-inf")


@dataclass(frozen=True)
class Routed:
    """Which tokens route, and for what. tokens int64 [M]: positions in the flattened batch, in
    order; cell int64 [M]: question · segments + segment."""

    tokens: Tensor
    cell: Tensor
    questions: int
    segments: int

    @staticmethod
    def of(routed: Tensor, segment: Tensor) -> Routed:
        """routed bool, segment int64, both [B, T]."""
        tokens = routed.flatten().nonzero().squeeze(1)
        count = int(segment.amax()) + 1
        cell = tokens // routed.shape[1] * count + segment.flatten()[tokens]
        return Routed(tokens, cell, routed.shape[0], count)


def document_scores(
    config: MsaConfig,
    call: LayerCall,
    routed: Routed,
    keys: Tensor,
    document_of_chunk: Tensor,
    documents: int,
) -> Tensor:
    """Scores [B, S, N] fp32 of one router layer: of each segment with all before it.

    call: of the flattened batch, one row; keys [C, R].
    """
    rows = query_rows(config, call, routed.tokens)  # [M, J, R]
    with torch.autocast(rows.device.type, enabled=False):  # scores in bf16 would tie
        by_token = (rows @ keys.float().T).amax(1)  # [M, C]
    by_segment = _over_tokens(config, by_token, routed)
    flat = by_segment.flatten(0, 1)
    if config.chunk_reduce == "max":
        scores = document_max(flat, document_of_chunk, documents)
    else:
        scores = chunk_mean(flat.T, document_of_chunk, documents).T
    return scores.view(routed.questions, routed.segments, documents)


def _over_tokens(config: MsaConfig, by_token: Tensor, routed: Routed) -> Tensor:
    """[M, C] -> [B, S, C]: `max` and `mean` count the tokens of earlier segments too."""
    shape = (routed.questions, routed.segments, by_token.shape[1])
    empty = by_token.new_zeros(routed.questions * routed.segments, by_token.shape[1])
    if config.query_reduce == "last":
        ends = torch.cat((routed.cell[1:] != routed.cell[:-1], routed.cell.new_ones(1).bool()))
        return empty.index_copy(0, routed.cell[ends], by_token[ends]).view(shape)
    if config.query_reduce == "max":
        index = routed.cell.unsqueeze(1).expand_as(by_token)
        best = empty.fill_(_NEVER).scatter_reduce(0, index, by_token, "amax").view(shape)
        return torch.cummax(best, 1).values
    total = empty.index_add(0, routed.cell, by_token).view(shape).cumsum(1)
    counts = torch.bincount(routed.cell, minlength=len(empty)).view(shape[:2]).cumsum(1)
    return total / counts.unsqueeze(2).clamp_min(1)


def choose(scores: Tensor, wanted: Tensor, top_k: int) -> Tensor:
    """The documents that a segment's memory holds: bool [B, S, N], `top_k` of them or all.

    scores [B, S, N]; wanted int64 [B, S]: the document to be named, which is always among them
    (-1: none).
    """
    told = torch.nn.functional.one_hot(wanted + 1, scores.shape[2] + 1)[..., 1:].bool()
    best = scores.detach().masked_fill(told, float("inf"))
    best = best.topk(min(top_k, scores.shape[2]), dim=2).indices
    return torch.zeros_like(told).scatter(2, best, True)
