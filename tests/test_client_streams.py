"""Pagers, the stream of events, ingestion and waiting, over a real channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from memsvc_client import (
    AlreadyExists,
    Answer,
    AsyncMemoryClient,
    Citation,
    DeadlineExceeded,
    Done,
    Hop,
    IngestBatch,
    InvalidArgument,
    MemoryClient,
    NewDocument,
    Operation,
    Token,
)
from memsvc_client.transport import STREAM_CHARACTERS, STREAM_DOCUMENTS
from memsvc_proto.v1 import memory_pb2

from tests.client_support import Record, small_server

NAMES = [f"banks/bank-{number}" for number in range(7)]


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    with small_server() as running:
        yield running


def answer_events() -> list[memory_pb2.AskEvent]:
    document = "banks/b/documents/d1"
    hit = memory_pb2.Hit(document=document, score=0.5, start=0, end=4, read=True)
    cited = memory_pb2.Citation(document=document, title="T", quote="blue", start=3, end=7)
    done = memory_pb2.Done(answer="blue pot", found=True, confidence=0.75)
    return [
        memory_pb2.AskEvent(hop=memory_pb2.Hop(routed=[hit], read=[document])),
        memory_pb2.AskEvent(),  # An event of a newer server.
        memory_pb2.AskEvent(citation=cited),
        memory_pb2.AskEvent(token=memory_pb2.Token(text="blue ")),
        memory_pb2.AskEvent(token=memory_pb2.Token(text="pot")),
        memory_pb2.AskEvent(done=done),
    ]


def test_a_pager_reads_all_pages_and_can_go_on_later(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client:
        assert [one.name for one in client.list_banks()] == NAMES
        assert record.calls["ListBanks"] == 3
        first = next(client.list_banks(page_size=2).pages())
        assert [one.name for one in first.items] == NAMES[:2]
        rest = client.list_banks(page_token=first.next_page_token)
        assert [one.name for one in rest] == NAMES[2:]


def test_a_pager_fetches_only_what_is_read(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client:
        assert next(iter(client.list_banks())).id == "bank-0"
    assert record.calls["ListBanks"] == 1


def test_events_come_as_they_happen(server: tuple[str, Record]) -> None:
    target, record = server
    record.events = answer_events()
    with MemoryClient(target) as client:
        events = client.ask("b", "where?")
        hop = next(events)  # The server holds back all others until it may go on.
        assert isinstance(hop, Hop)
        assert hop.routed[0].document_id == "d1"
        record.go_on.set()
        kinds = [type(event) for event in events]
    assert kinds == [Citation, Token, Token, Done]


def test_leaving_a_stream_cancels_it_at_the_server(server: tuple[str, Record]) -> None:
    target, record = server
    record.events = answer_events()
    with MemoryClient(target) as client:
        for _ in client.ask("b", "where?"):
            break
        assert record.cancelled.wait(10)


def test_the_whole_answer(server: tuple[str, Record]) -> None:
    target, record = server
    record.events = answer_events()
    record.go_on.set()
    with MemoryClient(target) as client:
        answer = client.ask_answer("b", "where?")
    assert isinstance(answer, Answer)
    assert (answer.text, answer.found, answer.confidence) == ("blue pot", True, 0.75)
    assert [(one.title, one.quote) for one in answer.citations] == [("T", "blue")]
    assert len(answer.hops) == 1


async def test_async_listings_and_streams(server: tuple[str, Record]) -> None:
    target, record = server
    record.events = answer_events()
    async with AsyncMemoryClient(target) as client:
        assert [one.name async for one in client.list_banks()] == NAMES
        events = client.ask("b", "where?")
        assert isinstance(await anext(events), Hop)
        await events.aclose()
        assert await asyncio.to_thread(record.cancelled.wait, 10)
        record.go_on.set()
        assert (await client.ask_answer("b", "where?")).text == "blue pot"


def test_ingestion_is_cut_into_streams_of_bounded_size(server: tuple[str, Record]) -> None:
    target, record = server
    reported: list[IngestBatch] = []
    count = 2 * STREAM_DOCUMENTS + 7
    with MemoryClient(target) as client:
        documents = (NewDocument(f"text {n}", document_id=f"d{n}") for n in range(count))
        result = client.ingest("b", documents, on_batch=reported.append)
    assert result.stored == count
    assert result.operations == ("operations/1", "operations/2", "operations/3")
    assert [batch.start for batch in reported] == [0, STREAM_DOCUMENTS, 2 * STREAM_DOCUMENTS]
    sent = [one.document.document_id for stream in record.streams for one in stream[1:]]
    assert sent == [f"d{n}" for n in range(count)]
    assert len({stream[0].header.request_id for stream in record.streams}) == 3


def test_large_texts_make_smaller_streams(server: tuple[str, Record]) -> None:
    target, record = server
    text = "x" * (STREAM_CHARACTERS // 3)
    with MemoryClient(target) as client:
        assert client.ingest("b", [text] * 7).stored == 7
    assert [len(stream) - 1 for stream in record.streams] == [3, 3, 1]


def test_a_refused_document_keeps_no_other_out(server: tuple[str, Record]) -> None:
    target, record = server
    documents = [
        NewDocument("a"),
        NewDocument("b", metadata={"x": float("nan")}),
        NewDocument("c", document_id="taken"),
        NewDocument("lone surrogate \ud800"),
        NewDocument("e"),
    ]
    with MemoryClient(target) as client:
        result = client.ingest("b", documents)
    assert result.stored == 2
    assert [(place, type(error)) for place, error in result.errors] == [
        (1, InvalidArgument),
        (2, AlreadyExists),
        (3, InvalidArgument),
    ]
    assert [one.document.text for one in record.streams[0][1:]] == ["a", "c", "e"]


async def test_async_ingestion_of_an_async_source(server: tuple[str, Record]) -> None:
    target, record = server

    async def documents() -> AsyncIterator[str]:
        for number in range(STREAM_DOCUMENTS + 1):
            yield f"text {number}"

    async with AsyncMemoryClient(target) as client:
        assert (await client.ingest("b", documents())).stored == STREAM_DOCUMENTS + 1
        assert (await client.ingest("b", ["one", "two"])).stored == 2
    assert [len(stream) - 1 for stream in record.streams] == [STREAM_DOCUMENTS, 1, 2]


def test_a_single_refused_document_raises_and_one_of_many_does_not(
    server: tuple[str, Record],
) -> None:
    target, _ = server
    taken = NewDocument("text", document_id="taken")
    with MemoryClient(target) as client:
        with pytest.raises(AlreadyExists) as caught:
            client.add("b", taken)
        assert caught.value.reason == "DOCUMENT_EXISTS"
        result = client.add("b", [taken, "other"])
    assert [place for place, _ in result.errors] == [0]
    assert [one.id for one in result.documents] == ["made"]


def test_waiting_reports_progress_until_the_end(server: tuple[str, Record]) -> None:
    target, _ = server
    seen: list[int] = []

    def watch(operation: Operation) -> None:
        seen.append(operation.done)

    with MemoryClient(target) as client:
        ended = client.wait_operation("1", on_progress=watch)
    assert (ended.name, ended.state, seen) == ("operations/1", "DONE", [1, 2, 3])


def test_waiting_ends_with_the_timeout(server: tuple[str, Record]) -> None:
    target, _ = server
    with MemoryClient(target) as client, pytest.raises(DeadlineExceeded, match="RUNNING"):
        client.wait_operation("endless", timeout=0.1)
