"""One suite over all paths: the same events in the same order, filters and deletes respected."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
from memsvc_router import load_default_model
from memsvc_router.api import AskOptions, Citation, Done, Event, Hop
from memsvc_storage import NewDocument

from memsvc.engine import Engine, EngineConfig
from memsvc.retrieval import PATHS, PathSettings, PathSkipped, Retrieval, UnknownSetting, max_hops
from tests.engine_support import PATIENCE, add, recalled
from tests.retrieval_support import BANK, filled, make_classifier, update

DOCUMENTS = (
    NewDocument("Tea grows in green hills.", "Tea", "tea", {"kind": "plant"}),
    NewDocument("Whales swim in the sea.", "Whales", "whales", {"kind": "animal"}),
    NewDocument("Rome is the capital of Italy.", "Rome", "rome", {"kind": "town"}),
    NewDocument("Cats sleep in green grass.", "Cats", "cats", {"kind": "animal"}),
)
QUESTION = "Where does green tea grow?"


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_classifier(tmp_path_factory.mktemp("reranker")))


@pytest.fixture(scope="module")
def retrieval() -> Retrieval:
    return Retrieval(None)


@pytest.fixture(params=PATHS)
def settings(request: pytest.FixtureRequest, reranker: str) -> PathSettings:
    return PathSettings(request.param, reranker=reranker)


@pytest.fixture
def bank(tmp_path: Path) -> str:
    """A name of its own for each test's bank: one `Retrieval` serves them all."""
    return tmp_path.name


async def events_of(
    engine: Engine, retrieval: Retrieval, settings: PathSettings, bank: str, hops: int = 1
) -> list[Event]:
    """What a path's answer consists of, however unsure."""
    options = AskOptions(max_hops=max_hops(settings.path, hops), min_confidence=0.0)
    retriever = retrieval.factory(settings, bank)
    return [e async for e in engine.ask(bank, QUESTION, options, retriever=retriever)]


async def test_every_path_tells_the_same_events_in_the_same_order(
    tmp_path: Path, retrieval: Retrieval, settings: PathSettings, bank: str
) -> None:
    async with filled(tmp_path, *DOCUMENTS, bank=bank) as engine:
        told = await events_of(engine, retrieval, settings, bank)
        assert [type(e).__name__ for e in told] == ["Hop", "Citation", "Token", "Done"]
        hop, cited, done = told[0], told[1], told[3]
        assert isinstance(hop, Hop)
        assert isinstance(cited, Citation)
        assert isinstance(done, Done)
        assert "tea" in {hit.document_id for hit in hop.routed}
        scores = [hit.score for hit in hop.routed]
        assert scores == sorted(scores, reverse=True)
        if settings.path != "msa":  # readers know scores as cosines
            assert all(-1 <= score <= 1.001 for score in scores)
        assert (cited.document_id, done.answer) == ("tea", "Tea grows in green hills.")


async def test_no_path_finds_what_a_filter_hides(
    tmp_path: Path, retrieval: Retrieval, settings: PathSettings, bank: str
) -> None:
    async with filled(tmp_path, *DOCUMENTS, bank=bank) as engine:
        retriever = retrieval.factory(settings, bank)
        asked = partial(recalled, engine, bank, QUESTION, retriever=retriever)
        assert "tea" in await asked()
        seen = await asked(filter=lambda d: d.metadata["kind"] == "animal")
        assert set(seen) <= {"cats", "whales"}
        assert "cats" in seen
        assert await asked(filter=lambda _: False) == []
        assert "tea" in await asked()


async def test_every_path_follows_the_bank_at_once(
    tmp_path: Path, retrieval: Retrieval, settings: PathSettings, bank: str
) -> None:
    async with filled(tmp_path, *DOCUMENTS, bank=bank) as engine:
        retriever = retrieval.factory(settings, bank)
        asked = partial(recalled, engine, bank, QUESTION, retriever=retriever)
        assert "tea" in await asked()
        await engine.delete_document(bank, "tea")
        assert "tea" not in await asked()
        await add(engine, bank, NewDocument("Green tea grows in Kyoto.", "", "kyoto"))
        assert "kyoto" in await asked()
        await update(engine, "whales", "Green tea grows in Assam.", bank=bank)
        assert {"kyoto", "whales"} <= set(await asked())


