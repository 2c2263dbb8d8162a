"""Gradients of attention over [prefix | selected chunks | local tokens] on a GPU (MSA §3, §5).

Training has the memory to lay each sequence's keys and values out one after another, and what comes
back for a chunk that was selected many times is summed anyway. One kernel takes the gradient of
queries, another that of keys and values, both from the forward's log-sum-exp, so that no program
waits for another and outcomes are the same each time. Knows tensors only. Legend: see `gather`;
E entries: the keys of all sequences, laid out.
"""

# ruff: noqa: N803
# What Triton does to types is not Python: mypy takes its names for Any, pyright cannot.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportOperatorIssue=false, reportReturnType=false
from __future__ import annotations

from itertools import accumulate, pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor

from memsvc_kernels import triton_common as common
from memsvc_kernels.gather import Pair, Spans

_LOG2E = tl.constexpr(1.4426950408889634)


def attention_gradients(
    grad: Tensor,
    queries: Tensor,
    sources: list[Tensor],
    selected: Tensor,
    found: Pair,
    spans: Spans,
    scale: float,
) -> list[Tensor]:
    """Gradients of queries and of `sources` (prefix, pool and local, keys before values).

    grad [T, H, D]: of what the forward found (out [T, H, D], lse [T, H]).
    """
    order, starts = _layout(spans, len(sources[0]), queries.device)
    laid = [
        torch.cat((prefix, pool[selected], local))[order].to(queries.dtype)
        for prefix, pool, local in (sources[0::2], sources[1::2])
    ]
    out, lse = found
    delta = (grad.float() * out.float()).sum(-1)
    rest = (*laid, grad, lse.contiguous(), delta, starts)
    by_query, by_entry = _launch(queries, *rest, spans=spans, scale=scale)
    parts = [
        _gathered(one, order, selected, sources[which::2]) for which, one in enumerate(by_entry)
    ]
    return [by_query, *(part for pair in zip(*parts, strict=True) for part in pair)]


