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


def pool_gradient(
    grad: Tensor,
    order: Tensor,
    starts: Tensor,
    pooled: Tensor | None,
    inverse: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """Gradient of the tokens [T, R, W] in `dtype`, from that of what they were pooled to.

    grad fp32 [C, R, W]; order int64 [T]: tokens by chunk; starts int64 [C + 1]: where each chunk
    begins among them. pooled [C, R, W], inverse [C, R]: rows that were given unit length, and what
    by; pooled is None where they were not.
    """
    if pooled is not None:
        along = (pooled * grad).sum(-1, keepdim=True)
        grad = (grad - pooled * along) * inverse.unsqueeze(-1)
    sizes = starts.diff()
    share = (grad / sizes.clamp_min(1)[:, None, None]).to(dtype)
    out = share.new_zeros(len(order), *share.shape[1:])
    out[order] = share.repeat_interleave(sizes, 0)
    return out
