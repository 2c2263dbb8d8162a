"""Who computes: a Triton kernel on a GPU where it passed its check, plain torch everywhere else.

Both come to the same results. What has no kernel is plain torch or numpy on whatever device it is
given. MEMSVC_KERNELS=reference uses no kernel, =triton nothing else (for tests: no check, no way
back), =auto, the default, lets the device of the tensors decide. A kernel is checked at its first
use on a device, or before it (`self_check`); one that fails is named in the log (`serving`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from memsvc_kernels import attention, gather, pooling_reference, ranking_reference, segments
from memsvc_kernels.attention import attend, attend_causal, attend_masked, attend_rows, earlier
from memsvc_kernels.coarse import CoarseCodes, coarse_serves
from memsvc_kernels.codes import (
    Codes,
    codes_of,
    eight_bits,
    four_more,
    full_width,
    layer_runs,
)
from memsvc_kernels.exact import route_exactly, route_layer_exactly
from memsvc_kernels.gather import Pair, Spans
from memsvc_kernels.kernel_check import out_of_memory
from memsvc_kernels.packed import PackedLinear
from memsvc_kernels.pooling import chunk_offsets
from memsvc_kernels.routing import collapse_queries, document_max, route, route_layer, top_documents
from memsvc_kernels.scan import route_codes, route_layer_codes
from memsvc_kernels.serving import VARIABLE, mode, self_check, serve, serves
from memsvc_kernels.shards import flowing, shard_threads, side_by_side

__all__ = [
    "VARIABLE",
    "CoarseCodes",
    "Codes",
    "Spans",
    "attend",
    "attend_causal",
    "attend_masked",
    "attend_memory",
    "attend_rows",
    "attend_segments",
    "chunk_mean",
    "chunk_offsets",
    "coarse_serves",
    "codes_of",
    "collapse_queries",
    "document_best",
    "document_max",
    "earlier",
    "eight_bits",
    "flowing",
    "four_more",
    "full_width",
    "gather_attention",
    "layer_runs",
    "out_of_memory",
    "pack_linear",
    "pool_chunks",
    "route",
    "route_batch",
    "route_codes",
    "route_exactly",
    "route_layer",
    "route_layer_codes",
    "route_layer_exactly",
    "score_chunks",
    "self_check",
    "shard_threads",
    "side_by_side",
    "top_documents",
    "top_k",
]


def chunk_mean(tokens: Tensor, chunk_of_token: Tensor, chunks: int) -> Tensor:
    """Mean of the tokens of each chunk, accumulated in fp32.

    tokens [T, ...], chunk_of_token int64 [T] -> [chunks, ...] fp32. Differentiable in `tokens`.
    """
    return pool_chunks(tokens, chunk_of_token, chunks)


def pool_chunks(
    tokens: Tensor, chunk_of_token: Tensor, chunks: int, normalise: bool = False
) -> Tensor:
    """See `pooling_reference.pool_chunks`."""
    return serve(pooling_reference.pool_chunks, tokens, tokens, chunk_of_token, chunks, normalise)


def score_chunks(
    queries: Tensor,
    keys: Tensor,
    lengths: Sequence[int] | None = None,
    scales: Tensor | None = None,
    allowed: Tensor | None = None,
    reduce: str = "max",
    exact_queries: bool = True,
) -> Tensor:
    """See `ranking_reference.score_chunks`."""
    rest = (keys, lengths, scales, allowed, reduce, exact_queries)
    return serve(ranking_reference.score_chunks, queries, queries, *rest)


def document_best(scores: Tensor, chunk_document: Tensor, documents: int) -> tuple[Tensor, Tensor]:
    """See `ranking_reference.document_best`."""
    return serve(ranking_reference.document_best, scores, scores, chunk_document, documents)


def top_k(scores: Tensor, k: int, precedence: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """See `ranking_reference.top_k`."""
    return serve(ranking_reference.top_k, scores, scores, k, precedence)


def gather_attention(
    queries: Tensor,
    prefix: Pair,
    pool: Pair,
    selected: Tensor,
    local: Pair,
    spans: Spans,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """See `gather.gather_attention`."""
    rest = (prefix, pool, selected, local, spans, scale)
    return serve(gather.gather_attention, queries, queries, *rest)


def attend_memory(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    before: int,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
) -> Tensor:
    """See `attention.attend_memory`. The kernel knows no softcap, and no window that is shorter
    than the local tokens."""
    rest = (keys, values, before, scale)
    if softcap is None and (window is None or keys.shape[1] - before <= window):
        return serve(attention.attend_memory, queries, queries, *rest)
    return attention.attend_memory(queries, *rest, softcap, window)


def attend_segments(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    memory: Tensor,
    chosen: Tensor,
    segment: Tensor,
    scale: float,
    near: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """See `segments.attend_segments`. By `gather_attention` where its kernel serves, which knows
    neither `near` nor a softcap."""
    given = (queries, keys, values, memory, chosen, segment)
    if near is not None or softcap is not None or not serves("gather_attention", queries.device):
        return segments.attend_segments(*given, scale, near, softcap)
    out, _ = gather_attention(*segments.laid_out(*given), scale)
    by_row: Tensor = out.unflatten(0, segment.shape)
    return by_row.transpose(1, 2)


def route_batch(
    queries: Tensor,
    keys: Tensor,
    chunk_document: Tensor,
    documents: int,
    k: int,
    *,
    lengths: Sequence[int] | None = None,
    scales: Tensor | None = None,
    allowed: Tensor | None = None,
    precedence: Tensor | None = None,
    reduce: str = "max",
    exact_queries: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Route a batch of queries over keys on their device (MSA §2): as `route_layer`, with tensors.

    queries [B, M, W], keys [C, W], chunk_document int64 [C] ascending, allowed bool [documents],
    precedence int64 [documents]; the rest as in `score_chunks`. Returns documents int64 [B, k] (-1
    where they ran out), scores fp32 [B, k] and the winning chunks int64 [B, k].
    Raises ValueError for a k below 1, shapes that do not agree, or a query without tokens.
    """
    seen = None if allowed is None else allowed[chunk_document]
    scores = score_chunks(queries, keys, lengths, scales, seen, reduce, exact_queries)
    best, winners = document_best(scores, chunk_document, documents)
    found, values = top_k(best, k, precedence)
    winners = torch.nn.functional.pad(winners, (0, 1), value=-1)
    return found, values, winners.gather(1, torch.where(found < 0, documents, found))


def pack_linear(*layers: nn.Linear) -> PackedLinear:
    """Lay the weights of linear layers with the same inputs out for products without gradient."""
    return PackedLinear(layers, plain=mode() == "reference")
