"""What pooling on any device has to come to, in plain torch (MSA §1).

Works in slices, so that it fits where a kernel ran out of memory. Knows nothing of what is pooled.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize as unit

from memsvc_kernels.pooling import chunk_mean

_VALUES = 1 << 26  # widened to fp32 at a time: 256 MB


def pool_chunks(
    tokens: Tensor, chunk_of_token: Tensor, chunks: int, normalise: bool = False
) -> Tensor:
    """Mean of the tokens of each chunk, accumulated in fp32; with `normalise`, rows of L2 norm 1.

    tokens [T, ..., W] of any floating type, chunk_of_token int64 [T] below `chunks` -> [chunks,
    ..., W] fp32; a chunk without tokens is zero. Differentiable in `tokens`.
    """
    flat = tokens.reshape(len(tokens), -1)
    slices = flat.split(max(1, _VALUES // max(1, len(flat))), 1)
    means = torch.cat([chunk_mean(some, chunk_of_token, chunks) for some in slices], 1)
    pooled = means.reshape(chunks, *tokens.shape[1:])
    return unit(pooled, dim=-1) if normalise else pooled
