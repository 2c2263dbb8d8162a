"""Routing: one collapsed inner product per chunk, a max per document, a top-k (MSA §2).

Scores are accumulated and compared in fp32 (bf16 scores tie); ties go by a precedence of documents,
so that the outcome depends neither on segment boundaries nor on the order of arrival. Knows nothing
of banks, models or files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memsvc_kernels.packed import products_with
from memsvc_kernels.shards import each_shard

_TILE = 4096  # keys that a product takes at a time
_SCORES = 1 << 24  # a tile's at most: 64 MB
_FEW = 1 << 21  # multiplications that take less time than to lay queries out for oneDNN


class Keys(Protocol):
    """Keys [C, W] that are read some rows at a time: an array, or what is made as it is read."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.floating]: ...


def collapse_queries(queries: Tensor, groups: int, cosine: bool = True) -> Tensor:
    """Sum the query heads of each key head: mean_h q_h · k_g(h) becomes one dot product.

    queries [M, H, D] -> [M, groups·D] fp32, scaled by 1/H; with `cosine`, heads are L2-normalised
    first. Raises ValueError if H % groups.
    """
    m, heads, width = queries.shape
    if heads % groups:
        raise ValueError(f"{heads} query heads do not divide into {groups} key heads")
    unit = queries.float()
    if cosine:
        unit = torch.nn.functional.normalize(unit, dim=-1)
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
    keys: Keys,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    precedence: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Route M queries over a bank's routing keys.

    queries fp32 [M, W], keys fp32 or fp16 [C, W], chunk_document [C] ascending document numbers,
    allowed bool [N] (False: never routed to), precedence [N]: of documents of equal score, the
    lowest goes first (without it: the lowest number). Returns documents [M, k] (-1 where they ran
    out), scores [M, k] and the winning chunk [M, k] (an index into `keys`).
    Raises ValueError on a negative k or shapes that do not agree.
    """
    m, width = queries.shape
    if k < 1 or (len(keys) and keys.shape[1] != width) or len(keys) != len(chunk_document):
        raise ValueError(
            f"k={k}, queries {queries.shape}, keys {keys.shape}, documents {chunk_document.shape}"
        )
    scores = np.empty((m, len(keys)), np.float32)

    def fill(at: slice, products: Tensor) -> None:
        scores[:, at] = products.T.numpy()

    _products(queries, keys, fill)
    return Ranking(scores, chunk_document, allowed, "max", precedence).routed(k)


def route_layer(
    queries: NDArray[np.float32],
    keys: Keys,
    chunk_document: NDArray[np.integer],
    allowed: NDArray[np.bool_] | None,
    k: int,
    query_reduce: str = "max",
    chunk_reduce: str = "max",
    precedence: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Route one query of M tokens by one router layer (MSA §2): a chunk's score for a token is the
    best of the token's J rows, then `max` or `mean` over tokens, then over a document's chunks.

    queries fp32 [M, J, W]; the rest and the result (of one row) as in `route`.
    Raises ValueError on a negative k, no tokens, or shapes that do not agree.
    """
    m, rows, width = queries.shape
    if k < 1 or m < 1 or (len(keys) and keys.shape[1] != width) or len(keys) != len(chunk_document):
        raise ValueError(
            f"k={k}, queries {queries.shape}, keys {keys.shape}, documents {chunk_document.shape}"
        )
    flat = queries.reshape(m * rows, width)
    scores = np.empty((1, len(keys)), np.float32)

    def fill(at: slice, products: Tensor) -> None:
        by_token = products.unflatten(1, (m, rows)).amax(2)
        reduced = by_token.amax(1) if query_reduce == "max" else by_token.mean(1)
        scores[0, at] = reduced.numpy()

    _products(flat, keys, fill)
    return Ranking(scores, chunk_document, allowed, chunk_reduce, precedence).routed(k)


