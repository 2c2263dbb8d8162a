"""Mean pooling of tokens over chunks on a GPU, with its gradient (MSA §1).

One program sums the tokens of one chunk and one row of a head in fp32, so that a chunk is read
once and written once. Knows nothing of what is pooled.
Legend: T tokens, C chunks, R rows of a token (key heads), W width of a row.
"""

# ruff: noqa: N803
# What Triton does to types is not Python: mypy takes its names for Any, pyright cannot.
# pyright: reportAttributeAccessIssue=false
from __future__ import annotations

from functools import partial
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from memsvc_kernels import triton_common as common
from memsvc_kernels.pooling_reference import pool_gradient
from memsvc_kernels.serving import gradients

_TILE = 4096  # values that a program holds at a time
_COLUMNS = 512  # of a row, where the whole of it is not needed at once
_LEAST_NORM = tl.constexpr(1e-12)  # as torch.nn.functional.normalize


def pool_chunks(
    tokens: Tensor, chunk_of_token: Tensor, chunks: int, normalise: bool = False
) -> Tensor:
    """See `pooling_reference.pool_chunks`."""
    width = tokens.shape[-1] if tokens.ndim > 1 else 1
    rows = tokens.reshape(len(tokens), -1, width).contiguous()
    chunk, order = chunk_of_token.sort(stable=True)
    starts = torch.searchsorted(chunk, torch.arange(chunks + 1, device=chunk.device))
    pooled: Tensor = _Pool.apply(  # type: ignore[no-untyped-call]
        rows, order, starts, normalise
    )
    return pooled.reshape(chunks, *tokens.shape[1:])


class _Pool(torch.autograd.Function):
    """tokens [T, R, W] -> [C, R, W] fp32."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, order: Tensor, starts: Tensor, normalise: bool) -> Tensor:
        _, rows, width = tokens.shape
        chunks = len(starts) - 1
        pooled = tokens.new_empty(chunks, rows, width, dtype=torch.float32)
        inverse = pooled.new_empty(chunks, rows) if normalise else pooled
        args = (tokens, order, starts, pooled, inverse, rows, width)
        _launch(_pool_kernel, tokens, chunks, args, normalise)
        ctx.save_for_backward(order, starts, pooled if normalise else None, inverse)
        ctx.normalise, ctx.like = normalise, (tokens.shape, tokens.dtype)
        return pooled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        order, starts, pooled, inverse = ctx.saved_tensors
        shape, dtype = ctx.like
        grad = grads[0].contiguous()

        def kernel() -> Tensor:
            out = grad.new_zeros(shape, dtype=dtype)
            unit = grad if pooled is None else pooled
            args = (grad, order, starts, out, unit, inverse, shape[1], shape[2])
            _launch(_spread_kernel, grad, len(starts) - 1, args, ctx.normalise)
            return out

        plain = partial(pool_gradient, grad, order, starts, pooled, inverse, dtype)
        return gradients("pool_chunks", grad.device, kernel, plain), None, None, None


def _launch(
    kernel: object, like: Tensor, chunks: int, args: tuple[object, ...], normalise: bool
) -> None:
    rows, width = like.shape[1:]
    columns = common.power_of_two(width)
    if not normalise:
        columns = min(columns, _COLUMNS)
    grid = (chunks, rows, triton.cdiv(width, columns))
    tokens = min(max(_TILE // columns, 1), 32)
    options = {"TOKENS": tokens, "COLUMNS": columns, "NORMALISE": normalise, "num_warps": 4}
    common.launch(kernel, grid, like, *args, **options)


@triton.jit
def _pool_kernel(
    tokens: tl.tensor,
    order: tl.tensor,
    starts: tl.tensor,
    pooled: tl.tensor,
    inverse: tl.tensor,
    rows: int,
    width: int,
    TOKENS: tl.constexpr,
    COLUMNS: tl.constexpr,
    NORMALISE: tl.constexpr,
) -> None:
    """Mean of one chunk's row (grid: chunks, rows, blocks of columns), optionally of norm 1."""
    chunk = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    first, last = tl.load(starts + chunk), tl.load(starts + chunk + 1)
    total = tl.zeros([COLUMNS], tl.float32)
    for at in range(first, last, TOKENS):
        place = at + tl.arange(0, TOKENS)
        token = tl.load(order + place, mask=place < last, other=0)
        source = tokens + (token[:, None] * rows + row) * width + column[None, :]
        inside = (place < last)[:, None] & (column < width)[None, :]
        total += tl.sum(tl.load(source, mask=inside, other=0.0).to(tl.float32), 0)
    total = total / tl.maximum(last - first, 1).to(tl.float32)
    if NORMALISE:
        norm = tl.sqrt(tl.sum(total * total, 0))
        scale = 1.0 / tl.maximum(norm, _LEAST_NORM)
        total = total * scale
        tl.store(inverse + chunk * rows + row, scale)
    tl.store(pooled + (chunk * rows + row) * width + column, total, mask=column < width)


@triton.jit
def _spread_kernel(
    grad: tl.tensor,
    order: tl.tensor,
    starts: tl.tensor,
    out: tl.tensor,
    pooled: tl.tensor,
    inverse: tl.tensor,
    rows: int,
    width: int,
    TOKENS: tl.constexpr,
    COLUMNS: tl.constexpr,
    NORMALISE: tl.constexpr,
) -> None:
    """The gradient of one chunk's row, dealt out to the chunk's tokens (grid as above)."""
    chunk = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    here = (chunk * rows + row) * width + column
    share = tl.load(grad + here, mask=column < width, other=0.0)
    if NORMALISE:
        unit = tl.load(pooled + here, mask=column < width, other=0.0)
        share = (share - unit * tl.sum(unit * share, 0)) * tl.load(inverse + chunk * rows + row)
    first, last = tl.load(starts + chunk), tl.load(starts + chunk + 1)
    share = share / tl.maximum(last - first, 1).to(tl.float32)
    for at in range(first, last, TOKENS):
        place = at + tl.arange(0, TOKENS)
        token = tl.load(order + place, mask=place < last, other=0)
        target = out + (token[:, None] * rows + row) * width + column[None, :]
        inside = (place < last)[:, None] & (column < width)[None, :]
        tile = tl.broadcast_to(share[None, :], [TOKENS, COLUMNS])
        tl.store(target, tile.to(out.dtype.element_ty), mask=inside)
