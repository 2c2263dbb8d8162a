"""Pooling and attention in their plain form."""

from __future__ import annotations

import pytest
import torch
from memsvc_kernels import attend, attend_masked, chunk_mean, chunk_offsets


def test_chunks_never_cross_documents_and_the_last_may_be_shorter() -> None:
    chunk_of_token, counts = chunk_offsets([5, 3, 4], 4)
    assert counts == [2, 1, 1]
    assert chunk_of_token.tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 3]
    tokens = torch.arange(12.0).unsqueeze(1)
    assert chunk_mean(tokens, chunk_of_token, 4).squeeze(1).tolist() == [1.5, 4.0, 6.0, 9.5]


def test_the_mean_of_half_precision_tokens_is_taken_in_fp32() -> None:
    tokens = torch.full((64, 2), 1.001, dtype=torch.bfloat16)
    mean = chunk_mean(tokens, torch.zeros(64, dtype=torch.long), 1)
    assert mean.dtype == torch.float32
    assert torch.equal(mean[0], tokens[0].float())


@pytest.mark.parametrize(("lengths", "pool"), [([3], 0), ([0, 2], 4)])
def test_senseless_sizes_are_refused(lengths: list[int], pool: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        chunk_offsets(lengths, pool)


def test_grouped_attention_equals_attention_with_repeated_heads() -> None:
    torch.manual_seed(0)
    queries = torch.randn(2, 6, 5, 8)
    keys, values = torch.randn(2, 2, 7, 8), torch.randn(2, 2, 7, 8)
    visible = torch.rand(2, 1, 7) < 0.6
    visible[..., 0] = True
    out = attend(queries, keys, values, visible)
    wide = keys.repeat_interleave(3, 1)
    scores = (queries @ wide.transpose(-1, -2)) / 8**0.5
    weights = scores.masked_fill(~visible.unsqueeze(1), float("-inf")).softmax(-1)
    torch.testing.assert_close(out, weights @ values.repeat_interleave(3, 1))


def test_a_token_that_sees_nothing_reads_zeros_not_nan() -> None:
    visible = torch.zeros(1, 1, 3, dtype=torch.bool)
    states = torch.randn(1, 2, 3, 4)
    assert torch.equal(attend(states, states, states, visible), torch.zeros(1, 2, 3, 4))


def test_training_in_bf16_gets_the_gradients_of_the_fused_attention() -> None:
    torch.manual_seed(1)
    states = [torch.randn(2, 3, 17, 16) for _ in range(3)]
    mask = torch.rand(2, 1, 1, 17) < 0.7
    mask[..., 0] = True
    found = {}
    for dtype in (torch.float32, torch.bfloat16):  # fused; by hand
        leaves = [one.to(dtype, copy=True).requires_grad_() for one in states]
        queries, keys, values = leaves
        out = attend_masked(queries, keys, values, mask)
        out.float().square().sum().backward()
        found[dtype] = [out, *(leaf.grad for leaf in leaves if leaf.grad is not None)]
    for exact, short in zip(found[torch.float32], found[torch.bfloat16], strict=True):
        torch.testing.assert_close(short.float(), exact, atol=0.08, rtol=0.05)


@pytest.mark.parametrize("tokens", [33, 48, 67])  # odd numbers of keys are filled up unseen
@pytest.mark.parametrize("masked", [True, False])
def test_serving_in_bf16_sees_what_fp32_sees(tokens: int, masked: bool) -> None:
    torch.manual_seed(2)
    queries, keys, values = (torch.randn(2, 3, tokens, 16) for _ in range(3))
    mask = torch.rand(2, 1, 1, tokens) < 0.5 if masked else None
    wanted = attend_masked(queries, keys, values, mask)
    short = attend_masked(queries.bfloat16(), keys.bfloat16(), values.bfloat16(), mask)
    torch.testing.assert_close(short.float(), wanted, atol=0.04, rtol=0.04)


def test_a_masked_row_trains_to_finite_gradients() -> None:
    states = torch.randn(1, 1, 3, 4, dtype=torch.bfloat16, requires_grad=True)
    attend(states, states, states, torch.zeros(1, 1, 3, dtype=torch.bool)).sum().backward()
    assert states.grad is not None
    assert bool(states.grad.isfinite().all())
