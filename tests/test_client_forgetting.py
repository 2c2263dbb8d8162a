"""Forgetting, former versions and feedback by the SDK: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from memsvc_client import (
    Answer,
    AsyncMemoryClient,
    Citation,
    Feedback,
    Hit,
    InvalidArgument,
    MemoryClient,
    Recall,
    Usage,
)
from memsvc_proto.v1 import feedback_pb2, feedback_pb2_grpc

from tests.client_support import Record, small_server

READ = Hit("banks/b/documents/read", 0.5, 0, 0, 4, 0, True)
SEEN = Hit("banks/b/documents/seen", 0.4, 0, 0, 4, 0, False)
CITED = Citation("banks/b/documents/cited", "", "pot", 0, 3, 0, 0.5, 0, -1)
RECALL = Recall((READ, SEEN, READ), (), Usage(), "banks/b", "where?")
ANSWER = Answer("pot", True, 0.9, (CITED, CITED), (), Usage(), "banks/b", "where?")


class Feedbacks(feedback_pb2_grpc.FeedbackServiceServicer):
    def __init__(self, record: Record) -> None:
        self.record = record

    def RecordFeedback(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("RecordFeedback", request, context)
        kept = feedback_pb2.Feedback(name=f"{request.parent}/feedback/f")
        kept.MergeFrom(request.feedback)
        return kept


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    more = (feedback_pb2_grpc.add_FeedbackServiceServicer_to_server, Feedbacks)
    with small_server(more) as running:
        yield running


@pytest.fixture
def client(server: tuple[str, Record]) -> Iterator[MemoryClient]:
    with MemoryClient(server[0]) as made:
        yield made


def said(kept: Feedback) -> tuple[list[str], list[str], str, str]:
    """Relevant and irrelevant documents by id, the verdict, the answer."""
    relevant = [one.rpartition("/")[2] for one in kept.relevant]
    irrelevant = [one.rpartition("/")[2] for one in kept.irrelevant]
    return relevant, irrelevant, kept.verdict, kept.answer


@pytest.mark.parametrize(
    ("which", "field", "value"),
    [
        ({"filter": "id = 'd'"}, "filter", "id = 'd'"),
        ({"session": "s"}, "session", "banks/b/sessions/s"),
        ({"agent": ""}, "agent", ""),
    ],
)
def test_each_way_to_say_which(
    client: MemoryClient, server: tuple[str, Record], which: Any, field: str, value: str
) -> None:
    client.forget_documents("b", **which)
    (request,) = server[1].requests
    assert request.WhichOneof("which") == field
    assert getattr(request, field) == value
    assert request.request_id
    assert not request.compact


def test_documents_are_named_and_a_receipt_comes(
    client: MemoryClient, server: tuple[str, Record]
) -> None:
    receipt = client.forget_documents("b", documents=["d", "banks/b/documents/e"], compact=True)
    assert (receipt.document_count, receipt.version_count, receipt.session_count) == (3, 2, 1)
    assert (receipt.text_bytes, receipt.compacted) == (2048, True)
    (request,) = server[1].requests
    assert list(request.documents.names) == ["banks/b/documents/d", "banks/b/documents/e"]
    looked = client.forget_documents("b", documents=[], compact=True, validate_only=True)
    assert not looked.compacted
    assert server[1].requests[1].WhichOneof("which") == "documents"


@pytest.mark.parametrize(
    "which",
    [{}, {"filter": "a = 1", "agent": "x"}, {"documents": [], "session": "s"}, {"documents": "d"}],
)
def test_nothing_is_forgotten_by_mistake(
    client: MemoryClient, server: tuple[str, Record], which: Any
) -> None:
    with pytest.raises(InvalidArgument):
        client.forget_documents("b", **which)
    assert not server[1].requests


async def test_versions_come_page_by_page(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client:
        versions = list(client.list_document_versions("b", "d"))
        client.update_document("b", "d", text="new", keep_version=True)
    assert [(one.revision, one.text) for one in versions] == [
        (9, "text 9"),
        (8, "text 8"),
        (7, "text 7"),
    ]
    async with AsyncMemoryClient(target) as aclient:
        assert [one async for one in aclient.list_document_versions("b", "d")] == versions
        assert (await aclient.forget_documents("b", session="s")).document_count == 3
        await aclient.update_document("b", "d", text="new")
    updates = [one for one in record.requests if hasattr(one, "keep_version")]
    assert [one.keep_version for one in updates] == [True, False]


def test_feedback_of_a_recall(client: MemoryClient) -> None:
    assert said(client.feedback(RECALL, True)) == (["read"], [], "", "")
    assert said(client.feedback(RECALL, False)) == ([], ["read"], "", "")
    assert said(client.feedback(RECALL, False, documents=["d"])) == (["d"], ["read"], "", "")
    assert said(client.feedback(RECALL, documents=["d", "d"])) == (["d"], [], "", "")
    assert said(client.feedback(RECALL, False, documents=["read"])) == (["read"], [], "", "")


def test_feedback_of_an_answer(client: MemoryClient) -> None:
    assert said(client.feedback(ANSWER, True)) == (["cited"], [], "RIGHT", "")
    wrong = client.feedback(ANSWER, False, documents=["d"], answer="jug")
    assert said(wrong) == (["d"], [], "WRONG", "jug")
    assert said(client.feedback(ANSWER, answer="jug")) == ([], [], "", "jug")
    assert wrong.question == "where?"


async def test_the_async_client_gives_the_same_feedback(server: tuple[str, Record]) -> None:
    async with AsyncMemoryClient(server[0]) as client:
        assert said(await client.feedback(ANSWER, True)) == (["cited"], [], "RIGHT", "")


def test_feedback_needs_to_know_what_was_asked(
    client: MemoryClient, server: tuple[str, Record]
) -> None:
    with pytest.raises(InvalidArgument):
        client.feedback(Recall((READ,), (), Usage()), True)
    assert not server[1].requests
