"""What scores of chunks, best chunks of documents and the top k have to come to, in plain torch.

Works in slices, so that it fits where a kernel ran out of memory. Knows tensors only (MSA §2).
Legend: B queries, M tokens of a query (padded), C chunks, N documents, W width of a key.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_SCORES = 1 << 24  # scores of tokens held at a time: 64 MB


def score_chunks(
    queries: Tensor,
    keys: Tensor,
    lengths: Sequence[int] | None = None,
    scales: Tensor | None = None,
    allowed: Tensor | None = None,
    reduce: str = "max",
    exact_queries: bool = True,
) -> Tensor:
    """One routing score for each chunk: the `max` or `mean` over a query's tokens of q · k.

    queries [B, M, W], collapsed (`collapse_queries`), of which the first lengths[b] tokens count;
    keys [C, W] fp32, fp16, bf16, or int8 with a scale fp32 [C] for each; allowed bool [C]: False
    scores -inf (filters, tombstones). Returns fp32 [B, C]. `exact_queries` matters to kernels only:
    without it, queries are rounded to 8 or 11 bits, and a score is off by as much as the keys' own
    rounding. Raises ValueError for shapes that do not agree, or a query without tokens.
    """
    del exact_queries
    counts = check_scoring(queries, keys, lengths, scales, reduce)
    batch, tokens, _ = queries.shape
    wide = queries.float()
    out = wide.new_empty(batch, len(keys))
    step = max(1, _SCORES // max(1, tokens))
    for row, count in enumerate(counts):
        for at in range(0, len(keys), step):
            some = wide[row, :count] @ keys[at : at + step].float().T
            out[row, at : at + step] = some.amax(0) if reduce == "max" else some.mean(0)
    if scales is not None:
        out *= scales
    if allowed is not None:
        out.masked_fill_(~allowed, float("-inf"))
    return out


def check_scoring(
    queries: Tensor,
    keys: Tensor,
    lengths: Sequence[int] | None,
    scales: Tensor | None,
    reduce: str,
) -> list[int]:
    """Tokens of every query. Raises as `score_chunks` says."""
    batch, tokens, width = queries.shape
    counts = [tokens] * batch if lengths is None else list(lengths)
    if keys.shape[1] != width or len(counts) != batch or reduce not in ("max", "mean"):
        raise ValueError(
            f"queries {list(queries.shape)}, keys {list(keys.shape)}, {len(counts)} lengths, "
            f"reduce={reduce!r}"
        )
    if any(not 1 <= count <= tokens for count in counts):
        raise ValueError(f"a query has 1 to {tokens} tokens, not {counts}")
    if (keys.dtype == torch.int8) != (scales is not None):
        raise ValueError(f"8-bit keys come with scales, {keys.dtype} keys without")
    return counts


def document_best(scores: Tensor, chunk_document: Tensor, documents: int) -> tuple[Tensor, Tensor]:
    """Each document's best chunk: scores fp32 [B, C], chunk_document int64 [C], ascending.

    Returns its score fp32 [B, N] (-inf: no chunk, or none that scores more) and its index int64
    [B, N] (the first of equals; -1 where the score is -inf).
    """
    owner = chunk_document.expand_as(scores)
    best = scores.new_full((len(scores), documents), float("-inf"))
    best.scatter_reduce_(1, owner, scores, "amax")
    chunks = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
    wins = (scores == best.gather(1, owner)) & (scores > float("-inf"))
    none = scores.shape[1]
    first = torch.full_like(best, none, dtype=torch.int64)
    first.scatter_reduce_(1, owner, torch.where(wins, chunks, none), "amin")
    return best, torch.where(first < none, first, -1)


def top_k(scores: Tensor, k: int, precedence: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k best finite scores of each row, best first; of equals the lowest precedence, then the
    lowest column, goes first.

    scores fp32 [B, N], precedence int64 [N]. Returns columns int64 [B, k] (-1 where they ran out)
    and scores fp32 [B, k] (-inf there). Raises ValueError for a k below 1.
    """
    if k < 1:
        raise ValueError(f"k={k}")
    order = by_precedence(scores.shape[1], precedence, scores.device)
    usable = torch.where(scores.isfinite(), scores, float("-inf"))
    values, found = usable[:, order].sort(dim=1, descending=True, stable=True)
    values, columns = values[:, :k], order[found[:, :k]]
    columns = torch.where(values > float("-inf"), columns, -1)
    short = (0, k - values.shape[1])
    return (
        torch.nn.functional.pad(columns, short, value=-1),
        torch.nn.functional.pad(values, short, value=float("-inf")),
    )


def by_precedence(count: int, precedence: Tensor | None, device: torch.device) -> Tensor:
    """Columns in the order in which equal scores rank: int64 [count]."""
    if precedence is None:
        return torch.arange(count, device=device)
    return precedence.argsort(stable=True)
