"""Rows whose segments chose chunks: laid out one after another they get what the mask gives."""

from __future__ import annotations

import torch
from memsvc_kernels import attend_segments, gather_attention
from memsvc_kernels.segments import laid_out

SEGMENT = torch.tensor([[-1, -1, 0, 0, 0, 1, 1], [-1, -1, 0, 0, 1, 2, 2]])


def test_segments_laid_out_get_what_a_mask_gives_and_its_gradients() -> None:
    torch.manual_seed(0)
    heads, groups, width, chunks = 4, 2, 8, 9
    sizes = [(2, heads, 7, width), (2, groups, 7, width), (2, groups, 7, width)]
    parts = [torch.randn(*size) for size in (*sizes, (chunks, 2, groups, width))]
    chosen = torch.rand(2, 3, chunks) < 0.4
    down = torch.randn(2, heads, 7, width)
    found = []
    for by_mask in (True, False):
        leaves = [part.clone().requires_grad_() for part in parts]
        queries, keys, values, memory = leaves
        if by_mask:
            out = attend_segments(queries, keys, values, memory, chosen, SEGMENT, 0.3)
        else:
            laid = laid_out(queries, keys, values, memory, chosen, SEGMENT)
            out = gather_attention(*laid, 0.3)[0].view(2, 7, heads, width).transpose(1, 2)
        out.backward(down)
        found.append([out, *(leaf.grad for leaf in leaves)])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


def test_a_segment_sees_what_it_chose_and_the_row_before_it() -> None:
    """Told by values that say who is seen: 100 + the chunk, or the place in the row."""
    keys = torch.zeros(2, 1, 7, 8)
    values = torch.arange(7.0)[None, None, :, None].expand(2, 1, 7, 8)
    memory = torch.zeros(4, 2, 1, 8)
    memory[:, 1] = 100 + torch.arange(4.0)[:, None, None]
    chosen = torch.zeros(2, 3, 4, dtype=torch.bool)
    chosen[0, 1, 3] = chosen[1, 2, 0] = True
    out = attend_segments(torch.zeros(2, 1, 7, 8), keys, values, memory, chosen, SEGMENT, 1.0)
    plain = torch.arange(7.0) / 2  # the mean of what stands before
    seen = out[:, 0, :, 0]
    torch.testing.assert_close(seen[0, :5], plain[:5])
    torch.testing.assert_close(seen[0, 6], torch.tensor((21 + 103) / 8))
    torch.testing.assert_close(seen[1, 5], torch.tensor((15 + 100) / 7))
