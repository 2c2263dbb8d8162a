"""MemoryService and OperationService over a real connection."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from memsvc_proto.v1 import document_pb2, memory_pb2, operation_pb2

from tests.engine_support import BagModel, Switches
from tests.server_support import BANK, Served, refused, serving

_TEXTS = (
    "The red fox lives in the forest. It hunts mice at night.",
    "The blue whale lives in the ocean. It eats krill.",
    "Paris is the capital of France.",
)
_Options = memory_pb2.AskOptions
_Recency = memory_pb2.Recency
_NO_STATE: Any = 99


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        await served.create_bank()
        await served.add(*_TEXTS, title="A title")
        yield served


def _ask(question: str, **fields: Any) -> memory_pb2.AskRequest:
    return memory_pb2.AskRequest(bank=BANK, question=question, **fields)


def _recall(question: str, **fields: Any) -> memory_pb2.RecallRequest:
    return memory_pb2.RecallRequest(bank=BANK, question=question, **fields)


def _context(query: str, **fields: Any) -> memory_pb2.BuildContextRequest:
    return memory_pb2.BuildContextRequest(
        **{"bank": BANK, "query": query, "max_tokens": 100, **fields}
    )


async def test_an_answer_streams_hops_citations_tokens_and_one_done(server: Served) -> None:
    events = [event async for event in server.memory.Ask(_ask("Where lives the whale?"))]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["hop", "citation", "token", "done"]
    assert events[0].hop.routed[0].document == f"{BANK}/documents/d1"
    citation = events[1].citation
    assert (citation.document, citation.title) == (f"{BANK}/documents/d1", "A title")
    assert _TEXTS[1][citation.start : citation.end] == citation.quote
    done = events[-1].done
    assert (done.found, done.answer) == (True, "The blue whale lives in the ocean.")
    assert done.usage.hops == 1


async def test_what_is_not_in_memory_is_not_found(server: Served) -> None:
    events = [event async for event in server.memory.Ask(_ask("Quantum chromodynamics?"))]
    assert (events[-1].done.found, events[-1].done.answer) == (False, "")


async def test_recall_quotes_the_chunk(server: Served) -> None:
    found = await server.memory.Recall(_recall("capital of France", options=_Options(k=2)))
    best = found.hits[0]
    assert (best.document, best.title) == (f"{BANK}/documents/d2", "A title")
    assert best.quote == _TEXTS[2][best.start : best.end]
    assert len(found.hits) <= 2
    assert found.usage.question_tokens > 0


async def test_filters_decide_what_is_found(server: Served) -> None:
    question = "Where lives the whale?"
    kept_out = await server.memory.Recall(_recall(question, filter='id != "d1"'))
    assert f"{BANK}/documents/d1" not in [hit.document for hit in kept_out.hits]
    only = [e async for e in server.memory.Ask(_ask(question, filter='id IN ("d2")'))]
    assert not only[-1].done.found
    built = await server.memory.BuildContext(_context(question, filter='id = "d1"'))
    assert [citation.document for citation in built.citations] == [f"{BANK}/documents/d1"]


async def test_context_keeps_its_budget(server: Served) -> None:
    built = await server.memory.BuildContext(_context("the red fox", max_tokens=15))
    assert 0 < built.tokens <= 15
    assert "fox" in built.text
    assert built.citations[0].document == f"{BANK}/documents/d0"


async def test_a_deleted_document_is_in_no_answer(server: Served) -> None:
    request = document_pb2.DeleteDocumentRequest(name=f"{BANK}/documents/d1")
    await server.documents.DeleteDocument(request)
    events = [event async for event in server.memory.Ask(_ask("What eats krill?"))]
    assert not events[-1].done.found


_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"options": _Options(k=0)}, "options.k"),
    ({"options": _Options(k=-3)}, "options.k"),
    ({"options": _Options(k=257)}, "options.k"),
    ({"options": _Options(max_hops=0)}, "options.max_hops"),
    ({"options": _Options(max_hops=17)}, "options.max_hops"),
    ({"options": _Options(max_documents=-1)}, "options.max_documents"),
    ({"options": _Options(min_confidence=math.nan)}, "options.min_confidence"),
    ({"options": _Options(min_confidence=1.5)}, "options.min_confidence"),
    ({"filter": "colour = 1"}, "filter"),
    ({"filter": "((id"}, "filter"),
    ({"recency": _Recency()}, "recency.half_life"),
    ({"recency": _Recency(half_life=-1)}, "recency.half_life"),
    ({"recency": _Recency(half_life=1, weight=0)}, "recency.weight"),
    ({"recency": _Recency(half_life=1, weight=10.5)}, "recency.weight"),
    ({"as_of": Timestamp(seconds=-(10**12))}, "as_of"),
    ({"bank": "b"}, "bank"),
]


async def test_faults_of_a_question_are_named(server: Served) -> None:
    for fields, field in _FAULTS:
        asked = {"bank": BANK, "question": "what?", **fields}
        for call in (
            server.memory.Recall(memory_pb2.RecallRequest(**asked)),
            server.memory.Ask(memory_pb2.AskRequest(**asked)),
            server.memory.BuildContext(_context("what?", **fields)),
        ):
            refusal = await refused(call)
            assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
            assert refusal.fields == [field]


async def test_questions_are_not_empty_nor_endless(server: Served) -> None:
    for question in ("", " \n", "x" * 8193, "a\0b"):
        for call, field in (
            (server.memory.Recall(_recall(question)), "question"),
            (server.memory.Ask(_ask(question)), "question"),
            (server.memory.BuildContext(_context(question)), "query"),
        ):
            refusal = await refused(call)
            assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
            assert refusal.fields == [field]


async def test_a_context_needs_a_budget(server: Served) -> None:
    for budget in (0, -1, 131_073):
        refusal = await refused(server.memory.BuildContext(_context("fox", max_tokens=budget)))
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.fields == ["max_tokens"]


async def test_unknown_banks_are_not_found(server: Served) -> None:
    unknown: dict[str, Any] = {"bank": "banks/none", "question": "what?"}
    for call in (
        server.memory.Recall(memory_pb2.RecallRequest(**unknown)),
        server.memory.Ask(memory_pb2.AskRequest(**unknown)),
        server.memory.BuildContext(_context("what?", bank="banks/none")),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BANK_NOT_FOUND")


async def test_too_many_questions_are_turned_away_with_a_pause(tmp_path: Path) -> None:
    switches = Switches()
    async with serving(tmp_path, BagModel(switches), max_questions=1) as server:
        await server.create_bank()
        await server.add(*_TEXTS)
        switches.answering.clear()
        waiting = aiter(server.memory.Ask(_ask("Where lives the whale?")))
        assert (await anext(waiting)).WhichOneof("event") == "hop"
        refusal = await refused(server.memory.Recall(_recall("fox")))
        assert refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refusal.reason == "OVERLOADED"
        assert refusal.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() == 1000
        switches.answering.set()
        rest = [event async for event in waiting]
        assert rest[-1].done.found


async def test_a_caller_who_leaves_ends_the_call_at_once(tmp_path: Path) -> None:
    switches = Switches()
    async with serving(tmp_path, BagModel(switches)) as server:
        await server.create_bank()
        await server.add(*_TEXTS)
        switches.answering.clear()
        answer = server.memory.Ask(_ask("Where lives the whale?"))
        await answer.read()
        answer.cancel()
        async with asyncio.timeout(10):
            while server.metrics.calls_in_flight():
                await asyncio.sleep(0.01)
        switches.answering.set()
        assert (await server.memory.Recall(_recall("fox"))).hits
        metrics = server.metrics.exposition().decode()
        assert 'memsvc_requests_total{code="CANCELLED",method="Ask"} 1.0' in metrics


async def test_operations_are_read_listed_and_waited_for(server: Served) -> None:
    request = document_pb2.AddDocumentsRequest(
        parent=BANK, documents=[document_pb2.NewDocument(text="One more.")]
    )
    operation = (await server.documents.AddDocuments(request)).operation
    ended = await server.done(operation)
    assert (ended.total, ended.done, ended.failed) == (1, 1, 0)
    read = await server.operations.GetOperation(
        operation_pb2.GetOperationRequest(name=operation.name)
    )
    assert read == ended
    names, token = [], ""
    while True:
        page = await server.operations.ListOperations(
            operation_pb2.ListOperationsRequest(
                bank=BANK, state="DONE", page_size=1, page_token=token
            )
        )
        names += [listed.name for listed in page.operations]
        token = page.next_page_token
        if not token:
            break
    assert len(names) == len(set(names)) == 2
    assert operation.name in names


async def test_a_wait_ends_with_its_timeout_and_with_the_deadline(tmp_path: Path) -> None:
    switches = Switches()
    switches.gate.clear()
    async with serving(tmp_path, BagModel(switches)) as server:
        await server.create_bank()
        request = document_pb2.AddDocumentsRequest(
            parent=BANK, documents=[document_pb2.NewDocument(text="It waits.")]
        )
        operation = (await server.documents.AddDocuments(request)).operation
        wait = operation_pb2.WaitOperationRequest(name=operation.name)
        by_deadline = await server.operations.WaitOperation(wait, timeout=1)
        wait.timeout.FromMilliseconds(50)
        by_timeout = await server.operations.WaitOperation(wait)
        for answer in (by_deadline, by_timeout):
            assert answer.state in (
                operation_pb2.Operation.PENDING,
                operation_pb2.Operation.RUNNING,
            )
        cancel = operation_pb2.CancelOperationRequest(name=operation.name)
        refusal = await refused(server.operations.CancelOperation(cancel))
        assert refusal.code == grpc.StatusCode.FAILED_PRECONDITION
        assert refusal.reason == "OPERATION_FINISHED"
        switches.gate.set()
        await server.done(operation)


async def test_faults_of_operation_calls(server: Served) -> None:
    negative = operation_pb2.WaitOperationRequest(name="operations/x")
    negative.timeout.FromSeconds(-1)
    for call, field in (
        (server.operations.GetOperation(operation_pb2.GetOperationRequest(name="x")), "name"),
        (server.operations.WaitOperation(negative), "timeout"),
        (
            server.operations.ListOperations(operation_pb2.ListOperationsRequest(state=_NO_STATE)),
            "state",
        ),
        (
            server.operations.ListOperations(operation_pb2.ListOperationsRequest(bank="b")),
            "bank",
        ),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    for call in (
        server.operations.GetOperation(operation_pb2.GetOperationRequest(name="operations/none")),
        server.operations.WaitOperation(operation_pb2.WaitOperationRequest(name="operations/none")),
        server.operations.CancelOperation(
            operation_pb2.CancelOperationRequest(name="operations/none")
        ),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "OPERATION_NOT_FOUND",
        )
