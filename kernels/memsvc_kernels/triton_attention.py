"""Attention over [prefix | selected chunks | local tokens] on a GPU, without copying any (MSA §3).

A program holds some query tokens with all query heads of one key head (GQA), reads each key and
value once for all of them, and selected chunks by index from their pool. Where there are few
programs (decoding), each sequence's keys are split between several, whose results are put together
by their log-sum-exp. Knows tensors only. Legend: see `gather`.
"""

# ruff: noqa: N803
# What Triton does to types is not Python: mypy takes its names for Any, pyright cannot.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false, reportReturnType=false
from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from memsvc_kernels import triton_common as common
from memsvc_kernels.gather import Pair, Spans, check_gather, gather_gradients
from memsvc_kernels.serving import gradients
from memsvc_kernels.triton_attention_backward import attention_gradients

_SPLIT = 256  # the least number of keys that are worth a program of their own
_PROGRAMS = 264  # enough to fill a GPU: two for each multiprocessor of an H100
_LOG2E = tl.constexpr(1.4426950408889634)
_LN2 = tl.constexpr(0.6931471805599453)


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
    check_gather(queries, prefix, pool, selected, local, spans)
    found: tuple[Tensor, Tensor] = _Attention.apply(  # type: ignore[no-untyped-call]
        queries.contiguous(), *prefix, *pool, *local, selected.contiguous(), spans, scale
    )
    return found


def attend_memory(
    queries: Tensor, keys: Tensor, values: Tensor, before: int, scale: float
) -> Tensor:
    """See `attention.attend_memory`. What stands before the local tokens is prefix to all."""
    keys, values = keys.transpose(0, 1), values.transpose(0, 1)
    prefix, local = ((keys[part], values[part]) for part in (slice(before), slice(before, None)))
    spans = Spans.of([queries.shape[1]], [0], [len(local[0])])
    none = torch.zeros(0, dtype=torch.int64, device=queries.device)
    pool = (keys[:0], values[:0])
    out, _ = gather_attention(queries.transpose(0, 1), prefix, pool, none, local, spans, scale)
    return out.transpose(0, 1)


