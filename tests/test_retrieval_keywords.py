"""Keyword paths: BM25 that follows its bank, grep over plain texts, and reciprocal-rank fusion."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from memsvc_storage import NewDocument

from memsvc.engine import Engine, IndexedView
from memsvc.retrieval.bm25 import Bm25Index
from memsvc.retrieval.fusion import Hybrid, fuse
from memsvc.retrieval.plain import Files
from tests.engine_support import add
from tests.retrieval_support import BANK, filled, numbered, update

TEXTS = ("Tea grows in green hills.", "Whales swim in the sea.", "Green, green tea for whales.")


async def by_bm25(engine: Engine, index: Bm25Index, query: str, k: int = 9) -> dict[str, float]:
    """Scores by document, best first."""
    return await engine.look(BANK, partial(scored, partial(index.search, query=query, k=k)))


async def by_grep(engine: Engine, query: str, k: int = 9) -> dict[str, float]:
    """Scores by document, best first."""
    return await engine.look(BANK, partial(scored, lambda v: Files(v).retrieve(query, k)))


def scored(
    search: Callable[[IndexedView], list[tuple[int, float]]], view: IndexedView
) -> dict[str, float]:
    """What a search finds, by the documents' ids."""
    return {view.document_id(handle): score for handle, score in search(view)}


async def test_bm25_follows_what_is_added_changed_and_deleted(tmp_path: Path) -> None:
    index = Bm25Index()
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        assert list(await by_bm25(engine, index, "green tea")) == ["d2", "d0"]
        await engine.delete_document(BANK, "d2")
        assert list(await by_bm25(engine, index, "green tea")) == ["d0"]
        await add(engine, BANK, NewDocument("Nothing but tea.", "Green", "d3"))
        assert set(await by_bm25(engine, index, "green tea")) == {"d0", "d3"}
        await update(engine, "d0", "Coffee.")
        assert list(await by_bm25(engine, index, "green tea")) == ["d3"]
        assert list(await by_bm25(engine, index, "coffee")) == ["d0"]


async def test_bm25_weighs_words_by_the_bank_as_it_is(tmp_path: Path) -> None:
    grown, fresh = Bm25Index(), Bm25Index()
    async with filled(tmp_path, *numbered(*TEXTS)) as engine:
        await by_bm25(engine, grown, "tea")
        await add(engine, BANK, *numbered(*(f"Tea number {n}." for n in range(20)), first=3))
        await engine.delete_document(BANK, "d1")
        query = "tea for green whales"
        assert await by_bm25(engine, grown, query) == await by_bm25(engine, fresh, query)


async def test_bm25_scores_are_shares_of_what_could_be(tmp_path: Path) -> None:
    async with filled(tmp_path, *numbered(*TEXTS, "zebra " * 500)) as engine:
        index = Bm25Index()
        found = await by_bm25(engine, index, "zebra")
        assert found == {"d3": pytest.approx(1, abs=0.05)}
        half = await by_bm25(engine, index, "zebra unheard")
        assert 0.2 < half["d3"] < 0.8
        assert await by_bm25(engine, index, "unheard") == {}
        assert await by_bm25(engine, index, "the of and") == {}
        assert await by_bm25(engine, index, "") == {}


async def test_bm25_forgets_the_words_of_the_many_that_are_gone(tmp_path: Path) -> None:
    index = Bm25Index()
    async with filled(tmp_path, *numbered(*(f"cargo number{n}" for n in range(600)))) as engine:
        assert list(await by_bm25(engine, index, "number7")) == ["d7"]
        for n in range(500):
            await engine.delete_document(BANK, f"d{n}")
        assert list(await by_bm25(engine, index, "number7 number550")) == ["d550"]
        assert len(index) == 100


async def test_grep_counts_different_words_then_hits(tmp_path: Path) -> None:
    texts = ("Tea, tea, tea!", "Green tea.", "Green, green tea.", "The sea.", "steam")
    async with filled(tmp_path, *numbered(*texts)) as engine:
        found = await by_grep(engine, "the green tea?")
        assert list(found) == ["d2", "d1", "d0"]
        assert list(found.values()) == [1, 1, 0.5]
        assert list(await by_grep(engine, "the green tea", k=1)) == ["d2"]
        assert await by_grep(engine, "the") == {}


def test_fusion_adds_reciprocal_ranks() -> None:
    near, worded = [(1, 0.9), (2, 0.8), (3, 0.7)], [(3, 5.0), (4, 4.0), (1, 0.1)]
    assert fuse([near, worded]) == [1, 3, 2, 4]  # 1 and 3 are first and third: the nearer one
    assert fuse([worded, near]) == [3, 1, 4, 2]
    assert fuse([near, worded[:1]]) == [3, 1, 2]


class _Fixed:
    def __init__(self, *ranking: tuple[int, float]) -> None:
        self._ranking = list(ranking)

    def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:  # noqa: ARG002
        return self._ranking[:k]


def test_a_hybrid_keeps_the_scale_of_cosines_and_looks_deeper_than_k() -> None:
    near = _Fixed((1, 0.9), (2, 0.8), (3, 0.7), (4, 0.6))
    worded = _Fixed((4, 1.0), (3, 0.5))
    assert Hybrid(near, worded, candidates=4).retrieve("", 2) == [(4, 0.9), (3, 0.8)]
    assert Hybrid(near, worded, candidates=1).retrieve("", 1) == [(1, 0.9)]
    assert Hybrid(near, _Fixed(), candidates=4).retrieve("", 2) == [(1, 0.9), (2, 0.8)]
    assert Hybrid(_Fixed(), _Fixed(), candidates=4).retrieve("", 2) == []
