"""Attention of rows in training: each segment of a row sees chunks of its own choice and the row's
earlier tokens (MSA §3, §5). By a mask over all chunks, or laid out for `gather_attention`.

Knows tensors only. Legend: B rows, T tokens of a row, S segments, C chunks, H query heads, G key
heads, D head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memsvc_kernels.attention import attend, earlier
from memsvc_kernels.gather import Pair, Spans


def attend_segments(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    memory: Tensor,
    chosen: Tensor,
    segment: Tensor,
    scale: float,
    near: Tensor | None = None,
    softcap: float | None = None,
) -> Tensor:
    """Attention of a batch of rows over what their segments chose, and their own tokens.

    queries [B, H, T, D]; keys, values [B, G, T, D]; memory [C, 2, G, D] (keys, then values);
    chosen bool [B, S, C]: what the tokens of a segment see; segment int64 [B, T]: below 0 it sees
    no chunk. near bool [B, T, T]: what is seen of a row's own tokens; None: all earlier ones.
    `softcap` squashes scores to ±softcap. Returns [B, H, T, D], differentiable in all floating
    tensors.
    """
    batch, tokens = segment.shape
    of_token = segment.unsqueeze(2)
    index = of_token.clamp_min(0).expand(-1, -1, chosen.shape[2])
    far = chosen.gather(1, index) & (of_token >= 0)
    if near is None:
        near = earlier(tokens, None, segment.device).expand(batch, -1, -1)
    both = memory.permute(1, 2, 0, 3).unsqueeze(1).expand(-1, batch, -1, -1, -1)
    keys, values = (torch.cat(pair, dim=2) for pair in zip(both, (keys, values), strict=True))
    return attend(queries, keys, values, torch.cat((far, near), dim=2), scale, softcap)


def laid_out(
    queries: Tensor, keys: Tensor, values: Tensor, memory: Tensor, chosen: Tensor, segment: Tensor
) -> tuple[Tensor, Pair, Pair, Tensor, Pair, Spans]:
    """What `gather_attention` takes for the same: a sequence for each segment of each row, which
    has the row up to its own end as local tokens. Its result's tokens are [B · T, H, D]."""
    runs = _runs(segment)
    cells = [max(number, 0) + row * chosen.shape[1] for row, number, _, _ in runs]
    sees = torch.tensor([number >= 0 for _, number, _, _ in runs], device=chosen.device)
    picked = chosen.flatten(0, 1)[torch.tensor(cells, device=chosen.device)] & sees.unsqueeze(1)
    width = segment.shape[1]
    own = torch.cat([torch.arange(end) + row * width for row, _, _, end in runs])
    asked, *rows = (x.transpose(1, 2).flatten(0, 1) for x in (queries, keys, values))
    near = own.to(segment.device)
    local = (rows[0][near], rows[1][near])
    spans = Spans.of(
        [end - begin for _, _, begin, end in runs],
        picked.sum(1).tolist(),
        [end for *_, end in runs],
    )
    none = (local[0][:0], local[1][:0])
    pool = (memory[:, 0], memory[:, 1])
    return asked, none, pool, picked.nonzero()[:, 1], local, spans


def _runs(segment: Tensor) -> list[tuple[int, int, int, int]]:
    """Row, segment, begin and end of all tokens that stand together, in order."""
    found = []
    for row, numbers in enumerate(segment.tolist()):
        begin = 0
        for at in range(1, len(numbers) + 1):
            if at == len(numbers) or numbers[at] != numbers[begin]:
                found.append((row, numbers[begin], begin, at))
                begin = at
    return found