class _Attention(torch.autograd.Function):
    """The kernel and its gradients."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        *sources, selected, spans, scale = rest
        out, lse = _forward(queries, sources, selected, spans, scale)
        ctx.save_for_backward(queries, *sources, selected, out, lse)
        ctx.spans, ctx.scale = spans, scale
        ctx.mark_non_differentiable(lse)
        return out, lse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        queries, *sources, selected, out, lse = ctx.saved_tensors
        grad, rest = grads[0].contiguous(), (ctx.spans, ctx.scale)
        given = (grad, queries, sources, selected)
        kernel = partial(attention_gradients, *given, (out, lse), *rest)
        plain = partial(gather_gradients, *given, *rest)
        found = gradients("gather_attention", grad.device, kernel, plain)
        return (*found, None, None, None)


def _forward(
    queries: Tensor, sources: list[Tensor], selected: Tensor, spans: Spans, scale: float
) -> tuple[Tensor, Tensor]:
    tokens, heads, width = queries.shape
    groups = sources[0].shape[1]
    share = heads // groups
    entries = common.square(width, queries.dtype)
    rows = min(entries, common.power_of_two(max(spans.queries, default=0) * share, 16))
    blocks = triton.cdiv(max(spans.queries, default=0) * share, rows)
    splits = _splits(spans, len(sources[0]), blocks * groups * len(spans.queries))
    out = queries.new_empty(splits, tokens, heads, width)
    if splits > 1:
        out = out.float()
    lse = queries.new_empty(splits, tokens, heads, dtype=torch.float32)
    aligned = [_aligned(*pair) for pair in (sources[:2], sources[2:4], sources[4:])]
    strides = [size for keys, _ in aligned for size in keys.stride()[:2]]
    common.launch(
        _attend_kernel,
        (blocks, groups, len(spans.queries) * splits),
        queries,
        *(queries, *(x for pair in aligned for x in pair), selected, out, lse),
        *(_starts(spans, queries.device), *strides),
        *(tokens, heads, width, len(sources[0]), splits, scale),
        SHARE=share,
        ROWS=rows,
        ENTRIES=entries,
        WIDTH=common.power_of_two(width, 16),
        WIDE=common.INTERPRETED,
        num_warps=8 if rows >= 64 or width > 128 else 4,
        num_stages=2,
    )
    return _together(out, lse, queries.dtype)


@lru_cache(64)  # all layers of a step ask for the same
def _starts(spans: Spans, device: torch.device) -> Tensor:
    return torch.tensor(spans.starts(), dtype=torch.int32).to(device)


def _splits(spans: Spans, prefix: int, programs: int) -> int:
    """Into how many parts the keys of each sequence are split."""
    most = prefix + max(
        (s + n for s, n in zip(spans.selected, spans.local, strict=True)), default=0
    )
    return max(1, min(most // _SPLIT, _PROGRAMS // max(programs, 1)))


def _aligned(keys: Tensor, values: Tensor) -> Pair:
    """Keys and values with the same strides, and columns side by side."""
    if keys.stride() != values.stride() or keys.stride(2) != 1:
        return keys.contiguous(), values.contiguous()
    return keys, values


def _together(out: Tensor, lse: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """One result from those of all splits: [splits, T, H, D] and [splits, T, H]."""
    if len(out) == 1:
        return out[0], lse[0]
    total = lse.logsumexp(0)
    mixed = ((lse - total).exp().unsqueeze(-1) * out).sum(0)
    return mixed.to(dtype), total


@triton.jit
def _attend_kernel(
    queries: tl.tensor,
    prefix_keys: tl.tensor,
    prefix_values: tl.tensor,
    pool_keys: tl.tensor,
    pool_values: tl.tensor,
    local_keys: tl.tensor,
    local_values: tl.tensor,
    selected: tl.tensor,
    out: tl.tensor,
    lse: tl.tensor,
    starts: tl.tensor,
    prefix_row: int,
    prefix_head: int,
    pool_row: int,
    pool_head: int,
    local_row: int,
    local_head: int,
    tokens: int,
    heads: int,
    width: int,
    prefix: int,
    splits: int,
    scale: float,
    SHARE: tl.constexpr,
    ROWS: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Some query tokens of one sequence, one key head, one split of the keys."""
    start = starts + tl.program_id(2) // splits * 3
    first_selected, first_local = tl.load(start + 1), tl.load(start + 2)
    query_count = tl.load(start + 3) - tl.load(start)
    before = prefix + tl.load(start + 4) - first_selected
    local_count = tl.load(start + 5) - first_local
    group = tl.program_id(1)
    lane = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    row = (tl.load(start) + lane // SHARE).to(tl.int64) * heads + group * SHARE + lane % SHARE
    inside, column = lane // SHARE < query_count, tl.arange(0, WIDTH)
    square = inside[:, None] & (column < width)[None, :]
    place = row[:, None] * width + column[None, :]
    query = (tl.load(queries + place, mask=square, other=0.0), width, scale * _LOG2E)
    each = tl.cdiv(tl.cdiv(before + local_count, splits), ENTRIES) * ENTRIES
    low = tl.program_id(2) % splits * each
    high = tl.where(tl.program_id(0) * ROWS < query_count * SHARE, low + each, 0)
    limit = local_count - query_count + lane // SHARE
    state = _nothing(ROWS, WIDTH)
    source = (prefix_keys, prefix_values, selected, 0, prefix_row, group * prefix_head)
    reach = (low, tl.minimum(high, prefix), limit)
    state = _read(state, query, source, reach, ENTRIES, False, False, WIDE)
    source = (pool_keys, pool_values, selected, first_selected, pool_row, group * pool_head)
    reach = (tl.maximum(low - prefix, 0), tl.minimum(high, before) - prefix, limit)
    state = _read(state, query, source, reach, ENTRIES, True, False, WIDE)
    source = (local_keys, local_values, selected, first_local, local_row, group * local_head)
    end = tl.minimum(tl.minimum(high - before, local_count), tl.max(limit, 0) + 1)
    state = _read(
        state, query, source, (tl.maximum(low - before, 0), end, limit), ENTRIES, False, True, WIDE
    )
    best, total, mixed = state
    total = tl.where(total > 0, total, 1.0)  # a split may see nothing: zeros, of weight zero
    place += (tl.program_id(2) % splits).to(tl.int64) * tokens * heads * width
    tl.store(out + place, (mixed / total[:, None]).to(out.dtype.element_ty), mask=square)
    row += (tl.program_id(2) % splits).to(tl.int64) * tokens * heads
    tl.store(lse + row, (best + tl.log2(total)) * _LN2, mask=inside)


@triton.jit
def _nothing(ROWS: tl.constexpr, WIDTH: tl.constexpr) -> tl.tuple:
    """What rows know before they read: their best score, the sum of weights, of weighted values."""
    best = tl.full([ROWS], float("-inf"), tl.float32)
    return best, tl.zeros([ROWS], tl.float32), tl.zeros([ROWS, WIDTH], tl.float32)


@triton.jit
def _read(
    state: tl.tuple,
    query: tl.tuple,
    source: tl.tuple,
    reach: tl.tuple,
    ENTRIES: tl.constexpr,
    SELECTED: tl.constexpr,
    CAUSAL: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tuple:
    """Let rows see the entries of one source. query: tile [rows, width], its width, the scale;
    source: keys, values, indices, the first entry, the strides; reach: from, to, each row's last.
    """
    best, total, mixed = state
    keys, values, selected, first, stride, offset = source
    low, high, limit = reach
    for at in range(low, high, ENTRIES):
        entry = at + tl.arange(0, ENTRIES)
        place = first + entry
        if SELECTED:
            place = tl.load(selected + place, mask=entry < high, other=0)
        seen = (entry < high)[None, :]
        if CAUSAL:
            seen = seen & (entry[None, :] <= limit[:, None])
        place = place.to(tl.int64) * stride + offset
        best, total, mixed = _absorb(
            best, total, mixed, query, keys, values, place, entry < high, seen, WIDE
        )
    return best, total, mixed


@triton.jit
def _absorb(
    best: tl.tensor,
    total: tl.tensor,
    mixed: tl.tensor,
    query: tl.tuple,
    keys: tl.tensor,
    values: tl.tensor,
    place: tl.tensor,
    inside: tl.tensor,
    seen: tl.tensor,
    WIDE: tl.constexpr,
) -> tl.tuple:
    """One tile of entries, by the softmax that keeps its maximum as it goes."""
    tile, width, scale = query
    column = tl.arange(0, mixed.shape[1])
    square = inside[None, :] & (column < width)[:, None]
    key = tl.load(keys + place[None, :] + column[:, None], mask=square, other=0.0)
    square = inside[:, None] & (column < width)[None, :]
    value = tl.load(values + place[:, None] + column[None, :], mask=square, other=0.0)
    if not WIDE:
        key, value = key.to(tile.dtype), value.to(tile.dtype)
    score = tl.zeros([tile.shape[0], place.shape[0]], tl.float32)
    score = tl.where(seen, common.product(tile, key, score, WIDE) * scale, float("-inf"))
    found = tl.maximum(best, tl.max(score, 1))
    base = tl.where(found == float("-inf"), 0.0, found)  # rows that saw nothing so far
    weight = tl.exp2(score - base[:, None])
    fade = tl.exp2(best - base)
    total = total * fade + tl.sum(weight, 1)
    if not WIDE:
        weight = weight.to(tile.dtype)
    return found, total, common.product(weight, value, mixed * fade[:, None], WIDE)