def _layout(spans: Spans, prefix: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """int64 [E]: what lies where, as rows of [prefix, selected, local]; and int32 [B + 1, 2]: where
    each sequence begins among queries and entries."""
    selected = sum(spans.selected)
    starts = spans.starts()
    runs = [
        torch.cat(
            (
                torch.arange(prefix),
                torch.arange(s0, s1) + prefix,
                torch.arange(l0, l1) + prefix + selected,
            )
        )
        for (_, s0, l0), (_, s1, l1) in pairwise(starts)
    ]
    begins = [0, *accumulate(len(run) for run in runs)]
    both = [(query, begin) for (query, _, _), begin in zip(starts, begins, strict=True)]
    order = torch.cat(runs) if runs else torch.zeros(0, dtype=torch.int64)
    return order.to(device), torch.tensor(both, dtype=torch.int32).to(device)


def _gathered(grad: Tensor, order: Tensor, selected: Tensor, sources: list[Tensor]) -> list[Tensor]:
    """What came back for entries [E, G, D], summed where they came from: prefix, pool, local."""
    prefix, pool, local = sources
    sizes = [len(prefix), len(selected), len(local)]
    flat = grad.new_zeros(sum(sizes), *grad.shape[1:]).index_add_(0, order, grad)
    first, some, last = flat.split(sizes)
    chunks = grad.new_zeros(pool.shape).index_add_(0, selected, some)
    return [
        part.to(source.dtype) for part, source in zip((first, chunks, last), sources, strict=True)
    ]


def _launch(
    queries: Tensor, keys: Tensor, *rest: Tensor, spans: Spans, scale: float
) -> tuple[Tensor, Pair]:
    """Gradients of queries, and of laid out keys and values in fp32."""
    _, heads, width = queries.shape
    entries, groups, _ = keys.shape
    share, sequences = heads // groups, len(spans.queries)
    tile = common.square(width, queries.dtype)
    by_query = torch.empty_like(queries)
    by_entry = keys.new_empty(2, entries, groups, width, dtype=torch.float32)
    options = {
        "SHARE": share,
        "ROWS": tile,
        "ENTRIES": tile,
        "WIDTH": common.power_of_two(width, 16),
        "WIDE": common.INTERPRETED,
        "num_warps": 8,
        "num_stages": 2,
    }
    args = (queries, keys, *rest)
    most = max(spans.queries, default=0) * share
    grid = (triton.cdiv(most, tile), groups, sequences)
    size = (heads, groups, width, scale)
    common.launch(_query_kernel, grid, queries, *args, by_query, *size, **options)
    prefix = (entries - sum(spans.selected) - sum(spans.local)) // max(sequences, 1)
    longest = max((s + n for s, n in zip(spans.selected, spans.local, strict=True)), default=0)
    grid = (triton.cdiv(prefix + longest, tile), groups, sequences)
    common.launch(_entry_kernel, grid, queries, *args, *by_entry, *size, **options)
    return by_query, (by_entry[0], by_entry[1])


@triton.jit
def _query_kernel(
    queries: tl.tensor,
    keys: tl.tensor,
    values: tl.tensor,
    grad: tl.tensor,
    lse: tl.tensor,
    delta: tl.tensor,
    starts: tl.tensor,
    out: tl.tensor,
    heads: int,
    groups: int,
    width: int,
    scale: float,
    SHARE: tl.constexpr,
    ROWS: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Gradient of some rows of one sequence and key head."""
    start = starts + tl.program_id(2) * 2
    count = tl.load(start + 2) - tl.load(start)
    entries = tl.load(start + 3) - tl.load(start + 1)
    lane = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = lane // SHARE < count
    row = (tl.load(start) + lane // SHARE).to(tl.int64) * heads
    row += tl.program_id(1) * SHARE + lane % SHARE
    place, square = _tile(row, inside, width, WIDTH)
    query = tl.load(queries + place, mask=square, other=0.0)
    down = tl.load(grad + place, mask=square, other=0.0)
    sums = (
        tl.load(lse + row, mask=inside, other=0.0),
        tl.load(delta + row, mask=inside, other=0.0),
    )
    limit = entries - count + lane // SHARE  # the last entry that a row sees
    total = tl.zeros([ROWS, WIDTH], tl.float32)
    end = tl.where(tl.program_id(0) * ROWS < count * SHARE, tl.max(limit, 0) + 1, 0)
    end = tl.minimum(end, entries)
    for at in range(0, end, ENTRIES):
        entry = at + tl.arange(0, ENTRIES)
        source = (tl.load(start + 1) + entry).to(tl.int64) * groups + tl.program_id(1)
        there, whole = _tile(source, entry < entries, width, WIDTH)
        key = tl.load(keys + there, mask=whole, other=0.0)
        value = tl.load(values + there, mask=whole, other=0.0)
        seen = entry[None, :] <= limit[:, None]
        _, slope = _weights(query, down, key, value, sums, seen, scale, WIDE)
        total = common.product(slope, key, total, WIDE)
    tl.store(out + place, (total * scale).to(out.dtype.element_ty), mask=square)


@triton.jit
def _entry_kernel(
    queries: tl.tensor,
    keys: tl.tensor,
    values: tl.tensor,
    grad: tl.tensor,
    lse: tl.tensor,
    delta: tl.tensor,
    starts: tl.tensor,
    key_out: tl.tensor,
    value_out: tl.tensor,
    heads: int,
    groups: int,
    width: int,
    scale: float,
    SHARE: tl.constexpr,
    ROWS: tl.constexpr,
    ENTRIES: tl.constexpr,
    WIDTH: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Gradient of some entries of one sequence and key head."""
    start = starts + tl.program_id(2) * 2
    count = tl.load(start + 2) - tl.load(start)
    entries = tl.load(start + 3) - tl.load(start + 1)
    entry = tl.program_id(0) * ENTRIES + tl.arange(0, ENTRIES)
    source = (tl.load(start + 1) + entry).to(tl.int64) * groups + tl.program_id(1)
    there, whole = _tile(source, entry < entries, width, WIDTH)
    key = tl.load(keys + there, mask=whole, other=0.0)
    value = tl.load(values + there, mask=whole, other=0.0)
    by_key, by_value = tl.zeros(key.shape, tl.float32), tl.zeros(key.shape, tl.float32)
    first = tl.maximum(tl.program_id(0) * ENTRIES - (entries - count), 0)  # token that sees one
    for at in range(first * SHARE // ROWS * ROWS, count * SHARE, ROWS):
        lane = at + tl.arange(0, ROWS)
        inside = lane // SHARE < count
        row = (tl.load(start) + lane // SHARE).to(tl.int64) * heads
        row += tl.program_id(1) * SHARE + lane % SHARE
        place, square = _tile(row, inside, width, WIDTH)
        query = tl.load(queries + place, mask=square, other=0.0)
        down = tl.load(grad + place, mask=square, other=0.0)
        sums = (
            tl.load(lse + row, mask=inside, other=0.0),
            tl.load(delta + row, mask=inside, other=0.0),
        )
        seen = (entry[None, :] <= (entries - count + lane // SHARE)[:, None]) & inside[:, None]
        weight, slope = _weights(query, down, key, value, sums, seen, scale, WIDE)
        by_value = common.product(tl.trans(weight), down, by_value, WIDE)
        by_key = common.product(tl.trans(slope), query, by_key, WIDE)
    tl.store(key_out + there, by_key * scale, mask=whole)
    tl.store(value_out + there, by_value, mask=whole)


@triton.jit
def _tile(row: tl.tensor, inside: tl.tensor, width: int, WIDTH: tl.constexpr) -> tl.tuple:
    """Where rows of `width` lie, and which of it is there: [rows, WIDTH] each."""
    column = tl.arange(0, WIDTH)
    return row[:, None] * width + column[None, :], inside[:, None] & (column < width)[None, :]


@triton.jit
def _weights(
    query: tl.tensor,
    down: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    sums: tl.tuple,
    seen: tl.tensor,
    scale: float,
    WIDE: tl.constexpr,
) -> tl.tuple:
    """The weights [rows, entries] that the forward used, and the gradient of its scores."""
    total, delta = sums
    zero = tl.zeros([query.shape[0], key.shape[0]], tl.float32)
    score = common.product(query, tl.trans(key), zero, WIDE) * scale
    weight = tl.where(seen, tl.exp2((score - total[:, None]) * _LOG2E), 0.0)
    slope = weight * (common.product(down, tl.trans(value), zero, WIDE) - delta[:, None])
    if not WIDE:
        weight, slope = weight.to(query.dtype), slope.to(query.dtype)
    return weight, slope
