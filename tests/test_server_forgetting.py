"""Former versions of documents, and forgetting: what is meant is gone, and only that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio
from memsvc_proto.v1 import (
    document_pb2,
    feedback_pb2,
    feedback_pb2_grpc,
    memory_pb2,
    session_pb2,
)

from tests.server_support import BANK, Served, refused, serving, stub

_KEY = "123e4567-e89b-42d3-a456-426614174000"
_Names = document_pb2.DocumentNames


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        await served.create_bank()
        await served.add("Tea is red.", "Tea is green.", "Coffee is black.")
        yield served


async def _forget(server: Served, **fields: Any) -> document_pb2.ForgetDocumentsResponse:
    request = document_pb2.ForgetDocumentsRequest(parent=BANK, **fields)
    receipt: document_pb2.ForgetDocumentsResponse = await server.documents.ForgetDocuments(request)
    return receipt


async def _ids(server: Served) -> list[str]:
    request = document_pb2.ListDocumentsRequest(parent=BANK)
    page = await server.documents.ListDocuments(request)
    return [document.name.rpartition("/")[2] for document in page.documents]


async def _found(server: Served, question: str) -> list[str]:
    request = memory_pb2.RecallRequest(bank=BANK, question=question)
    found = await server.memory.Recall(request)
    return sorted(hit.document.rpartition("/")[2] for hit in found.hits)


async def _update(server: Served, name: str, text: str, **fields: Any) -> None:
    document = document_pb2.Document(name=f"{BANK}/documents/{name}", text=text)
    request = document_pb2.UpdateDocumentRequest(document=document, **fields)
    changed = await server.documents.UpdateDocument(request)
    await server.done(changed.operation)


async def _versions(server: Served, name: str) -> list[document_pb2.DocumentVersion]:
    found: list[document_pb2.DocumentVersion] = []
    token = ""
    while True:
        request = document_pb2.ListDocumentVersionsRequest(
            name=f"{BANK}/documents/{name}", page_size=1, page_token=token
        )
        page = await server.documents.ListDocumentVersions(request)
        found += page.versions
        token = page.next_page_token
        if not token:
            return found


async def _talk(server: Served, session: str, agent: str, *said: str) -> None:
    made = session_pb2.CreateSessionRequest(
        parent=BANK, session_id=session, session=session_pb2.Session(agent=agent)
    )
    await server.sessions.CreateSession(made)
    turns = [
        session_pb2.NewTurn(turn_id=f"t{number}", role="user", content=text)
        for number, text in enumerate(said)
    ]
    request = session_pb2.AppendTurnsRequest(name=f"{BANK}/sessions/{session}", turns=turns)
    await server.done((await server.sessions.AppendTurns(request)).operation)


async def test_former_versions_are_history_that_no_question_finds(server: Served) -> None:
    await _update(server, "d0", "Tea is blue.", keep_version=True)
    await _update(server, "d0", "Tea is yellow.")
    await _update(server, "d0", "Tea is white.", keep_version=True)
    kept = await _versions(server, "d0")
    assert [(one.revision, one.text) for one in kept] == [(3, "Tea is yellow."), (1, "Tea is red.")]
    assert kept[0].replace_time.ToDatetime() > kept[1].replace_time.ToDatetime()
    assert await _found(server, "red") == []
    assert await _found(server, "white") == ["d0"]
    assert await _versions(server, "d1") == []
    unknown = document_pb2.ListDocumentVersionsRequest(name=f"{BANK}/documents/none")
    refusal = await refused(server.documents.ListDocumentVersions(unknown))
    assert refusal.reason == "DOCUMENT_NOT_FOUND"


async def test_named_documents_are_forgotten_with_a_receipt(server: Served) -> None:
    await _update(server, "d0", "Tea is blue.", keep_version=True)
    names = [f"{BANK}/documents/d0", f"{BANK}/documents/none"]
    told = await _forget(server, documents=_Names(names=names), validate_only=True)
    assert await _ids(server) == ["d0", "d1", "d2"]
    receipt = await _forget(server, documents=_Names(names=names))
    assert receipt.HasField("forget_time")
    assert not told.HasField("forget_time")
    for one in (told, receipt):
        assert (one.document_count, one.version_count, one.session_count) == (1, 1, 0)
        assert one.text_bytes == len("Tea is blue.") + len("Tea is red.")
        assert (list(one.documents), one.compacted) == ([f"{BANK}/documents/d0"], False)
    assert await _ids(server) == ["d1", "d2"]
    assert await _found(server, "tea") == ["d1"]
    again = await _forget(server, documents=_Names(names=names))
    assert (again.document_count, list(again.documents)) == (0, [])


async def test_a_filter_forgets_all_that_it_lets_through(server: Served) -> None:
    receipt = await _forget(server, filter='id IN ("d0", "d2")')
    assert receipt.document_count == 2
    assert await _ids(server) == ["d1"]


async def test_sessions_are_forgotten_whole(server: Served) -> None:
    await _talk(server, "a1", "ann", "Ann drinks tea.", "Ann eats plums.")
    await _talk(server, "a2", "ann", "Ann drinks milk.")
    await _talk(server, "b1", "bob", "Bob drinks tea.")
    receipt = await _forget(server, session=f"{BANK}/sessions/a1")
    assert (receipt.document_count, receipt.session_count) == (2, 1)
    assert await _found(server, "drinks") == ["a2~t0", "b1~t0"]
    receipt = await _forget(server, agent="ann")
    assert (receipt.document_count, receipt.session_count) == (1, 1)
    assert await _found(server, "drinks") == ["b1~t0"]
    listed = await server.sessions.ListSessions(session_pb2.ListSessionsRequest(parent=BANK))
    assert [one.name for one in listed.sessions] == [f"{BANK}/sessions/b1"]
    refusal = await refused(
        server.documents.ForgetDocuments(
            document_pb2.ForgetDocumentsRequest(parent=BANK, session=f"{BANK}/sessions/a1")
        )
    )
    assert refusal.reason == "SESSION_NOT_FOUND"
    assert (await _forget(server, agent="ann")).document_count == 0


async def test_what_feedback_says_of_it_is_forgotten_too(server: Served) -> None:
    given = stub(feedback_pb2_grpc.FeedbackServiceStub, server.channel)
    said = feedback_pb2.Feedback(question="tea?", relevant_documents=[f"{BANK}/documents/d0"])
    await given.RecordFeedback(feedback_pb2.RecordFeedbackRequest(parent=BANK, feedback=said))
    await _forget(server, documents=_Names(names=[f"{BANK}/documents/d0"]))
    page = await given.ListFeedback(feedback_pb2.ListFeedbackRequest(parent=BANK))
    assert [one for one in page.feedback if one.relevant_documents] == []


async def test_after_compaction_no_file_holds_what_was_forgotten(
    server: Served, tmp_path: Path
) -> None:
    await _talk(server, "s", "ann", "The quokka sleeps.", "Plums are blue.")
    await _update(server, "d0", "A numbat digs.")
    await _update(server, "d0", "Tea is red.", keep_version=True)
    assert _on_disk(tmp_path, b"quokka")
    assert _on_disk(tmp_path, b"numbat")
    which = 'id IN ("d0", "s~t0")'
    receipt = await _forget(server, filter=which, compact=True, request_id=_KEY)
    assert (receipt.compacted, receipt.document_count, receipt.version_count) == (True, 2, 1)
    assert not _on_disk(tmp_path, b"quokka")
    assert not _on_disk(tmp_path, b"numbat")
    assert _on_disk(tmp_path, b"Plums are blue.")
    turns = session_pb2.ListTurnsRequest(name=f"{BANK}/sessions/s")
    left = (await server.sessions.ListTurns(turns)).turns
    assert [(turn.position, turn.content) for turn in left] == [(1, "Plums are blue.")]


def _on_disk(folder: Path, words: bytes) -> bool:
    return any(words in path.read_bytes() for path in folder.rglob("*") if path.is_file())


_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({}, "which"),
    ({"filter": " "}, "filter"),
    ({"filter": "colour = 1"}, "filter"),
    ({"agent": ""}, "agent"),
    ({"session": "s"}, "session"),
    ({"session": "banks/other/sessions/s"}, "session"),
    ({"documents": _Names()}, "documents.names"),
    ({"documents": _Names(names=[f"{BANK}/documents/d0"] * 1001)}, "documents.names"),
    ({"documents": _Names(names=["banks/other/documents/d0"])}, "documents.names[0]"),
    ({"agent": "a", "request_id": "1"}, "request_id"),
]


async def test_what_does_not_say_which_forgets_nothing(server: Served) -> None:
    for fields, field in _FAULTS:
        request = document_pb2.ForgetDocumentsRequest(**{"parent": BANK, **fields})
        refusal = await refused(server.documents.ForgetDocuments(request))
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert await _ids(server) == ["d0", "d1", "d2"]
