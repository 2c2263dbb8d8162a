"""Listing documents over a real connection: filters, pages, texts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest_asyncio
from memsvc_proto.v1 import document_pb2

from tests.server_support import BANK, Served, refused, serving, struct

NEW = document_pb2.NewDocument


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        await served.create_bank()
        yield served


def _add(*documents: document_pb2.NewDocument) -> document_pb2.AddDocumentsRequest:
    return document_pb2.AddDocumentsRequest(parent=BANK, documents=documents)


async def _listed(server: Served, **fields: Any) -> list[list[str]]:
    """The ids on each page of a listing."""
    pages, token = [], ""
    while True:
        request = document_pb2.ListDocumentsRequest(parent=BANK, page_token=token, **fields)
        page = await server.documents.ListDocuments(request)
        pages.append([document.name.rpartition("/")[2] for document in page.documents])
        token = page.next_page_token
        if not token:
            return pages


async def test_lists_are_filtered_and_cut_into_pages(server: Served) -> None:
    news = [
        NEW(document_id=f"d{index}", text="x", metadata=struct(number=index)) for index in range(7)
    ]
    await server.documents.AddDocuments(_add(*news))
    assert await _listed(server) == [[f"d{index}" for index in range(7)]]
    pages = await _listed(server, page_size=2, filter="metadata.number > 1")
    assert [name for page in pages for name in page] == ["d2", "d3", "d4", "d5", "d6"]
    assert all(len(page) <= 2 for page in pages)


async def test_a_page_token_holds_for_its_own_filter_only(server: Served) -> None:
    await server.documents.AddDocuments(_add(NEW(text="x"), NEW(text="y")))
    first = document_pb2.ListDocumentsRequest(parent=BANK, page_size=1)
    page = await server.documents.ListDocuments(first)
    other = document_pb2.ListDocumentsRequest(
        parent=BANK, page_token=page.next_page_token, filter="state = READY"
    )
    refusal = await refused(server.documents.ListDocuments(other))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"])


async def test_texts_are_listed_only_when_asked_for(server: Served) -> None:
    await server.add("the text")
    basic = document_pb2.ListDocumentsRequest(parent=BANK)
    assert (await server.documents.ListDocuments(basic)).documents[0].text == ""
    full = document_pb2.ListDocumentsRequest(parent=BANK, view="DOCUMENT_VIEW_FULL")
    assert (await server.documents.ListDocuments(full)).documents[0].text == "the text"


async def test_pages_with_large_texts_fit_into_a_message(server: Served) -> None:
    news = [NEW(document_id=f"d{index:02}", text="x" * (1 << 20)) for index in range(20)]
    await server.documents.AddDocuments(_add(*news))
    options = [("grpc.max_receive_message_length", 32 << 20)]
    async with grpc.aio.insecure_channel(server.address, options) as channel:
        large = Served(channel, server.address, server.engine, server.application, server.metrics)
        pages = await _listed(large, view="DOCUMENT_VIEW_FULL")
    assert [name for page in pages for name in page] == [f"d{index:02}" for index in range(20)]
    assert len(pages) > 1


async def test_filter_faults_say_where(server: Served) -> None:
    for text, complaint in (
        ("team = 1", "unknown field 'team'"),
        ("metadata.a = 1 AND", "(at character 19)"),
    ):
        request = document_pb2.ListDocumentsRequest(parent=BANK, filter=text)
        refusal = await refused(server.documents.ListDocuments(request))
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
        assert (refusal.fields, refusal.reason) == (["filter"], "INVALID_FILTER")
        assert complaint in refusal.message
