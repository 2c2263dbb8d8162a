"""The words of a text as one dense vector, so that exact matches count in an inner product.

Every token has a fixed random code of ±1; a text is the sum of its tokens' codes, each by BM25's
saturated frequency (Robertson & Zaragoza 2009, §3) and the root of its idf, as is a question: their
product is the BM25 score of the two, but for noise of the order 1/√width. Knows token ids only.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_SEED = 20261122
_K1, _B, _USUAL_TOKENS = 1.2, 0.75, 128.0
HIGHEST = _K1 + 1  # what a word repeated without end counts


def codes(vocabulary: int, width: int) -> Tensor:
    """The code of every token, int8 ±1 [vocabulary, width]; the same on every machine."""
    drawn = np.random.RandomState(_SEED).bytes(-(-vocabulary * width // 8))  # a frozen stream
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8))[: vocabulary * width]
    return torch.from_numpy(bits.astype(np.int8) * 2 - 1).reshape(vocabulary, width)


def frequencies(ids: Tensor, mask: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct tokens of each row and BM25's weight of each: ids int64 [B, T], mask bool [B, T],
    lengths fp32 [B] in tokens -> rows int64 [N], tokens int64 [N], weights fp32 [N]."""
    most = int(ids.max()) + 1
    row_of = torch.arange(len(ids), device=ids.device).unsqueeze(1).expand_as(ids)
    pairs, counts = torch.unique((row_of * most + ids)[mask], return_counts=True)
    rows, tokens = pairs // most, pairs % most
    times, length = counts.float(), lengths[rows]
    weights = times * HIGHEST / (times + _K1 * (1 - _B + _B * length / _USUAL_TOKENS))
    return rows, tokens, weights


def superpose_all(table: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """As `superpose`, of every token of padded rows: ids int64, weights fp32 [B, T] (0 where
    nothing counts) -> fp32 [B, width]."""
    summed: Tensor = torch.einsum("bt,btw->bw", weights, table[ids].float())
    return summed / math.sqrt(table.shape[1])


def superpose(table: Tensor, rows: Tensor, tokens: Tensor, weights: Tensor, count: int) -> Tensor:
    """Sum the codes of tokens by row -> fp32 [count, width]. table int8 as of `codes`; a token's
    product with itself is the product of its two weights. Differentiable by `weights`."""
    width = table.shape[1]
    scaled = weights.float().unsqueeze(1) * table[tokens].float() / math.sqrt(width)
    return scaled.new_zeros(count, width).index_add(0, rows, scaled)
