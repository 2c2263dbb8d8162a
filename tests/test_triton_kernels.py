"""Triton kernels come to what plain torch comes to, at odd shapes, into poisoned memory.

On a machine without a GPU they run in Triton's interpreter, in a process of their own
(test_triton_interpreted.py); by themselves these tests need a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from memsvc_kernels import (
    Spans,
    dispatch,
    gather,
    kernel_check,
    pooling_reference,
    ranking_reference,
    serving,
    triton_attention,
    triton_common,
    triton_pooling,
)
from torch import Tensor

from tests.triton_support import DEVICES

pytestmark = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(autouse=True)
def kernels_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No way back to plain torch; what is not written is NaN, or the largest whole number."""
    monkeypatch.setenv(serving.VARIABLE, "triton")
    torch.manual_seed(0)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(1).isnan().all()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooling_and_its_gradient(device: str, normalise: bool, dtype: torch.dtype) -> None:
    chunk = torch.tensor([0] * 35 + [1] + [3] * 3 + [4, 0, 4], device=device)  # none in 2
    start = torch.randn(len(chunk), 3, 20).to(device, dtype)
    found = []
    for pool in (dispatch.pool_chunks, pooling_reference.pool_chunks):
        tokens = start.clone().requires_grad_()
        pooled = pool(tokens, chunk, 5, normalise)
        (pooled * torch.arange(20, device=device)).sum().backward()
        assert tokens.grad is not None
        found.append((pooled.detach(), tokens.grad))
    (ours, slope), (wanted, wanted_slope) = found
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(slope, wanted_slope, atol=1e-4, rtol=2e-2)


def test_the_mean_of_single_values_is_pooled_too(device: str) -> None:
    tokens = torch.tensor([1.0, 2.0, 6.0], device=device)
    chunk = torch.tensor([0, 0, 1], device=device)
    assert dispatch.chunk_mean(tokens, chunk, 2).tolist() == [1.5, 6.0]


@pytest.mark.parametrize("reduce", ["max", "mean"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8])
@pytest.mark.parametrize(("lengths", "width"), [([5, 1, 3], 40), ([70], 130)])
def test_scores(
    device: str, reduce: str, dtype: torch.dtype, lengths: list[int], width: int
) -> None:
    queries = torch.randn(len(lengths), max(lengths), width).to(device)
    scales, keys = None, torch.randn(150, width)
    if dtype == torch.int8:
        scales = keys.abs().amax(1) / 127
        keys, scales = (keys / scales.unsqueeze(1)).round(), scales.to(device)
    allowed = torch.arange(150, device=device) % 3 > 0
    args = (queries, keys.to(device, dtype), lengths, scales, allowed, reduce)
    ours, wanted = dispatch.score_chunks(*args), ranking_reference.score_chunks(*args)
    torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-4)


def test_queries_rounded_on_purpose_score_nearly_the_same(device: str) -> None:
    queries = torch.randn(2, 3, 64).to(device)
    keys = torch.randn(50, 64).to(device, torch.bfloat16)
    ours = dispatch.score_chunks(queries, keys, exact_queries=False)
    wanted = ranking_reference.score_chunks(queries, keys)
    assert 0 < (ours - wanted).abs().max() < 0.2


