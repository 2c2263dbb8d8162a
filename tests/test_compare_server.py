"""Compare over a real connection: what is told, what is measured, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from memsvc_proto.v1 import bank_pb2, compare_pb2, document_pb2

from memsvc.bench.corpus import Question
from memsvc.comparing import Asked, Comparison, Summary, compare
from memsvc.errors import ApiError, Reason
from memsvc.retrieval import PathSettings, Retrieval
from memsvc.server.compare import comparison
from tests.compare_support import PATHS, QUESTIONS, TEXTS, events, of_kind, request
from tests.engine_support import BagModel, Switches
from tests.server_support import BANK, Served, refused, serving

_Settings = compare_pb2.CompareSettings
_Question = compare_pb2.CompareQuestion


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        await served.create_bank()
        await served.add(*TEXTS, title="A title")
        yield served


async def test_every_question_is_asked_on_every_path_and_measured(server: Served) -> None:
    told = await events(server)
    results = of_kind(told, "result")
    pairs = {(one.path, one.question.id) for one in results}
    assert len(pairs) == len(results) == len(PATHS) * len(QUESTIONS)
    assert {name for _, name in pairs} == {"whale", "2", "3", "4"}
    by = {(one.path, one.question.id): one for one in results}
    for path in PATHS:
        whale, wrong, none, free = (by[path, name] for name in ("whale", "2", "3", "4"))
        assert (whale.answer, whale.em, whale.f1) == (QUESTIONS[0].answers[0], 1, 1)
        assert (whale.hits[0], whale.citations[0].document) == ("d1", "d1")
        assert whale.latency_ms > 0
        assert wrong.found
        assert wrong.em == 0
        assert (none.found, none.em) == (False, 1)
        assert not free.HasField("em")
    assert not any(one.error for one in results)


async def test_the_summary_has_figures_pairs_costs_and_warnings(server: Served) -> None:
    told = await events(server)
    assert told[-1].WhichOneof("event") == "summary"
    summary = told[-1].summary
    assert summary.complete
    assert {one.path for one in summary.paths} == set(PATHS)
    for one in summary.paths:
        em = one.metrics["em"]
        assert (em.n, em.low <= em.mean <= em.high) == (3, True)
        assert one.metrics["abstention"].mean == 1
        assert one.metrics["recall@5"].mean == pytest.approx(0.75)  # "gone" is in no document
        assert one.latency_ms["p50"] > 0
    assert {(one.a, one.b) for one in summary.pairs} == {
        ("msa", "bm25"),
        ("msa", "files"),
        ("bm25", "files"),
    }
    assert summary.bank.documents == 3
    assert summary.bank.tokens > 20
    assert summary.bank.near_bytes > 0
    assert summary.bank.far_bytes > 0
    assert summary.model.model == "bag"
    assert (summary.settings.k, summary.machine.cores > 0) == (16, True)
    assert any("gone" in warning for warning in summary.warnings)


async def test_paths_take_turns_and_progress_reaches_its_end(server: Served) -> None:
    told = await events(server)
    order = [one.path for one in of_kind(told, "result")]
    for start in range(0, len(order), len(PATHS)):
        assert set(order[start : start + len(PATHS)]) == set(PATHS)
    assert len({order[start] for start in range(0, len(order), len(PATHS))}) == len(PATHS)
    progress = of_kind(told, "progress")
    assert (progress[-1].done, progress[-1].seconds_left) == (progress[-1].total, 0)
    assert not progress[0].HasField("seconds_left")


async def test_a_path_that_cannot_be_taken_is_skipped_with_its_reason(server: Served) -> None:
    told = await events(server, paths=["msa", "rag+rerank"], questions=QUESTIONS[:1])
    (skipped,) = of_kind(told, "path_skipped")
    assert (skipped.path, skipped.reason) == ("rag+rerank", "no reranker given")
    assert [one.path for one in told[-1].summary.paths] == ["msa"]


async def test_a_filter_holds_on_every_path(server: Served) -> None:
    settings = _Settings(filter='id = "d0"', k=2)
    told = await events(server, settings=settings)
    assert {hit for one in of_kind(told, "result") for hit in one.hits} <= {"d0"}
    assert told[-1].summary.settings.k == 2


async def test_a_question_that_fails_is_told_and_the_others_go_on(server: Served) -> None:
    asked = [
        Question("unreadable", " ", None, ()),  # the model raises ValueError
        Question("fox", "What hunts mice?", ("It hunts mice at night.",), ("d0",)),
    ]
    wanted = Comparison("b", asked, [PathSettings("msa"), PathSettings("files")])
    told = [one async for one in compare(server.engine, Retrieval(None), wanted)]
    results = [one.result for one in told if isinstance(one, Asked)]
    assert [bool(one.error) for one in results] == [True, True, False, False]
    assert results[2].em == 1
    assert isinstance(told[-1], Summary)
    assert "msa: 1 questions failed" in told[-1].results.warnings


_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"bank": "b"}, "bank"),
    ({"questions": []}, "questions"),
    ({"questions": [_Question(text="q")] * 10_001}, "questions"),
    ({"questions": [_Question(text=" ")]}, "questions[0].text"),
    ({"questions": [_Question(id="a", text="q")] * 2}, "questions[1].id"),
    ({"questions": [_Question(text="q", evidence=["a b"])]}, "questions[0].evidence[0]"),
    ({"questions": [_Question(text="q", answers=[""])]}, "questions[0].answers[0]"),
    (
        {"questions": [_Question(text="q", answers=["a"], unanswerable=True)]},
        "questions[0].unanswerable",
    ),
    ({"paths": ["msa", "grep"]}, "paths[1]"),
    ({"paths": ["msa", "msa"]}, "paths[1]"),
    ({"settings": _Settings(k=0)}, "settings.k"),
    ({"settings": _Settings(max_hops=17)}, "settings.max_hops"),
    ({"settings": _Settings(max_read_tokens=0)}, "settings.max_read_tokens"),
    ({"settings": _Settings(index="tree")}, "settings.index"),
    ({"settings": _Settings(filter="((id")}, "settings.filter"),
    ({"settings": _Settings(seed=-1)}, "settings.seed"),
]


async def test_faults_of_a_request_are_named(server: Served) -> None:
    for fields, field in _FAULTS:
        refusal = await refused(server.memory.Compare(request(**fields)))
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.fields == [field]


async def test_an_unknown_path_names_the_known_ones(server: Served) -> None:
    refusal = await refused(server.memory.Compare(request(paths=["grep"])))
    told = refusal.detail(error_details_pb2.BadRequest).field_violations[0].description
    for name in ("msa", "rag+rerank", "full-context", "files"):
        assert name in told


async def test_an_embedder_that_is_not_there_is_the_callers_fault(server: Served) -> None:
    settings = _Settings(embedder="/no/such/folder")
    refusal = await refused(server.memory.Compare(request(paths=["rag"], settings=settings)))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == ["settings.embedder"]


@pytest.mark.parametrize("field", ["embedder", "reranker"])
def test_where_callers_may_name_some_models_others_are_refused(field: str) -> None:
    allowed = frozenset({"org/good"})
    bad: dict[str, Any] = {field: "/etc"}
    good: dict[str, Any] = {field: "org/good"}
    asked = request(paths=["rag"], settings=_Settings(**bad))
    with pytest.raises(ApiError, match=r"'/etc' is not among .* org/good") as refusal:
        comparison(asked, allowed)
    assert refusal.value.reason == Reason.INVALID_FIELD
    asked = request(paths=["rag"], settings=_Settings(**good))
    assert getattr(comparison(asked, allowed).paths[0], field) == "org/good"
    assert comparison(request(paths=["rag"]), frozenset()).paths[0].embedder is None


async def test_banks_without_documents_and_unknown_ones_are_refused(server: Served) -> None:
    await server.create_bank("empty")
    for fields in (
        {"bank": "banks/empty"},
        {"settings": _Settings(filter='id = "none"')},
    ):
        refusal = await refused(server.memory.Compare(request(**fields)))
        assert refusal.code == grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.reason == "BANK_EMPTY"
    refusal = await refused(server.memory.Compare(request(bank="banks/none")))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BANK_NOT_FOUND")


async def test_cancelling_stops_within_one_question(tmp_path: Path) -> None:
    switches = Switches()
    async with serving(tmp_path, BagModel(switches)) as server:
        await server.create_bank()
        await server.add(*TEXTS)
        switches.answering.clear()
        many = [_Question(text=f"Where lives the whale? {place}") for place in range(500)]
        comparison = server.memory.Compare(request(questions=many))
        assert (await comparison.read()).WhichOneof("event") == "progress"
        comparison.cancel()
        async with asyncio.timeout(10):
            while server.metrics.calls_in_flight():
                await asyncio.sleep(0.01)
        switches.answering.set()
        before = switches.events
        await asyncio.sleep(0.2)
        assert switches.events <= before + 4  # no more than the question under way


async def test_a_deleted_banks_indexes_are_deleted_with_it(server: Served, tmp_path: Path) -> None:
    del tmp_path
    await events(server, paths=["bm25"], questions=QUESTIONS[:1])
    await server.banks.DeleteBank(bank_pb2.DeleteBankRequest(name=BANK))
    await server.create_bank()
    document = document_pb2.NewDocument(document_id="new", text="A whale of a time.")
    added = await server.documents.AddDocuments(
        document_pb2.AddDocumentsRequest(parent=BANK, documents=[document])
    )
    await server.done(added.operation)
    told = await events(server, paths=["bm25"], questions=QUESTIONS[:1])
    assert {hit for one in of_kind(told, "result") for hit in one.hits} == {"new"}