class Ranking:
    """Documents by their chunks' scores [M, C]. starts, ends [N]: each document's chunks; numbers
    [N]; scores [M, N]."""

    def __init__(
        self,
        flat: NDArray[np.float32],
        chunk_document: NDArray[np.integer],
        allowed: NDArray[np.bool_] | None,
        chunk_reduce: str,
        precedence: NDArray[np.integer] | None,
    ) -> None:
        self._flat = flat
        new = np.ones(len(chunk_document), np.bool_)
        np.not_equal(chunk_document[1:], chunk_document[:-1], out=new[1:])
        self.starts = np.flatnonzero(new)
        self.ends = np.append(self.starts[1:], flat.shape[1])
        self.numbers = chunk_document[self.starts].astype(np.int64, copy=False)
        self.scores: NDArray[np.floating]
        if not len(self.starts):
            self.scores = flat
        elif chunk_reduce == "max":
            self.scores = np.maximum.reduceat(flat, self.starts, axis=1)
        else:
            sums = np.add.reduceat(flat, self.starts, axis=1)
            self.scores = sums / (self.ends - self.starts).astype(np.float32)
        if allowed is not None:
            self.scores[:, ~allowed[self.numbers]] = -np.inf
        self._first = self.numbers if precedence is None else precedence[self.numbers]

    def best(self, row: int, k: int) -> NDArray[np.int64]:
        """Indices of the k best finite scores, best first, ties by precedence."""
        scores = self.scores[row]
        if k < len(scores):
            bound = np.partition(scores, -k)[-k]
            found = np.flatnonzero(scores >= bound)
        else:
            found = np.arange(len(scores))
        found = found[np.isfinite(scores[found])]
        best: NDArray[np.int64] = found[np.lexsort((self._first[found], -scores[found]))]
        return best[:k]

    def documents(self, k: int) -> list[NDArray[np.int64]]:
        """The k best of each row, or as many as there are."""
        return [self.numbers[self.best(row, k)] for row in range(len(self._flat))]

    def routed(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """The k best of each row with scores and winning chunks, as `route` returns them."""
        m = len(self._flat)
        documents = np.full((m, k), -1, np.int64)
        scores = np.full((m, k), -np.inf, np.float32)
        chunks = np.full((m, k), -1, np.int64)
        for row, flat in enumerate(self._flat):
            order = self.best(row, k)
            n = len(order)
            documents[row, :n], scores[row, :n] = self.numbers[order], self.scores[row, order]
            within = zip(self.starts[order], self.ends[order], strict=True)
            chunks[row, :n] = [start + int(flat[start:end].argmax()) for start, end in within]
        return documents, scores, chunks


def _products(
    queries: NDArray[np.float32],
    keys: Keys,
    fill: Callable[[slice, Tensor], None],
) -> None:
    """Call `fill` with every tile of chunks and its inner products [tile, M] in fp32; narrower keys
    are widened one tile at a time.

    By torch, because numpy's own threads and those of the model's forward stand in each other's way
    (a routing step took up to 10 times as long), and each tile by one thread: two that share a
    product read half as many bytes in a second.
    """
    if len(keys) <= _TILE and queries.size * len(keys) <= _FEW:
        every = slice(0, len(keys))
        wide = keys[every].astype(np.float32, copy=False)
        fill(every, torch.from_numpy(np.einsum("cw,mw->cm", wide, queries)))
        return
    # Equal keys score equally wherever they stand, or ties would not be settled by precedence: BLAS
    # adds up otherwise for one query or one key, and so tiles are whole and queries at least two.
    count = len(queries)
    multiply = products_with(torch.from_numpy(queries if count > 1 else np.repeat(queries, 2, 0)))
    most = max(2, min(_TILE, _SCORES // max(1, count)))

    def work(shard: range) -> None:
        for first in shard:
            for at in range(first, min(first + _TILE, len(keys)), most):
                end = min(at + most, len(keys))
                tile = slice(max(0, end - most), end)
                own = keys[tile].astype(np.float32, copy=False)
                with torch.inference_mode():
                    fill(tile, multiply(torch.from_numpy(own))[:, :count])

    each_shard(len(keys), work, _TILE)
