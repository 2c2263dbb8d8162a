"""Every Triton kernel compiles for an A100 and an H100 on a machine with neither, and spills no
registers at the shapes that are served."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

from memsvc_kernels import triton_attention, triton_pooling, triton_scoring, triton_topk
from memsvc_kernels.gather import Spans
from torch import Tensor

from tests.triton_support import INTERPRETED, compiled, launches

pytestmark = pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")

HEADS, GROUPS, WIDTH = 32, 8, 128  # those of MSA-4B
HALF = torch.bfloat16
PAGE = Path(__file__).resolve().parent.parent / "docs/kernels.md"


def pooling(normalise: bool) -> None:
    """A document's routing keys, forward and backward."""
    tokens = torch.zeros(256, GROUPS, WIDTH, dtype=HALF, requires_grad=True)
    pooled = triton_pooling.pool_chunks(tokens, torch.arange(256) // 64, 4, normalise)
    pooled.sum().backward()


def scoring(batch: int, tokens: int, dtype: torch.dtype) -> None:
    """Questions over a bank with filters."""
    keys = torch.zeros(256, GROUPS * WIDTH, dtype=dtype)
    scales = torch.ones(256) if dtype == torch.int8 else None
    queries = torch.zeros(batch, tokens, GROUPS * WIDTH)
    triton_scoring.score_chunks(queries, keys, None, scales, torch.ones(256, dtype=torch.bool))


def ranking(k: int) -> None:
    """The best of many documents, then the best of those."""
    rank = torch.arange(4096)
    for values in (torch.zeros(1, 4096), torch.zeros(1, 64, dtype=torch.int64)):
        triton_topk._best_of_blocks(values, rank, k, packed=values.dtype == torch.int64)


def attention(new: int, length: int, gradient: bool = False) -> None:
    """`new` tokens that see 2,048 chunks."""

    def rows(count: int, heads: int = GROUPS) -> Tensor:
        return torch.zeros(count, heads, WIDTH, dtype=HALF, requires_grad=gradient)

    prefix, local, pool = rows(3), rows(length), rows(4096)
    out, _ = triton_attention.gather_attention(
        rows(new, HEADS),
        (prefix, prefix),
        (pool, pool),
        torch.zeros(2048, dtype=torch.int64),
        (local, local),
        Spans.of([new], [2048], [length]),
        WIDTH**-0.5,
    )
    if gradient:
        out.sum().backward()


def memory(new: int, length: int) -> None:
    """As the decoder asks: 2,048 chunks stand before `length` local tokens in one cache."""
    cache = torch.zeros(GROUPS, 2304 + length, WIDTH, dtype=HALF)[:, 253:]
    queries = torch.zeros(HEADS, new, WIDTH, dtype=HALF)
    triton_attention.attend_memory(queries, cache, cache, 2051, WIDTH**-0.5)


CASES: dict[str, Callable[[], object]] = {
    "pool, unit length, bf16": lambda: pooling(True),
    "score, 1 query of 16 tokens, bf16": lambda: scoring(1, 16, HALF),
    "score, 1 query of 64 tokens, bf16": lambda: scoring(1, 64, HALF),
    "score, 16 queries of 16 tokens, bf16": lambda: scoring(16, 16, HALF),
    "score, 1 query of 16 tokens, int8": lambda: scoring(1, 16, torch.int8),
    "score, 16 queries of 16 tokens, int8": lambda: scoring(16, 16, torch.int8),
    "score, 1 query of 16 tokens, fp32": lambda: scoring(1, 16, torch.float32),
    "best chunk of a document": lambda: triton_scoring.document_best(
        torch.zeros(1, 256), torch.arange(256), 256
    ),
    "top 16": lambda: ranking(16),
    "attention, decode": lambda: attention(1, 64),
    "a question's cache, decode": lambda: memory(1, 64),
    "a question's cache, prefill": lambda: memory(512, 512),
    "attention, prefill and training": lambda: attention(512, 512, gradient=True),
}


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", CASES)
def test_kernels_compile_without_spilling_registers(
    name: str, capability: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for row, spilled in _rows(name, capability, monkeypatch):
        print(row)
        assert spilled == 0, row
        which = re.escape(" | ".join(row.split(" | ")[:3]))
        told = re.search(rf"^{which} \|.*\| (\d+) \| \d+ KB \|$", PAGE.read_text(), re.M)
        assert told, "docs/kernels.md lacks a row of this test"
        assert int(told[1]) == spilled, row


def _rows(name: str, capability: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A row of the table in docs/kernels.md for each kernel that a case launches."""
    seen = set()
    for launch in launches(monkeypatch, CASES[name]):
        use = compiled(launch, capability, monkeypatch)
        kernel = launch.kernel.fn.__name__
        options = f"{launch.options['num_warps']} × 32"
        row = f"| {name} | `{kernel}` | sm_{capability} | {options} "
        row += f"| {use.registers} | {use.spilled} | {use.shared / 1024:.0f} KB |"
        if row not in seen:
            yield row, use.spilled
        seen.add(row)
