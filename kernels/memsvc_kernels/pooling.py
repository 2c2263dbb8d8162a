"""Mean pooling of a document's tokens over runs of P (MSA §1). Knows nothing of what is pooled."""

from __future__ import annotations

import torch
from torch import Tensor


def chunk_offsets(lengths: list[int], pool_size: int) -> tuple[Tensor, list[int]]:
    """Assign each token of concatenated documents to a chunk; chunks never cross documents.

    Returns the chunk of every token, int64 [sum(lengths)], and the number of chunks per document.
    Raises ValueError for a pool size or length below 1.
    """
    if pool_size < 1 or any(n < 1 for n in lengths):
        raise ValueError(f"pool_size and lengths must be positive, got {pool_size} and {lengths}")
    counts = [-(-n // pool_size) for n in lengths]
    starts = torch.tensor([0, *counts[:-1]]).cumsum(0)
    parts = [torch.arange(n) // pool_size + s for n, s in zip(lengths, starts, strict=True)]
    return torch.cat(parts), counts


def chunk_mean(tokens: Tensor, chunk_of_token: Tensor, chunks: int) -> Tensor:
    """Mean of the tokens of each chunk, accumulated in fp32.

    tokens [T, ...], chunk_of_token int64 [T] -> [chunks, ...] fp32. Differentiable in `tokens`.
    """
    flat = tokens.reshape(tokens.shape[0], -1).float()
    total = flat.new_zeros(chunks, flat.shape[1]).index_add(0, chunk_of_token, flat)
    size = torch.bincount(chunk_of_token, minlength=chunks).clamp_min(1).unsqueeze(1)
    return (total / size).reshape(chunks, *tokens.shape[1:])
