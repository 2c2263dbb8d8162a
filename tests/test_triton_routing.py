"""A bank's questions are routed by kernels where a GPU serves: same documents, same scores.

On a machine without a GPU kernels run in Triton's interpreter, in a process of their own
(test_triton_interpreted.py); by themselves these tests need a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("triton")

from memsvc_kernels import kernel_check, serving
from memsvc_router.api import RouteRule
from memsvc_storage import NewDocument

from memsvc.engine import Engine
from memsvc.engine.view import BankView
from tests.engine_support import WIDTH, add, running
from tests.triton_support import DEVICES

pytestmark = pytest.mark.parametrize("device", DEVICES)
SHIPS = [
    NewDocument(f"Ship {i} carries cargo{i} of {i % 7}.", document_id=f"s{i}") for i in range(40)
]


@pytest.fixture(autouse=True)
def called(device: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that were called."""
    names: list[str] = []
    found = kernel_check.kernel

    def watched(name: str) -> Callable[..., Any]:
        names.append(name)
        return found(name)

    monkeypatch.setattr(kernel_check, "kernel", watched)
    if device == "cuda":
        import torch

        torch.zeros(1, device=device)  # as a model on the GPU does
    return names


async def both_ways(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, question: str, **asked: Any
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """What kernels find, and what the CPU's scan does."""
    found = []
    for mode in ("triton", "reference"):
        monkeypatch.setenv(serving.VARIABLE, mode)
        recall = await engine.recall("b", question, **asked)
        found.append([(hit.document_id, hit.score) for hit in recall.hits])
    return found[0], found[1]


async def test_kernels_route_a_bank_that_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: list[str]
) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", *SHIPS)
        ours, wanted = await both_ways(engine, monkeypatch, "cargo7 cargo9")
        assert ours == wanted
        assert {ours[0][0], ours[1][0]} == {"s7", "s9"}
        assert set(called) == {"score_chunks", "document_best", "top_k"}
        on_device = engine._banks.live("b").near_bytes

        await add(engine, "b", NewDocument("Ship 77 carries cargo77.", document_id="new"))
        ours, wanted = await both_ways(engine, monkeypatch, "cargo77")
        assert ours == wanted
        assert ours[0][0] == "new"
        assert engine._banks.live("b").near_bytes > on_device

        await engine.delete_document("b", "s7")
        ours, wanted = await both_ways(engine, monkeypatch, "cargo7 cargo9")
        assert ours == wanted
        assert ours[0][0] == "s9"
        assert "s7" not in {one for one, _ in ours}

        few = {"s3", "s10", "s24"}
        some = {"filter": lambda document: document.document_id in few}
        ours, wanted = await both_ways(engine, monkeypatch, "cargo24", **some)
        assert ours == wanted
        assert {one for one, _ in ours} <= few
        assert ours[0][0] == "s24"


@pytest.mark.parametrize("query", ["max", "mean"])
@pytest.mark.parametrize("chunk", ["max", "mean"])
async def test_kernels_route_layer_by_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: list[str], query: Any, chunk: Any
) -> None:
    """As decoders do."""
    tokens = np.random.default_rng(0).random((3, 2, WIDTH)).astype(np.float32)
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", *SHIPS)
        found = []
        for mode in ("triton", "reference"):
            monkeypatch.setenv(serving.VARIABLE, mode)
            view = BankView(engine._banks, "b", None)
            found.append(view.route_layer(1, tokens, 12, RouteRule(query, chunk)))
        ours, wanted = found
        np.testing.assert_array_equal(ours.documents, wanted.documents)
        np.testing.assert_array_equal(ours.scores, wanted.scores)
        assert "score_chunks" in called
