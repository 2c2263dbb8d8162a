"""What defines the kernels agrees with the functions that the service has used all along."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from memsvc_kernels import (
    Spans,
    attend,
    chunk_mean,
    gather_attention,
    pool_chunks,
    route_batch,
    route_layer,
    score_chunks,
    top_k,
)
from memsvc_kernels.gather import gather_gradients
from memsvc_kernels.pooling import chunk_mean as plain_mean


@pytest.mark.parametrize("reduce", ["max", "mean"])
def test_a_batch_is_routed_as_each_of_its_questions(reduce: str) -> None:
    torch.manual_seed(0)
    queries, keys = torch.randn(3, 4, 16), torch.randn(90, 16)
    keys[40:60] = keys[0]  # equal scores, which precedence settles
    owner = torch.randint(0, 30, (90,)).sort().values
    allowed, precedence = torch.arange(30) % 4 > 0, torch.randperm(30)
    lengths = [4, 1, 3]
    found = route_batch(
        queries,
        keys,
        owner,
        30,
        40,
        lengths=lengths,
        allowed=allowed,
        precedence=precedence,
        reduce=reduce,
    )
    for row, length in enumerate(lengths):
        wanted = route_layer(
            queries[row, :length].unsqueeze(1).numpy(),
            keys.numpy(),
            owner.numpy(),
            allowed.numpy(),
            40,
            reduce,
            precedence=precedence.numpy(),
        )
        np.testing.assert_array_equal(found[0][row], wanted[0][0])
        np.testing.assert_allclose(found[1][row], wanted[1][0], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found[2][row], wanted[2][0])


def test_keys_at_8_bits_score_as_the_keys_they_stand_for() -> None:
    codes, scales = torch.randint(-127, 128, (20, 8)).to(torch.int8), torch.rand(20)
    queries = torch.randn(2, 3, 8)
    wide = codes * scales.unsqueeze(1)
    near = score_chunks(queries, codes, scales=scales)
    torch.testing.assert_close(near, score_chunks(queries, wide))


@pytest.mark.parametrize("documents", [0, 3])
def test_a_bank_without_chunks_routes_to_nothing(documents: int) -> None:
    owner = torch.zeros(0, dtype=torch.int64)
    found = route_batch(torch.ones(2, 1, 4), torch.zeros(0, 4), owner, documents, 2)
    assert found[0].tolist() == found[2].tolist() == [[-1, -1]] * 2
    assert found[1].isneginf().all()


def test_pooled_rows_may_be_given_unit_length() -> None:
    tokens = torch.randn(12, 2, 8)
    chunk = torch.arange(12) // 5
    plain = chunk_mean(tokens, chunk, 4)
    assert torch.equal(plain, plain_mean(tokens, chunk, 4))
    unit = torch.nn.functional.normalize(plain, dim=-1)
    torch.testing.assert_close(pool_chunks(tokens, chunk, 4, normalise=True), unit)


def test_gathering_equals_attention_over_what_was_gathered() -> None:
    torch.manual_seed(0)
    spans = Spans.of([300, 1], [3, 5], [301, 7])
    queries = torch.randn(301, 6, 8)
    prefix, pool, local = (torch.randn(n, 2, 2, 8) for n in (3, 9, 308))
    selected = torch.tensor([8, 1, 2, 0, 0, 3, 7, 5])
    first, stored, latest = ((one[:, 0], one[:, 1]) for one in (prefix, pool, local))
    found, lse = gather_attention(queries, first, stored, selected, latest, spans, 8**-0.5)
    at = 0
    for new, chosen, rows in ((300, selected[:3], local[:301]), (1, selected[3:], local[301:])):
        both = torch.cat((prefix, pool[chosen], rows))
        last = torch.arange(len(both) - new, len(both)).unsqueeze(1)
        seen = torch.arange(len(both)) <= last
        keys, values = (both[:, which].transpose(0, 1).unsqueeze(0) for which in (0, 1))
        some = queries[at : at + new].transpose(0, 1).unsqueeze(0)
        wanted = attend(some, keys, values, seen.unsqueeze(0))[0].transpose(0, 1)
        torch.testing.assert_close(found[at : at + new], wanted, atol=1e-5, rtol=1e-5)
        at += new
    assert lse.shape == (301, 6)


def test_gradients_taken_in_slices_are_those_of_the_whole() -> None:
    """What serves where a kernel's backward fails."""
    torch.manual_seed(0)
    spans = Spans.of([300, 0, 2], [3, 0, 2], [310, 1, 2])
    sizes = [(302, 6), *[(n, 2) for n in (3, 3, 9, 9, 313, 313)]]
    parts = [torch.randn(*size, 8).requires_grad_() for size in sizes]
    selected, down = torch.tensor([8, 1, 1, 0, 8]), torch.randn(302, 6, 8)
    prefix, pool, local = (parts[1], parts[2]), (parts[3], parts[4]), (parts[5], parts[6])
    out, _ = gather_attention(parts[0], prefix, pool, selected, local, spans, 0.3)
    wanted = torch.autograd.grad(out, parts, down)
    found = gather_gradients(down, parts[0], parts[1:], selected, spans, 0.3)
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("lengths", "keys", "scales", "reduce", "said"),
    [
        ([2], (5, 4), None, "max", "lengths"),
        ([2, 0], (5, 4), None, "max", "1 to 3 tokens"),
        ([2, 4], (5, 4), None, "max", "1 to 3 tokens"),
        ([2, 3], (5, 3), None, "max", "keys"),
        ([2, 3], (5, 4), torch.ones(5), "max", "scales"),
        ([2, 3], (5, 4), None, "last", "reduce"),
    ],
)
def test_scores_of_what_does_not_fit_are_refused(
    lengths: list[int],
    keys: tuple[int, int],
    scales: torch.Tensor | None,
    reduce: str,
    said: str,
) -> None:
    with pytest.raises(ValueError, match=said):
        score_chunks(torch.ones(2, 3, 4), torch.ones(keys), lengths, scales, None, reduce)


def test_attention_over_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="queries"):
        Spans.of([2], [0], [1])
    rows = (torch.ones(1, 2, 4), torch.ones(1, 2, 4))
    none, spans = torch.zeros(0, dtype=torch.int64), Spans.of([1], [0], [1])
    for queries in (torch.ones(2, 2, 4), torch.ones(1, 3, 4), torch.ones(1, 2, 5)):
        with pytest.raises(ValueError, match="queries"):
            gather_attention(queries, rows, rows, none, rows, spans, 1.0)
    with pytest.raises(ValueError, match="k=0"):
        top_k(torch.ones(1, 2), 0)