async def test_an_empty_bank_has_no_answer_on_any_path(
    tmp_path: Path, retrieval: Retrieval, settings: PathSettings, bank: str
) -> None:
    async with filled(tmp_path, bank=bank) as engine:
        told = await events_of(engine, retrieval, settings, bank)
        assert [type(e).__name__ for e in told] == ["Hop", "Done"]
        assert isinstance(told[-1], Done)
        assert not told[-1].found


async def test_the_default_model_answers_on_every_path_alike(tmp_path: Path, reranker: str) -> None:
    retrieval = Retrieval(tmp_path)
    engine = await Engine.start(EngineConfig(tmp_path), load_default_model)
    try:
        await engine.wait_ready(PATIENCE)
        await engine.create_bank(BANK)
        await add(engine, BANK, *DOCUMENTS)
        for path in PATHS:
            settings = PathSettings(path, reranker=reranker)
            told = await events_of(engine, retrieval, settings, BANK, hops=2)
            names = [name for name, _ in groupby(type(e).__name__ for e in told)]
            assert names == ["Hop", "Citation", "Token", "Done"], path
            assert isinstance(told[-1], Done)
            if path != "rag+rerank":  # whose weights are random
                assert told[-1].answer.strip(".") in DOCUMENTS[0].text, path
    finally:
        await engine.stop()


def test_an_unknown_path_is_refused_by_naming_those_that_there_are() -> None:
    for call in (PathSettings, lambda path: max_hops(path, 2)):
        with pytest.raises(UnknownSetting, match=r"'rags'; there are msa, rag, rag\+rerank"):
            call("rags")
    with pytest.raises(UnknownSetting, match="'tree'; there are flat, ivf, hnsw"):
        PathSettings("rag", index="tree")  # type: ignore[arg-type]
    with pytest.raises(UnknownSetting, match="nprobe must be at least 1, got 0"):
        PathSettings("rag", nprobe=0)


def test_only_msa_and_iterative_rag_may_route_again() -> None:
    several = {path for path in PATHS if max_hops(path, 3) == 3}
    assert several == {"msa", "iterative-rag"}
    assert {max_hops(path, 3) for path in PATHS if path not in several} == {1}


def test_without_a_reranker_its_path_is_skipped_and_says_so() -> None:
    with pytest.raises(PathSkipped, match="no reranker given"):
        Retrieval(None).factory(PathSettings("rag+rerank"), BANK)


async def test_full_context_is_skipped_where_the_bank_does_not_fit(tmp_path: Path) -> None:
    retrieval = Retrieval(None)
    async with filled(tmp_path, *DOCUMENTS) as engine:
        for settings, reason in (
            (PathSettings("full-context", read_documents=3), "holds 4 documents, of .* takes in 3"),
            (PathSettings("full-context", read_tokens=9), r"holds \d+ tokens, of .* takes in 9 at"),
        ):
            tight = retrieval.factory(settings, BANK)
            with pytest.raises(PathSkipped, match=reason):
                await engine.recall(BANK, QUESTION, retriever=tight)
        fitting = retrieval.factory(PathSettings("full-context"), BANK)
        assert await recalled(engine, BANK, QUESTION, retriever=fitting) == [
            document.document_id for document in DOCUMENTS
        ]


