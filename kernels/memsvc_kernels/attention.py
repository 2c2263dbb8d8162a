"""Attention of local tokens over [compressed memory | local tokens] (MSA §3).

Keys and values may have fewer heads than queries (GQA). Knows tensors only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

_SHORT = 256  # tokens of a row
_WHOLE = 16  # keys: torch's fused attention in bf16 takes up to twice as long for others
_SMALL = 32  # keys that are too few for that to matter


def attend_memory(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    before: int,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
) -> Tensor:
    """Attention of one sequence's last tokens over all that stands before its local tokens, and
    over those up to themselves.

    queries [H, T, D]; keys, values [G, before + L, D] (views are fine), H % G == 0, T <= L. Of the
    local tokens the last `window` are seen at most; `softcap` squashes scores to ±softcap.
    Returns [H, T, D].
    """
    new, local = queries.shape[1], keys.shape[1] - before
    visible = None
    if new > 1 or (window is not None and local > window):
        visible = _windowed(local - new, new, before, window, keys.device)
    return attend_rows(queries, keys, values, visible, scale, softcap)


def attend_rows(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    visible: Tensor | None,
    scale: float,
    softcap: float | None = None,
) -> Tensor:
    """Attention of one sequence's new tokens over all it sees, without repeating keys for GQA.

    queries [H, T, D]; keys, values [G, S, D] (views are fine), H % G == 0; visible bool [T, S] or
    None (all is seen). `softcap` squashes scores to ±softcap. Returns [H, T, D].
    """
    heads, tokens, width = queries.shape
    groups = keys.shape[0]
    share = heads // groups
    folded = queries.reshape(groups, share * tokens, width)
    mask = None if visible is None else visible.repeat(share, 1)
    if softcap is None:
        out = scaled_dot_product_attention(
            folded.unsqueeze(0), keys.unsqueeze(0), values.unsqueeze(0), attn_mask=mask, scale=scale
        )
    else:
        out = _capped(folded, keys, values, mask, scale, softcap)
    return out.reshape(heads, tokens, width)


def attend_causal(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
) -> Tensor:
    """Plain causal attention of a right-padded batch; `softcap`, `window`: see `attend_memory`.

    queries [B, H, T, D]; keys, values [B, G, T, D], H % G == 0. Returns [B, H, T, D].
    """
    tokens = queries.shape[2]
    if softcap is not None:
        visible = _windowed(0, tokens, 0, window, queries.device)
        rows = zip(queries, keys, values, strict=True)
        return torch.stack([attend_rows(*one, visible, scale, softcap) for one in rows])
    narrow = window is not None and tokens > window
    return scaled_dot_product_attention(
        queries,
        *_repeated(queries, keys, values),
        attn_mask=_windowed(0, tokens, 0, window, queries.device) if narrow else None,
        is_causal=not narrow,
        scale=scale,
    )


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    visible: Tensor,
    scale: float | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Softmax attention with a boolean mask; `scale`, `softcap`: see `attend_masked`.

    queries [B, H, T, D]; keys, values [B, G, S, D] with H % G == 0; visible bool [B, T or 1, S]
    (True: may be seen; a row that sees nothing yields zeros). Returns [B, H, T, D].
    """
    mask = visible.unsqueeze(1)
    out = attend_masked(queries, *_repeated(queries, keys, values), mask, scale, softcap)
    return torch.where(mask.any(-1, keepdim=True), out, torch.zeros_like(out))


def attend_masked(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    scale: float | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Softmax attention whose backward is fast too.

    queries [B, H, T, D]; keys, values [B, H, S, D]; mask bool, broadcast to [B, H, T, S] (True:
    may be seen), or None. scale: D^-0.5 by default; `softcap` squashes scores to ±softcap. Returns
    [B, H, T, D]; rows that see nothing are finite, and mean nothing. On CPUs, torch's fused
    backward in bf16 takes longer than plain products of short rows (dev/LOG.md, 2026-11-30).
    """
    factor: float = queries.shape[-1] ** -0.5 if scale is None else scale
    if softcap is not None:
        return _capped(queries, keys, values, mask, factor, softcap)
    short = queries.shape[2] * keys.shape[2] <= _SHORT * _SHORT
    trained = torch.is_grad_enabled() and (queries.requires_grad or keys.requires_grad)
    slow = queries.device.type == "cpu" and queries.dtype == torch.bfloat16
    if not (short and trained and slow):
        if slow and not trained and keys.shape[2] > _SMALL and keys.shape[2] % _WHOLE:
            keys, values, mask = _whole(keys, values, mask)
        return scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=scale)
    scores = queries @ keys.transpose(2, 3) * factor
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) @ values


def _capped(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    scale: float,
    softcap: float,
) -> Tensor:
    """queries [.., T, D], keys and values [.., S, D]; what rows that see nothing get is finite."""
    scores = (queries @ keys.transpose(-1, -2)).float() * scale / softcap
    scores = softcap * torch.tanh(scores)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1).to(values.dtype) @ values


def _repeated(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values [B, G, S, D] for each of the heads [B, H, T, D]."""
    share = queries.shape[1] // keys.shape[1]
    if share == 1:
        return keys, values
    return keys.repeat_interleave(share, dim=1), values.repeat_interleave(share, dim=1)


def earlier(tokens: int, window: int | None, device: torch.device) -> Tensor:
    """bool [tokens, tokens]: oneself and what came before, `window` tokens at most."""
    return _windowed(0, tokens, 0, window, device)


def _windowed(
    known: int, new: int, before: int, window: int | None, device: torch.device
) -> Tensor:
    """What `new` tokens after `known` see of [before | local]: bool [new, before + known + new].

    All that stands before the local tokens is seen; of those, the last `window` at most.
    """
    position = torch.arange(known, known + new, device=device).unsqueeze(1)
    local = torch.arange(known + new, device=device).unsqueeze(0)
    seen = local <= position
    if window is not None:
        seen &= local > position - window
    return torch.cat((seen.new_ones(new, before), seen), dim=1)


def _whole(keys: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """With so many more that nobody sees that their number is a multiple of 16."""
    count = keys.shape[2]
    more = -count % _WHOLE
    if mask is None:
        mask = torch.ones(1, 1, 1, count, dtype=torch.bool)
    unseen = [pad(one, (0, 0, 0, more)) for one in (keys, values)]
    return unseen[0], unseen[1], pad(mask.expand(*mask.shape[:-1], count), (0, more))
