"""The stream of documents: results in order, batches that stay, and repeating it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest_asyncio
from memsvc_proto.v1 import bank_pb2, document_pb2

from memsvc.server.ingest import BATCH_DOCUMENTS
from tests.server_support import BANK, Served, item_refused, refused, serving

_Message = document_pb2.IngestDocumentsRequest


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        await served.create_bank()
        yield served


def _header(parent: str = BANK, request_id: str = "") -> document_pb2.IngestDocumentsRequest:
    return _Message(header=document_pb2.IngestHeader(parent=parent, request_id=request_id))


def _documents(count: int, named: bool = True) -> Iterator[document_pb2.IngestDocumentsRequest]:
    for index in range(count):
        new = document_pb2.NewDocument(text=f"Document number {index}.")
        if named:
            new.document_id = f"d{index}"
        yield _Message(document=new)


async def _count(server: Served) -> int:
    bank = await server.banks.GetBank(bank_pb2.GetBankRequest(name=BANK))
    return int(bank.document_count)


async def test_a_stream_is_stored_and_answered_in_order(server: Served) -> None:
    count = BATCH_DOCUMENTS + 3
    messages = [_header(), *_documents(count)]
    messages[2].document.text = ""
    response = await server.documents.IngestDocuments(iter(messages))
    assert len(response.results) == count
    assert response.results[0].document.name == f"{BANK}/documents/d0"
    bad = item_refused(response.results[1].error)
    assert (bad.code, bad.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["documents[1].text"])
    last = response.results[-1].document
    assert last.name == f"{BANK}/documents/d{count - 1}"
    assert len(response.operations) == 2
    for operation in response.operations:
        await server.done(operation)
    assert await _count(server) == count - 1


async def test_a_repeated_stream_stores_nothing_twice(server: Served) -> None:
    messages = [_header(request_id=str(uuid.uuid4())), *_documents(5, named=False)]
    first = await server.documents.IngestDocuments(iter(messages))
    again = await server.documents.IngestDocuments(iter(messages))
    assert [r.document.name for r in again.results] == [r.document.name for r in first.results]
    assert await _count(server) == 5


async def test_a_broken_stream_keeps_its_batches_and_is_resumed(server: Served) -> None:
    messages = [_header(request_id=str(uuid.uuid4())), *_documents(BATCH_DOCUMENTS + 5, False)]
    broken = [*messages[:-3], _header()]  # a fault after the first batch was committed
    refusal = await refused(server.documents.IngestDocuments(iter(broken)))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert await _count(server) == BATCH_DOCUMENTS

    response = await server.documents.IngestDocuments(iter(messages))
    assert all(result.HasField("document") for result in response.results)
    assert await _count(server) == BATCH_DOCUMENTS + 5


async def test_documents_that_are_there_already_count_as_taken(server: Served) -> None:
    await server.documents.IngestDocuments(iter([_header(), *_documents(3)]))
    messages = [_header(), *_documents(5)]
    messages[1].document.text = "Not what is stored as d0."
    response = await server.documents.IngestDocuments(iter(messages))
    kinds = [result.WhichOneof("result") for result in response.results]
    assert kinds == ["error", "document", "document", "document", "document"]
    assert item_refused(response.results[0].error).reason == "DOCUMENT_EXISTS"
    assert await _count(server) == 5


async def test_a_request_id_is_not_used_for_another_stream(server: Served) -> None:
    header = _header(request_id=str(uuid.uuid4()))
    await server.documents.IngestDocuments(iter([header, *_documents(2)]))
    refusal = await refused(server.documents.IngestDocuments(iter([header, *_documents(3)])))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_faults_of_a_stream_are_named(server: Served) -> None:
    document = next(_documents(1))
    for messages, field in (
        ([], "header"),
        ([document], "header"),
        ([_Message()], "header"),
        ([_header("b"), document], "header.parent"),
        ([_header(request_id="7"), document], "header.request_id"),
        ([_header(), document, _header()], "document"),
    ):
        refusal = await refused(server.documents.IngestDocuments(iter(messages)))
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_an_unknown_bank_is_told_at_once(server: Served) -> None:
    messages = [_header("banks/none"), *_documents(1)]
    refusal = await refused(server.documents.IngestDocuments(iter(messages)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BANK_NOT_FOUND")


async def test_an_empty_stream_of_a_known_bank_is_fine(server: Served) -> None:
    response = await server.documents.IngestDocuments(iter([_header()]))
    assert not response.results
    assert not response.operations
