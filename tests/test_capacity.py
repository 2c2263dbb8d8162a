"""Estimates against reality: banks of documents of varied length, on disk and in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from memsvc_router import load_default_model
from memsvc_router.api import Footprint, MemoryModel
from memsvc_storage import NewDocument

from memsvc.capacity import estimate, unknown_shape
from memsvc.engine import Engine, EngineConfig
from tests.engine_support import PATIENCE, BagModel

WORDS = ("river", "stone", "letter", "garden", "window", "market", "thunder", "harbour")


def _texts(lengths: list[int], seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, length)) for length in lengths]


def _spread(kind: str, count: int) -> list[int]:
    rng = np.random.default_rng(7)
    lengths = {
        "uniform": rng.uniform(5, 400, count),
        "exponential": rng.exponential(150, count) + 1,
        "log-normal": rng.lognormal(4.5, 0.8, count),
        "long": rng.uniform(500, 2000, count // 3),
    }[kind]
    return [max(1, int(length)) for length in lengths]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["uniform", "exponential", "log-normal", "long"])
@pytest.mark.parametrize(
    ("load", "count"), [(BagModel, 400), (load_default_model, 60)], ids=["bag", "default"]
)
async def test_a_real_bank_is_within_five_percent(
    tmp_path: Path, load: Callable[[], MemoryModel], count: int, kind: str
) -> None:
    model = load()
    texts = _texts(_spread(kind, count), seed=1)
    tokens = sum(model.count_tokens(text) for text in texts)
    engine = await Engine.start(EngineConfig(tmp_path), lambda: model)
    try:
        await engine.wait_ready(PATIENCE)
        await engine.create_bank("b")
        added = await engine.add_documents("b", [NewDocument(text) for text in texts])
        await engine.wait_operation(added.operation.operation_id, PATIENCE)
        live = engine._banks.live("b").snapshot()
        assert live is not None
        keys = live.keys
        assert keys.finer is not None
        near = keys.scales.nbytes + keys.finer.nbytes + sum(own.nbytes for own in keys.codes)
        stats = await engine.stats("b")
        _, by_count = await engine.estimate(tokens, len(texts), None, None)
        assert by_count.near_bytes == pytest.approx(near, rel=0.05)
        assert by_count.far_bytes == pytest.approx(stats.disk_bytes, rel=0.05)
        _, by_likeness = await engine.estimate(tokens, None, "b", None)
        assert by_likeness.documents == len(texts)
        assert by_likeness.near_bytes == pytest.approx(near, rel=0.01)
        assert by_likeness.far_bytes == pytest.approx(stats.disk_bytes, rel=0.02)
        assert by_likeness.encode_seconds is not None
        _, tenfold = await engine.estimate(10 * tokens, None, "b", None)
        assert tenfold.far_bytes == pytest.approx(10 * by_likeness.far_bytes, rel=0.005)
        assert tenfold.hop_bytes == pytest.approx(by_likeness.hop_bytes, rel=0.01)
    finally:
        await engine.stop(10)


@pytest.mark.parametrize(
    ("tokens", "documents"), [(1, 1), (10**15, 1), (10**15, 10**15), (100, 100), (10**9, 10**7)]
)
def test_every_document_has_a_chunk_and_every_token_a_place(tokens: int, documents: int) -> None:
    footprint = Footprint(64, 2, routing=(1, 8), content=(2, 4))
    found = estimate(footprint, tokens, unknown_shape(footprint, tokens, documents), 16, None)
    assert found.chunks >= documents
    assert 64 * found.chunks * (1 + 1e-9) >= tokens
    assert found.chunks <= tokens / 64 + 2 * documents
    assert found.hop_bytes <= found.chunks * footprint.content_chunk_bytes
