"""Routing scores on a GPU: a product whose maximum over tokens never leaves the registers (MSA §2).

A key is read once for all queries of a program, widened from 8 bits in registers, and one float is
written for each query and chunk. A query's fp32 values go in as two narrow parts, so that the keys'
rounding is the only one that counts. Knows tensors only.
Legend: B queries, M tokens of a query, C chunks, N documents, W width of a key.
"""

# ruff: noqa: N803
# What Triton does to types is not Python: mypy takes its names for Any, pyright cannot.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from memsvc_kernels import triton_common as common
from memsvc_kernels.ranking_reference import check_scoring

_CHUNKS = 128  # of a program
_ROWS = 128  # tokens of a program, of one query or of several
_TOKENS = 64  # of one query at a time
_COLUMNS = 64  # of keys and queries at a time


@dataclass(frozen=True)
class _Packed:
    """Queries as the kernel takes them. parts [1 or 2, B', M', W], which sum to queries / units;
    units fp32 [B', M'] powers of two; lengths int32 [B']; B' and M' are padded to whole blocks of
    `together` queries and `tokens` tokens."""

    parts: Tensor
    units: Tensor
    lengths: Tensor
    together: int
    tokens: int


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
    counts = check_scoring(queries, keys, lengths, scales, reduce)
    batch, (chunks, width) = len(queries), keys.shape
    dtype = torch.bfloat16 if keys.dtype == torch.int8 else keys.dtype
    packed = _pack(queries, counts, dtype, exact_queries)
    out = queries.new_empty(batch, chunks, dtype=torch.float32)
    blocks = len(packed.lengths) // packed.together
    rows = packed.together * packed.tokens
    common.launch(
        _score_kernel,
        (triton.cdiv(chunks, _CHUNKS) * blocks,),
        queries,
        *(packed.parts, packed.units, packed.lengths, keys.contiguous()),
        *(keys if scales is None else scales, keys if allowed is None else allowed.byte(), out),
        *(batch, packed.units.shape[1], chunks, width, blocks),
        PARTS=len(packed.parts),
        TOKENS=packed.tokens,
        QUERIES=packed.together,
        CHUNKS=_CHUNKS,
        COLUMNS=_columns(width, rows, dtype),
        MEAN=reduce == "mean",
        SCALED=scales is not None,
        MASKED=allowed is not None,
        WIDE=common.INTERPRETED,
        num_warps=8 if rows >= 64 else 4,
        num_stages=3,
    )
    return out