def test_the_best_chunk_of_every_document(device: str) -> None:
    owner = torch.tensor([0] * 40 + [2, 3, 3] + [70] * 5, device=device)
    scores = torch.randint(-3, 3, (2, len(owner))).float().to(device)
    scores[:, 40] = float("-inf")
    ours = dispatch.document_best(scores, owner, 75)
    wanted = ranking_reference.document_best(scores, owner, 75)
    for mine, other in zip(ours, wanted, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("count", [0, 3, 1024, 2500])
@pytest.mark.parametrize("settled", [False, True])
def test_the_top_k_with_ties(device: str, count: int, settled: bool) -> None:
    scores = torch.randint(-2, 3, (2, count)).float().to(device)
    scores[scores == 0] *= -1  # zero of the other sign, which is no less
    scores[:, 1::7] = float("-inf")
    scores[:, 2::7] = float("nan")
    scores[:, 3::50] *= 1e-40  # a number below the normal ones, or zero
    precedence = torch.randint(0, 50, (count,)).to(device) if settled else None
    ours = dispatch.top_k(scores, 7, precedence)
    wanted = ranking_reference.top_k(scores, 7, precedence)
    for mine, other in zip(ours, wanted, strict=True):
        assert torch.equal(mine, other)


def test_a_large_k_is_served_too(device: str) -> None:
    scores = torch.randn(1, 400, device=device)
    assert torch.equal(dispatch.top_k(scores, 200)[1], scores.sort(descending=True).values[:, :200])


@pytest.mark.parametrize(
    ("spans", "prefix"),
    [
        (Spans.of([3, 1], [5, 0], [7, 4]), 3),  # a question read on, a token decoded
        (Spans.of([2, 0, 1], [3, 0, 2], [2, 0, 70]), 0),  # one sequence has nothing new
        (Spans.of([30], [2], [30]), 1),  # more rows than a program holds
    ],
)
@pytest.mark.parametrize("heads", [(6, 2, 20), (3, 1, 16)])
def test_attention_and_its_gradients(
    device: str, spans: Spans, prefix: int, heads: tuple[int, int, int]
) -> None:
    query_heads, groups, width = heads
    sizes: list[tuple[int, ...]] = [(sum(spans.queries), query_heads, width)]
    sizes += [(n, 2, groups, width) for n in (prefix, 9, sum(spans.local))]
    start = [torch.randn(size).to(device) for size in sizes]
    selected = torch.arange(sum(spans.selected), device=device) * 4 % 9
    found = []
    for attend in (dispatch.gather_attention, gather.gather_attention):
        parts = [part.clone().requires_grad_() for part in start]
        prefixes, pool, local = map(pair, parts[1:])
        out, lse = attend(parts[0], prefixes, pool, selected, local, spans, 0.2)
        (out * torch.arange(width, device=device)).sum().backward()
        found.append([out, lse, *(part.grad for part in parts)])
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_decoded_over_many_chunks_split_between_programs(
    device: str, dtype: torch.dtype
) -> None:
    spans = Spans.of([1, 1], [700, 4], [2, 3])
    queries, prefix, pool, local = (
        torch.randn(size).to(device, dtype)
        for size in ((2, 4, 16), (3, 2, 1, 16), (50, 2, 1, 16), (5, 2, 1, 16))
    )
    selected = torch.arange(704, device=device) % 50
    near = 1e-5 if dtype == torch.float32 else 2e-2
    results = [
        attend(queries, pair(prefix), pair(pool), selected, pair(local), spans, 0.25)
        for attend in (dispatch.gather_attention, gather.gather_attention)
    ]
    for mine, wanted in zip(*results, strict=True):
        torch.testing.assert_close(mine, wanted, atol=near, rtol=near)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (torch.OutOfMemoryError("full"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("Triton Error [CUDA]: invalid argument"), False),
    ],
)
def test_gradients_are_plain_torch_s_where_their_kernels_fail(
    device: str,
    error: Exception,
    again: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    passed = {(n, torch.empty(0, device=device).device): True for n in kernel_check.NAMES}
    monkeypatch.setenv(serving.VARIABLE, "auto")
    monkeypatch.setattr(serving, "_on_gpu", lambda _: True)
    monkeypatch.setattr(serving, "_passed", passed)
    launch, tries = triton_common.launch, []

    def failing(kernel: Any, *args: Any, **options: Any) -> None:
        if kernel not in (triton_attention._attend_kernel, triton_pooling._pool_kernel):
            tries.append(kernel)
            raise error
        launch(kernel, *args, **options)

    monkeypatch.setattr(triton_common, "launch", failing)
    for _ in range(2):
        test_attention_and_its_gradients(device, Spans.of([3, 1], [5, 0], [7, 4]), 3, (6, 2, 20))
        test_pooling_and_its_gradient(device, True, torch.bfloat16)
    assert len(tries) == len(caplog.messages) == (4 if again else 2)
    assert all("plain torch serves" in line for line in caplog.messages)


@pytest.mark.parametrize("name", kernel_check.NAMES)
def test_the_check_at_first_use_is_passed(device: str, name: str) -> None:
    assert kernel_check.disagreement(name, torch.device(device)) is None


def pair(both: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values, which lie beside one another in blocks: [rows, 2, G, D]."""
    return both[:, 0], both[:, 1]
