"""Who computes: a Triton kernel on a GPU where it passed its check, plain torch everywhere else.

Both come to the same results. What has no kernel is plain torch or numpy on whatever device it is
given. MEMSVC_KERNELS=reference uses no kernel, =triton nothing else (for tests: no check, no way
back), =auto, the default, lets the device of the tensors decide. A kernel is checked at its first
use on a device; one that fails is named in the log, once, and not used there.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from memsvc_kernels import gather, kernel_check, pooling_reference, ranking_reference
from memsvc_kernels.attention import attend, attend_masked, attend_rows
from memsvc_kernels.exact import route_exactly, route_layer_exactly
from memsvc_kernels.gather import Pair, Spans
from memsvc_kernels.packed import PackedLinear
from memsvc_kernels.pooling import chunk_offsets
from memsvc_kernels.routing import collapse_queries, document_max, route, route_layer, top_documents
from memsvc_kernels.scan import (
    Codes,
    codes_of,
    eight_bits,
    four_more,
    full_width,
    layer_runs,
    route_codes,
    route_layer_codes,
)
from memsvc_kernels.shards import shard_threads, side_by_side

__all__ = [
    "Codes",
    "Spans",
    "attend",
    "attend_masked",
    "attend_rows",
    "chunk_mean",
    "chunk_offsets",
    "codes_of",
    "collapse_queries",
    "document_best",
    "document_max",
    "eight_bits",
    "four_more",
    "full_width",
    "gather_attention",
    "layer_runs",
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
    "shard_threads",
    "side_by_side",
    "top_documents",
    "top_k",
]

VARIABLE = "MEMSVC_KERNELS"
_LOG = logging.getLogger("memsvc.kernels")
_lock = threading.Lock()
_passed: dict[tuple[str, torch.device], bool] = {}

_P = ParamSpec("_P")
_R = TypeVar("_R")


def chunk_mean(tokens: Tensor, chunk_of_token: Tensor, chunks: int) -> Tensor:
    """Mean of the tokens of each chunk, accumulated in fp32.

    tokens [T, ...], chunk_of_token int64 [T] -> [chunks, ...] fp32. Differentiable in `tokens`.
    """
    return pool_chunks(tokens, chunk_of_token, chunks)


def pool_chunks(
    tokens: Tensor, chunk_of_token: Tensor, chunks: int, normalise: bool = False
) -> Tensor:
    """See `pooling_reference.pool_chunks`."""
    return _serve(pooling_reference.pool_chunks, tokens, tokens, chunk_of_token, chunks, normalise)


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
    return _serve(ranking_reference.score_chunks, queries, queries, *rest)


def document_best(scores: Tensor, chunk_document: Tensor, documents: int) -> tuple[Tensor, Tensor]:
    """See `ranking_reference.document_best`."""
    return _serve(ranking_reference.document_best, scores, scores, chunk_document, documents)


def top_k(scores: Tensor, k: int, precedence: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """See `ranking_reference.top_k`."""
    return _serve(ranking_reference.top_k, scores, scores, k, precedence)


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
    return _serve(gather.gather_attention, queries, queries, *rest)


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
    return PackedLinear(layers, plain=_mode() == "reference")


def _mode() -> str:
    mode = os.environ.get(VARIABLE, "auto")
    if mode not in ("auto", "reference", "triton"):
        raise ValueError(f"{VARIABLE} is auto, reference or triton, not {mode!r}")
    return mode


def _serve(plain: Callable[_P, _R], like: Tensor, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call the kernel that is named as `plain`, or `plain`, for tensors on the device of `like`."""
    name, mode = plain.__name__, _mode()
    if mode == "reference" or (mode == "auto" and not _usable(name, like)):
        return plain(*args, **kwargs)
    kernel: Callable[_P, _R] = kernel_check.kernel(name)
    if mode == "triton":
        return kernel(*args, **kwargs)
    try:
        return kernel(*args, **kwargs)
    except Exception as error:
        short, broken = kernel_check.out_of_memory(error), kernel_check.not_compiled(error)
        if not short and not broken:
            raise
        _passed[name, like.device] = short
        _refuse(name, like.device, "no memory is left" if short else str(error))
    return plain(*args, **kwargs)  # outside the handler, which would keep the kernel's tensors


def _usable(name: str, like: Tensor) -> bool:
    """Did the kernel pass its check on the device of `like`? Checks it at the first call."""
    if not _on_gpu(like):
        return False
    key = (name, like.device)
    if key not in _passed:
        with _lock:
            if key not in _passed:
                _passed[key] = _check(name, like.device)
    return _passed[key]


def _on_gpu(like: Tensor) -> bool:
    return like.is_cuda


def _check(name: str, device: torch.device) -> bool:
    everything = ("all", device)
    if everything not in _passed:
        reason = kernel_check.obstacle(device)
        _passed[everything] = reason is None
        if reason:
            _refuse("any", device, reason)
    if not _passed[everything]:
        return False
    reason = kernel_check.disagreement(name, device)
    if reason:
        _refuse(name, device, reason)
    return reason is None


def _refuse(name: str, device: torch.device, reason: str) -> None:
    line = " ".join(reason.split())[:300]
    _LOG.warning("kernel %s is not used on %s: %s; plain torch serves", name, device, line)