def _columns(width: int, rows: int, dtype: torch.dtype) -> int:
    """Columns at a time: as many as spill no registers."""
    most = (_COLUMNS if rows < 64 else _COLUMNS // 2) * 2 // dtype.itemsize
    return min(max(most, 16), common.power_of_two(width, 16))


def _pack(queries: Tensor, counts: list[int], dtype: torch.dtype, exact: bool) -> _Packed:
    batch, most, _ = queries.shape
    tokens = min(_TOKENS, common.power_of_two(most))
    together = common.power_of_two(min(batch, _ROWS // tokens), -(-16 // tokens))
    padded = torch.nn.functional.pad(
        queries.float(), (0, 0, 0, -most % tokens, 0, -batch % together)
    )
    units = torch.frexp(padded.abs().amax(2)).exponent.float().exp2()
    rest = padded / units.unsqueeze(2)
    parts = [rest.to(dtype)]
    if exact and dtype.itemsize < 4:
        parts.append((rest - parts[0].float()).to(dtype))
    lengths = torch.tensor([*counts, *[0] * (len(padded) - batch)], dtype=torch.int32)
    return _Packed(torch.stack(parts), units, lengths.to(queries.device), together, tokens)


def document_best(scores: Tensor, chunk_document: Tensor, documents: int) -> tuple[Tensor, Tensor]:
    """See `ranking_reference.document_best`."""
    batch, chunks = scores.shape
    numbers = torch.arange(documents + 1, device=scores.device)
    starts = torch.searchsorted(chunk_document, numbers.to(chunk_document.dtype))
    best = scores.new_empty(batch, documents)
    winner = starts.new_empty(batch, documents)
    common.launch(
        _document_kernel,
        (triton.cdiv(documents, 64), batch),
        scores,
        *(scores.contiguous(), starts, best, winner, chunks, documents),
        DOCUMENTS=64,
        CHUNKS=16,
        num_warps=4,
    )
    return best, winner


@triton.jit
def _score_kernel(
    queries: tl.tensor,
    units: tl.tensor,
    lengths: tl.tensor,
    keys: tl.tensor,
    scales: tl.tensor,
    allowed: tl.tensor,
    out: tl.tensor,
    batch: int,
    tokens: int,
    chunks: int,
    width: int,
    blocks: int,
    PARTS: tl.constexpr,
    TOKENS: tl.constexpr,
    QUERIES: tl.constexpr,
    CHUNKS: tl.constexpr,
    COLUMNS: tl.constexpr,
    MEAN: tl.constexpr,
    SCALED: tl.constexpr,
    MASKED: tl.constexpr,
    WIDE: tl.constexpr,
) -> None:
    """Scores of CHUNKS chunks for QUERIES queries. Programs of the same chunks follow one another,
    so that the keys come from memory once and then from the cache."""
    block = tl.program_id(0) % blocks
    chunk = (tl.program_id(0) // blocks).to(tl.int64) * CHUNKS + tl.arange(0, CHUNKS)
    query = block * QUERIES + tl.arange(0, QUERIES)
    length = tl.load(lengths + query)
    lane = tl.arange(0, QUERIES * TOKENS)
    row = (block * QUERIES + lane // TOKENS) * tokens + lane % TOKENS
    span = blocks * QUERIES * tokens * width  # from one part to the next
    best = tl.full([CHUNKS, QUERIES], 0.0 if MEAN else float("-inf"), tl.float32)
    for at in range(0, tokens, TOKENS):
        score = tl.zeros([CHUNKS, QUERIES * TOKENS], tl.float32)
        for start in range(0, width, COLUMNS):
            column = start + tl.arange(0, COLUMNS)
            score = _add_columns(
                score, queries, keys, row + at, chunk, column, chunks, width, span, PARTS, WIDE
            )
        score *= tl.load(units + row + at)[None, :]
        if SCALED:
            score *= tl.load(scales + chunk, mask=chunk < chunks, other=0.0)[:, None]
        each = tl.reshape(score, [CHUNKS, QUERIES, TOKENS])
        inside = ((at + tl.arange(0, TOKENS))[None, :] < length[:, None])[None, :, :]
        if MEAN:
            best += tl.sum(tl.where(inside, each, 0.0), 2) / tl.maximum(length, 1)[None, :]
        else:
            best = tl.maximum(best, tl.max(tl.where(inside, each, float("-inf")), 2))
    if MASKED:
        seen = tl.load(allowed + chunk, mask=chunk < chunks, other=0)
        best = tl.where((seen != 0)[:, None], best, float("-inf"))
    target = out + query[None, :].to(tl.int64) * chunks + chunk[:, None]
    tl.store(target, best, mask=(chunk < chunks)[:, None] & (query < batch)[None, :])


@triton.jit
def _add_columns(
    score: tl.tensor,
    queries: tl.tensor,
    keys: tl.tensor,
    row: tl.tensor,
    chunk: tl.tensor,
    column: tl.tensor,
    chunks: int,
    width: int,
    span: int,
    PARTS: tl.constexpr,
    WIDE: tl.constexpr,
) -> tl.tensor:
    """What some columns add to the scores [chunks, rows]."""
    inside = (chunk < chunks)[:, None] & (column < width)[None, :]
    key = tl.load(keys + chunk[:, None] * width + column[None, :], mask=inside, other=0)
    if not WIDE:
        key = key.to(queries.dtype.element_ty)
    for part in tl.static_range(PARTS):
        source = queries + part * span + row[None, :] * width + column[:, None]
        query = tl.load(source, mask=(column < width)[:, None], other=0.0)
        score = common.product(key, query, score, WIDE)
    return score


@triton.jit
def _document_kernel(
    scores: tl.tensor,
    starts: tl.tensor,
    best: tl.tensor,
    winner: tl.tensor,
    chunks: int,
    documents: int,
    DOCUMENTS: tl.constexpr,
    CHUNKS: tl.constexpr,
) -> None:
    """Best chunk of DOCUMENTS documents for one query (grid: blocks of documents, queries)."""
    query = tl.program_id(1).to(tl.int64)
    document = tl.program_id(0) * DOCUMENTS + tl.arange(0, DOCUMENTS)
    inside = document < documents
    first = tl.load(starts + document, mask=inside, other=0)
    last = tl.load(starts + document + 1, mask=inside, other=0)
    top = tl.full([DOCUMENTS], float("-inf"), tl.float32)
    chosen = tl.full([DOCUMENTS], -1, tl.int64)
    for at in range(0, tl.max(last - first, 0), CHUNKS):
        chunk = (first + at)[:, None] + tl.arange(0, CHUNKS)[None, :]
        source = scores + query * chunks + chunk
        some = tl.load(source, mask=chunk < last[:, None], other=float("-inf"))
        value, place = tl.max(some, 1, return_indices=True)
        chosen = tl.where(value > top, first + at + place, chosen)
        top = tl.maximum(top, value)
    tl.store(best + query * documents + document, top, mask=inside)
    tl.store(winner + query * documents + document, chosen, mask=inside)
