"""What was known by a moment, and how much more the recent counts, in every way to ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memsvc_router import load_model
from memsvc_router.api import AskOptions, RouteRule
from memsvc_storage import Document, NewDocument

from memsvc.engine import Engine, EngineConfig, Recency
from memsvc.engine.recency import Prior
from memsvc.engine.view import BankView
from tests.engine_support import LAYERS, PATIENCE, WIDTH, add, answer, recalled, running

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_WEEK = Recency(7 * 86_400.0, 10)


def _lives(where: str, ago: timedelta, document_id: str) -> NewDocument:
    return NewDocument(f"Ann lives in {where}.", "", document_id, event_time=_NOW - ago)


async def _moved(engine: Engine) -> None:
    """Ann has moved three times; the ids sort against the times."""
    await engine.create_bank("b")
    await add(
        engine,
        "b",
        _lives("Bonn", 900 * _DAY, "a"),
        _lives("Graz", 400 * _DAY, "b"),
        _lives("Lyon", 2 * _DAY, "c"),
    )


async def test_what_is_recent_comes_first_and_without_recency_age_does_not_count(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as engine:
        await _moved(engine)
        plain = await engine.recall("b", "Where lives Ann?", as_of=_NOW)
        scores = {hit.document_id: hit.score for hit in plain.hits}
        assert len({round(score, 5) for score in scores.values()}) == 1
        found = await engine.recall("b", "Where lives Ann?", as_of=_NOW, recency=_WEEK)
        assert [hit.document_id for hit in found.hits] == ["c", "b", "a"]
        share = 1 + 10 * 2 ** (-2 / 7)
        assert found.hits[0].score == pytest.approx(scores["c"] * share, rel=1e-4)
        assert await answer(engine, "b", "Where lives Ann?", recency=_WEEK) == "Ann lives in Lyon."
        context = await engine.build_context("b", "Where lives Ann?", 8, recency=_WEEK)
        assert [cited.document_id for cited in context.citations] == ["c"]


async def test_what_came_later_is_not_known_yet(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await _moved(engine)
        then = _NOW - 500 * _DAY
        assert await recalled(engine, "b", "Where lives Ann?", as_of=then) == ["a"]
        assert await answer(engine, "b", "Where lives Ann?", as_of=then) == "Ann lives in Bonn."
        context = await engine.build_context("b", "Where lives Ann?", 100, as_of=then)
        assert [cited.document_id for cited in context.citations] == ["a"]
        both = await recalled(
            engine, "b", "Ann", filter=lambda one: one.document_id != "a", as_of=_NOW - 300 * _DAY
        )
        assert both == ["b"]
        at_the_moment = await recalled(engine, "b", "Ann", as_of=_NOW - 900 * _DAY)
        assert at_the_moment == ["a"]


async def test_without_an_event_time_the_time_of_adding_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", NewDocument("The kettle is blue."))
        assert await recalled(engine, "b", "kettle", as_of=datetime.now(UTC) - _DAY) == []
        assert len(await recalled(engine, "b", "kettle", as_of=datetime.now(UTC))) == 1


async def test_recency_finds_what_stands_behind_many_that_fit_better(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        old = [_lives(f"town{n}", 900 * _DAY, f"old{n}") for n in range(40)]
        new = NewDocument("Ann lives in Lyon and likes cheese.", "", "new", event_time=_NOW)
        await add(engine, "b", *old, new)
        options = AskOptions(k=3)
        asked: dict[str, Any] = {"options": options, "as_of": _NOW}
        assert "new" not in await recalled(engine, "b", "Where lives Ann?", **asked)
        found = await recalled(engine, "b", "Where lives Ann?", **asked, recency=_WEEK)
        assert (found[0], len(found)) == ("new", 3)


async def test_layers_that_route_by_themselves_are_weighed_alike(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await _moved(engine)
        query = np.ones((1, 1, WIDTH), np.float32)
        view = BankView(engine._banks, "b", None, prior=Prior(_WEEK, _NOW))
        for layer in range(LAYERS):
            routes = view.route_layer(layer, query, 4, RouteRule())
            names = [view.document_id(one) for one in routes.documents[0] if one >= 0]
            assert names == ["c", "b", "a"]
            assert routes.documents.shape == (1, 4)
            assert routes.documents[0, 3] == -1


def test_scores_below_zero_stay_and_times_ahead_count_as_now() -> None:
    prior = Prior(Recency(3600, 1), _NOW)
    facts = [_facts(_NOW + _DAY), _facts(_NOW)]
    documents = np.array([[0, 1, -1]])
    scores = np.array([[0.5, -0.5, -np.inf]], np.float32)
    assert prior.weighed(documents, scores, facts).tolist() == [[1.0, -0.5, -np.inf]]


async def test_the_default_model_prefers_the_recent_where_texts_are_alike(tmp_path: Path) -> None:
    engine = await Engine.start(EngineConfig(tmp_path), lambda: load_model(None))
    try:
        await engine.wait_ready(PATIENCE)
        await _moved(engine)
        recency = Recency(30 * 86_400.0, 1)
        found = await recalled(engine, "b", "Where does Ann live?", as_of=_NOW, recency=recency)
        assert found[0] == "c"
        told = await answer(engine, "b", "Where does Ann live?", as_of=_NOW, recency=recency)
        assert "Lyon" in told
    finally:
        await engine.stop()


def _facts(when: datetime) -> Document:
    return Document(1, "b", "d", "", "", {}, when, None, when, when, 1, "", "READY")