async def test_an_index_is_made_before_a_question_waits_for_it(tmp_path: Path) -> None:
    retrieval = Retrieval(tmp_path / "data")
    settings = PathSettings("hybrid", index="hnsw")
    async with filled(tmp_path, *DOCUMENTS) as engine:
        assert retrieval.index_facts(settings, BANK) == {"bytes": 0, "build_seconds": 0}
        await engine.look(BANK, partial(retrieval.prepare, settings, BANK))
        made = retrieval.index_facts(settings, BANK)
        assert made["bytes"] > len(DOCUMENTS) * 384 * 4
        assert made["build_seconds"] > 0
        await recalled(engine, BANK, QUESTION, retriever=retrieval.factory(settings, BANK))
        assert retrieval.index_facts(settings, BANK) == made
        assert retrieval.index_facts(PathSettings("files"), BANK)["bytes"] == 0


async def test_what_was_made_of_a_deleted_bank_goes_with_it(tmp_path: Path) -> None:
    retrieval = Retrieval(tmp_path / "data")
    settings = PathSettings("rag")
    async with filled(tmp_path, *DOCUMENTS) as engine:
        await engine.look(BANK, partial(retrieval.prepare, settings, BANK))
        retrieval.keep_only([BANK])
        assert len(list((tmp_path / "data").rglob("*.vectors"))) == 1
        await engine.delete_bank(BANK)
        retrieval.keep_only([])
        assert list((tmp_path / "data").rglob("*.vectors")) == []
        await engine.create_bank(BANK)
        await add(engine, BANK, NewDocument("Tea is old.", document_id="old"))
        asked = recalled(engine, BANK, QUESTION, retriever=retrieval.factory(settings, BANK))
        assert await asked == ["old"]


async def test_a_bank_that_is_forgotten_is_indexed_anew_from_what_is_left(tmp_path: Path) -> None:
    retrieval = Retrieval(tmp_path / "data")
    settings = PathSettings("hybrid")
    async with filled(tmp_path, *DOCUMENTS) as engine:
        retrieval.forget(BANK)
        await engine.look(BANK, partial(retrieval.prepare, settings, BANK))
        await engine.delete_document(BANK, DOCUMENTS[0].document_id or "")
        retrieval.forget(BANK)
        assert list((tmp_path / "data").rglob("*.vectors")) == []
        retriever = retrieval.factory(settings, BANK)
        found = await recalled(engine, BANK, QUESTION, retriever=retriever)
        assert {*found} == {document.document_id for document in DOCUMENTS[1:]}


@pytest.mark.parametrize("path", ["rag", "hybrid", "bm25", "files"])
async def test_equal_scores_do_not_depend_on_what_came_first(
    tmp_path: Path, retrieval: Retrieval, path: str
) -> None:
    same = [NewDocument("Green tea.", document_id=f"d{n}") for n in range(6)]
    answers = []
    for number, documents in enumerate((same, same[::-1])):
        bank = f"{path}-{number}".replace("+", "-")
        async with filled(tmp_path / bank, *documents, bank=bank) as engine:
            retriever = retrieval.factory(PathSettings(path), bank)
            answers.append(await recalled(engine, bank, "green tea", retriever=retriever))
    assert answers[0] == answers[1]
    assert len(answers[0]) == 6


@pytest.mark.parametrize("path", ["rag", "hybrid"])
async def test_questions_and_changes_side_by_side_find_nothing_that_was_deleted(
    tmp_path: Path, retrieval: Retrieval, path: str, bank: str
) -> None:
    settings = PathSettings(path, index="hnsw")
    async with filled(tmp_path, *DOCUMENTS, bank=bank) as engine:
        retriever = retrieval.factory(settings, bank)
        asked = partial(recalled, engine, bank, "green tea", retriever=retriever)
        prepare = partial(engine.look, bank, partial(retrieval.prepare, settings, bank))
        for turn in range(8):
            new = NewDocument(f"Green tea number {turn}.", document_id=f"t{turn}")
            await asyncio.gather(asked(), prepare(), add(engine, bank, new), asked(), prepare())
            assert f"t{turn}" in await asked()
            _, _, found, _ = await asyncio.gather(
                engine.delete_document(bank, f"t{turn}"), prepare(), asked(), prepare()
            )
            assert set(found) <= {*(d.document_id for d in DOCUMENTS), f"t{turn}"}
            assert f"t{turn}" not in await asked()
