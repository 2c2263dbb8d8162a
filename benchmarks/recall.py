"""Recall by the model's own routing beside the rag path of the same engine: like for like.

Both find 16 documents of the same bank and bring their texts; they differ in how they look. No
server stands between. Knows engines and paths, nothing of the wire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from memsvc_router import load_default_model
from memsvc_router.api import AskOptions

from memsvc.bench.metrics import percentiles
from memsvc.engine import Engine, EngineConfig
from memsvc.retrieval import PathSettings, Retrieval

_ONCE = AskOptions(k=16, max_hops=1)
_WARM_UP = 5
_WAIT = 0.05


def beside_rag(data: Path, bank: str, questions: Sequence[str], rest: float) -> dict[str, Any]:
    """Milliseconds of both over a data directory that no server has open, in turns with `rest`
    seconds between; the bank is embedded for FAISS flat first."""
    return asyncio.run(_beside_rag(data, bank, questions, rest))


async def _beside_rag(
    data: Path, bank: str, questions: Sequence[str], rest: float
) -> dict[str, Any]:
    engine = await Engine.start(EngineConfig(data_dir=data), load_default_model, None)
    try:
        while engine.model_state != "READY":
            await asyncio.sleep(_WAIT)
        retrieval, settings = Retrieval(None), PathSettings("rag")
        flat = await asyncio.to_thread(retrieval.factory, settings, bank)
        await engine.look(bank, partial(retrieval.prepare, settings, bank))
        ways = [
            partial(engine.recall, bank, options=_ONCE, with_texts=True, retriever=way)
            for way in (None, flat)
        ]
        await _asked(ways, questions[:_WARM_UP], rest)
        ours, theirs = await _asked(ways, questions, rest)
    finally:
        await engine.stop(1.0)
    return compared(ours, theirs)


def compared(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Figures of milliseconds of Recall and of RAG, question by question, and their ratio."""
    return {
        "n": len(ours),
        **{f"{name}_ms": value for name, value in percentiles(ours).items()},
        **{f"rag_{name}_ms": value for name, value in percentiles(theirs).items()},
        "against_rag": round(median(ours) / median(theirs), 3),
    }


async def _asked(
    ways: Sequence[Callable[[str], Awaitable[object]]], questions: Sequence[str], rest: float
) -> list[list[float]]:
    """Milliseconds of each way, in turns."""
    times: list[list[float]] = [[] for _ in ways]
    for question in questions:
        for way, own in zip(ways, times, strict=True):
            await asyncio.sleep(rest)
            began = time.perf_counter()
            await way(question)
            own.append(1e3 * (time.perf_counter() - began))
    return times
