"""Attention of local tokens over [compressed memory | local tokens] (MSA §3).

Keys and values may have fewer heads than queries (GQA). Knows tensors only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    visible: Tensor,
) -> Tensor:
    """Softmax attention with a boolean mask.

    queries [B, H, T, D]; keys, values [B, G, S, D] with H % G == 0; visible bool [B, T or 1, S]
    (True: may be seen; a row that sees nothing yields zeros). Returns [B, H, T, D].
    """
    group = queries.shape[1] // keys.shape[1]
    if group > 1:
        keys = keys.repeat_interleave(group, dim=1)
        values = values.repeat_interleave(group, dim=1)
    mask = visible.unsqueeze(1)
    out = scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return torch.where(mask.any(-1, keepdim=True), out, torch.zeros_like(out))
