"""Attention of many sequences' tokens over [prefix | selected chunks | local tokens], in plain
torch (MSA §3).

Selected chunks are read where they lie, in a pool, by index. Works in slices, so that it fits where
a kernel ran out of memory. Knows tensors only.
Legend: B sequences, T query tokens of all, L local tokens of all, S selected chunks of all, C
chunks of the pool, P prefix tokens, H query heads, G key heads, D head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

_TOKENS = 256  # query tokens whose scores are held at a time

Pair = tuple[Tensor, Tensor]
"""Keys and values, [rows, G, D] each (views are fine as long as D is contiguous)."""


@dataclass(frozen=True)
class Spans:
    """How many query tokens, selected chunks and local tokens each sequence has; sequences follow
    one another in the tensors. Query tokens are the last of a sequence's local tokens."""

    queries: tuple[int, ...]
    selected: tuple[int, ...]
    local: tuple[int, ...]

    @classmethod
    def of(cls, queries: Sequence[int], selected: Sequence[int], local: Sequence[int]) -> Spans:
        """Raises ValueError for lists of different length, or more query than local tokens."""
        same = len(queries) == len(selected) == len(local)
        if not same or any(q < 0 or q > n for q, n in zip(queries, local, strict=True)):
            raise ValueError(f"queries {queries}, selected {selected}, local {local}")
        return cls(tuple(queries), tuple(selected), tuple(local))

    def starts(self) -> list[tuple[int, int, int]]:
        """Where each sequence begins among query tokens, selected chunks, local tokens; and, last,
        where all end."""
        sums = [[0, *accumulate(part)] for part in (self.queries, self.selected, self.local)]
        return list(zip(*sums, strict=True))


def gather_attention(
    queries: Tensor,
    prefix: Pair,
    pool: Pair,
    selected: Tensor,
    local: Pair,
    spans: Spans,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Each query token sees the prefix, its sequence's selected chunks, and local tokens up to
    itself.

    queries [T, H, D]; prefix [P, G, D], shared; pool [C, G, D]; selected int64 [S], rows of the
    pool; local [L, G, D]; H % G == 0. Returns [T, H, D] in the queries' type, differentiable in
    all floating tensors, and the logarithm of the sum of exponentials, fp32 [T, H], which is not.
    Raises ValueError for shapes that do not agree.
    """
    check_gather(queries, prefix, pool, selected, local, spans)
    out, lse = [queries[:0]], [queries.new_empty(0, queries.shape[1], dtype=torch.float32)]
    starts = spans.starts()
    for (q0, s0, l0), (q1, s1, l1) in pairwise(starts):
        rows = [
            torch.cat((first, stored[selected[s0:s1]], new[l0:l1])).float()
            for first, stored, new in zip(prefix, pool, local, strict=True)
        ]
        before = len(rows[0]) - (l1 - l0)
        for at in range(q0, q1, _TOKENS):
            some = queries[at : min(at + _TOKENS, q1)]
            position = before + (l1 - l0) - (q1 - at) + torch.arange(len(some))
            seen = torch.arange(len(rows[0])) <= position.unsqueeze(1)
            mixed, total = _attend(some.float() * scale, rows[0], rows[1], seen.to(some.device))
            out.append(mixed.to(queries.dtype))
            lse.append(total.detach())
    return torch.cat(out), torch.cat(lse)


def gather_gradients(
    grad: Tensor,
    queries: Tensor,
    sources: Sequence[Tensor],
    selected: Tensor,
    spans: Spans,
    scale: float,
) -> list[Tensor]:
    """Gradients of queries and of `sources` (prefix, pool and local, keys before values), some
    query tokens after others, so that it fits where a kernel ran out of memory.

    grad [T, H, D]: of what `gather_attention` returned first; the rest as it was given.
    """
    leaves = [one.detach().float().requires_grad_() for one in (queries, *sources)]
    asked, prefix, pool, local = leaves[0], *zip(leaves[1::2], leaves[2::2], strict=True)
    with torch.enable_grad():
        for (q0, s0, l0), (q1, s1, l1) in pairwise(spans.starts()):
            for at in range(q0, q1, _TOKENS):
                end = min(at + _TOKENS, q1)
                seen = slice(l0, l1 - (q1 - end))  # the last of these is the last query's own
                some = Spans.of([end - at], [s1 - s0], [seen.stop - l0])
                near = (local[0][seen], local[1][seen])
                rest = (prefix, pool, selected[s0:s1], near, some, scale)
                gather_attention(asked[at:end], *rest)[0].backward(grad[at:end].float())
    return [
        torch.zeros_like(one) if leaf.grad is None else leaf.grad.to(one.dtype)
        for leaf, one in zip(leaves, (queries, *sources), strict=True)
    ]


def check_gather(
    queries: Tensor, prefix: Pair, pool: Pair, selected: Tensor, local: Pair, spans: Spans
) -> None:
    """Raises ValueError for shapes that do not agree."""
    _, heads, width = queries.shape
    groups = local[0].shape[1]
    counts = (len(queries), len(selected), len(local[0]))
    pairs = [(keys.shape, values.shape) for keys, values in (prefix, pool, local)]
    agree = all(k == v and k[1:] == (groups, width) for k, v in pairs)
    if not agree or heads % groups or spans.starts()[-1] != counts:
        raise ValueError(f"queries {list(queries.shape)}, {pairs}, {counts} rows for {spans}")


def _attend(queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Pair:
    """fp32 queries [T, H, D]; keys, values [N, G, D]; seen bool [T, N] -> [T, H, D] and [T, H]."""
    tokens, heads, width = queries.shape
    by_group = queries.reshape(tokens, keys.shape[1], -1, width)
    scores = torch.einsum("tgsd,ngd->gstn", by_group, keys).masked_fill(~seen, float("-inf"))
    mixed = torch.einsum("gstn,ngd->tgsd", scores.softmax(-1), values)
    total = scores.logsumexp(-1).permute(2, 0, 1)
    return mixed.reshape(tokens, heads, width), total.reshape(tokens, heads)
