"""The k best of many scores on a GPU: blocks find their own k best, then blocks of those do.

A score and its rank among equals are packed into one int64, so that no two are equal and the
outcome depends on nothing but the numbers. Knows tensors only.
Legend: B queries, N columns.
"""

# ruff: noqa: N803
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from memsvc_kernels import ranking_reference as reference
from memsvc_kernels import triton_common as common

_BLOCK = 1024  # packed numbers of a program
_MOST = 128  # a larger k takes a sort
_NONE = tl.constexpr(-(2**63))
_LOW = tl.constexpr(2**31 - 1)


def top_k(scores: Tensor, k: int, precedence: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """See `ranking_reference.top_k`."""
    if not 1 <= k <= _MOST:
        return reference.top_k(scores, k, precedence)
    count = scores.shape[1]
    order = reference.by_precedence(count, precedence, scores.device)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(count, device=order.device)
    found = _best_of_blocks(scores.contiguous(), rank, k, packed=False)
    while found.shape[1] > k:
        found = _best_of_blocks(found, rank, k, packed=True)
    missing = found == _NONE.value
    ranks = (_LOW.value - (found & 0xFFFFFFFF)).masked_fill(missing, 0)
    columns = order[ranks] if count else ranks
    bits = (found >> 32).int()
    values = torch.where(bits < 0, bits ^ _LOW.value, bits).view(torch.float32)
    return columns.masked_fill(missing, -1), values.masked_fill(missing, float("-inf"))


def _best_of_blocks(values: Tensor, rank: Tensor, k: int, packed: bool) -> Tensor:
    """Scores fp32 or packed int64 [B, N] -> the k best of each block, packed [B, blocks·k]."""
    batch, count = values.shape
    blocks = max(1, triton.cdiv(count, _BLOCK))
    out = rank.new_empty(batch, blocks * k)
    common.launch(
        _top_kernel,
        (blocks, batch),
        values,
        *(values, rank, out, count, k),
        BLOCK=_BLOCK,
        PACKED=packed,
        num_warps=4,
    )
    return out


@triton.jit
def _top_kernel(
    values: tl.tensor,
    rank: tl.tensor,
    out: tl.tensor,
    count: int,
    k: int,
    BLOCK: tl.constexpr,
    PACKED: tl.constexpr,
) -> None:
    """The k best of one block of one row (grid: blocks, rows), best first."""
    row = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < count
    if PACKED:
        left = tl.load(values + row * count + column, mask=inside, other=_NONE)
    else:
        score = tl.load(values + row * count + column, mask=inside, other=float("-inf"))
        left = _pack(score, tl.load(rank + column, mask=inside, other=0))
    target = out + (row * tl.num_programs(0) + tl.program_id(0)) * k
    for place in range(k):
        best = tl.max(left, 0)
        tl.store(target + place, best)
        left = tl.where(left == best, _NONE, left)


@triton.jit
def _pack(score: tl.tensor, rank: tl.tensor) -> tl.tensor:
    """Whole numbers in the order of the scores, then against the ranks; what is not finite is last.
    The bits of a float, taken as a whole number, are in its order once those below zero are
    turned round; zero has two signs and is to have one."""
    bits = tl.where(score == 0.0, 0.0, score).to(tl.int32, bitcast=True)
    ordered = tl.where(bits < 0, bits ^ _LOW, bits).to(tl.int64)
    finite = tl.abs(score) < float("inf")
    return tl.where(finite, (ordered << 32) | (_LOW - rank), _NONE)
