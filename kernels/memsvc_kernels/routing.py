"""Routing: one collapsed inner product per chunk, a max per document, a top-k (MSA §2).

Scores are accumulated and compared in fp32 (bf16 scores tie); ties go to the lower document, so
that the outcome never depends on segment boundaries. Knows nothing of banks, models or files.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_TILE = 65536  # chunks per pass: bounds the score buffer of a large bank


def collapse_queries(queries: Tensor, groups: int) -> Tensor:
    """Sum the L2-normalised query heads of each key head: mean_h cos(q_h, k_g(h)) becomes one dot.

    queries [M, H, D] -> [M, groups·D] fp32, scaled by 1/H. Raises ValueError if H % groups.
    """
    m, heads, width = queries.shape
    if heads % groups:
        raise ValueError(f"{heads} query heads do not divide into {groups} key heads")
    unit = torch.nn.functional.normalize(queries.float(), dim=-1)
    return unit.reshape(m, groups, heads // groups, width).sum(2).reshape(m, -1) / heads


def document_max(scores: Tensor, chunk_document: Tensor, documents: int) -> Tensor:
    """Best chunk score of each document: [M, C] by chunk_document [C] -> [M, documents]."""
    best = scores.new_full((scores.shape[0], documents), float("-inf"))
    index = chunk_document.long().expand_as(scores)
    return best.scatter_reduce(1, index, scores, "amax", include_self=True)


def top_documents(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best columns of [M, N], ties to the lower column. -> (documents, scores) [M, k]."""
    values, order = torch.sort(scores, dim=1, descending=True, stable=True)
    return order[:, :k], values[:, :k]


def route(
    queries: NDArray[np.float32],
    keys: NDArray[np.floating],
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Route M queries over a bank's routing keys.

    queries fp32 [M, W], keys fp32 or fp16 [C, W], chunk_document [C] ascending document numbers,
    allowed bool [N] (False: never routed to). Returns documents [M, k] (-1 where they ran out),
    scores [M, k] and the winning chunk [M, k] (an index into `keys`).
    Raises ValueError on a negative k or shapes that do not agree.
    """
    m, width = queries.shape
    if k < 1 or (len(keys) and keys.shape[1] != width) or len(keys) != len(chunk_document):
        raise ValueError(
            f"k={k}, queries {queries.shape}, keys {keys.shape}, documents {chunk_document.shape}"
        )
    documents = np.full((m, k), -1, np.int64)
    scores = np.full((m, k), -np.inf, np.float32)
    chunks = np.full((m, k), -1, np.int64)
    if len(keys) == 0 or m == 0:
        return documents, scores, chunks
    starts = np.flatnonzero(np.diff(chunk_document, prepend=chunk_document[0] - 1))
    numbers = chunk_document[starts]
    flat = _scan(queries, keys)
    best = np.maximum.reduceat(flat, starts, axis=1)
    if allowed is not None:
        best[:, ~allowed[numbers]] = -np.inf
    ends = np.append(starts[1:], len(keys))
    for row in range(m):
        order = _best(best[row], k)
        n = len(order)
        documents[row, :n], scores[row, :n] = numbers[order], best[row, order]
        chunks[row, :n] = [starts[o] + int(flat[row, starts[o] : ends[o]].argmax()) for o in order]
    return documents, scores, chunks


def _scan(queries: NDArray[np.float32], keys: NDArray[np.floating]) -> NDArray[np.float32]:
    """All chunk scores [M, C] in fp32, tile by tile (fp16 keys are widened one tile at a time)."""
    out = np.empty((len(queries), len(keys)), np.float32)
    for at in range(0, len(keys), _TILE):
        tile = keys[at : at + _TILE].astype(np.float32, copy=False)
        np.matmul(queries, tile.T, out=out[:, at : at + _TILE])
    return out


def _best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Indices of the k best finite scores, best first, ties to the lower index."""
    if k < len(scores):
        bound = np.partition(scores, -k)[-k]
        found = np.flatnonzero(scores >= bound)
    else:
        found = np.arange(len(scores))
    found = found[np.isfinite(scores[found])]
    return found[np.argsort(-scores[found], kind="stable")][:k]
