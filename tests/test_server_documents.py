"""DocumentService over a real connection: adding, reading, changing, and what it refuses."""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from memsvc_proto.v1 import document_pb2

from tests.server_support import BANK, Served, item_refused, refused, serving, struct

NEW = document_pb2.NewDocument
_READY = document_pb2.Document.READY


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        await served.create_bank()
        yield served


def _stamp(year: int) -> Timestamp:
    return Timestamp(seconds=int(datetime(year, 5, 1, 12, tzinfo=UTC).timestamp()))


def _add(*documents: document_pb2.NewDocument, **fields: Any) -> document_pb2.AddDocumentsRequest:
    return document_pb2.AddDocumentsRequest(parent=BANK, documents=documents, **fields)


def _name(document: str) -> str:
    return f"{BANK}/documents/{document}"


def _get(document: str) -> document_pb2.GetDocumentRequest:
    return document_pb2.GetDocumentRequest(name=_name(document))


async def test_a_document_is_added_encoded_and_read_back(server: Served) -> None:
    new = NEW(
        document_id="mail-7",
        title="Minutes",
        text="Käthe met Ötzi. 🦊",
        metadata=struct(team="red", size=3, ratio=0.5, done=True),
        event_time=_stamp(2024),
        expire_time=_stamp(2999),
    )
    added = await server.documents.AddDocuments(_add(new))
    assert added.results[0].document.name == _name("mail-7")
    assert added.results[0].document.text == ""
    assert (added.operation.total, added.operation.bank) == (1, BANK)
    await server.done(added.operation)

    read = await server.documents.GetDocument(_get("mail-7"))
    assert (read.title, read.text) == (new.title, new.text)
    assert (read.metadata, read.event_time, read.expire_time) == (
        new.metadata,
        new.event_time,
        new.expire_time,
    )
    assert (read.state, read.revision, read.error) == (_READY, 1, "")
    assert read.tokens > 0
    assert read.chunks == 1


async def test_documents_without_an_id_get_sortable_ones(server: Served) -> None:
    added = await server.documents.AddDocuments(_add(NEW(text="one"), NEW(text="two")))
    names = [result.document.name for result in added.results]
    assert names == sorted(names)
    assert len(set(names)) == 2


async def test_each_document_of_a_batch_has_its_own_result(server: Served) -> None:
    await server.add("The first one.")
    added = await server.documents.AddDocuments(
        _add(
            NEW(document_id="a", text="good"),
            NEW(document_id="bad", text="  \n"),
            NEW(document_id="d0", text="taken"),
            NEW(document_id="a", text="twice in one batch"),
            NEW(document_id="z", text="also good"),
        )
    )
    outcomes = [
        result.document.name if result.HasField("document") else item_refused(result.error)
        for result in added.results
    ]
    assert (outcomes[0], outcomes[4]) == (_name("a"), _name("z"))
    empty, taken, twice = outcomes[1:4]
    assert (empty.code, empty.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["documents[1].text"],
    )
    for refusal in (taken, twice):
        assert refusal.code == grpc.StatusCode.ALREADY_EXISTS
        assert refusal.reason == "DOCUMENT_EXISTS"
    assert added.operation.total == 2
    assert (await server.documents.GetDocument(_get("a"))).text == "good"


_ITEM_FAULTS: list[tuple[document_pb2.NewDocument, str, str]] = [
    (NEW(text=""), "text", "INVALID_FIELD"),
    (NEW(text="x" * ((1 << 20) + 1)), "text", "TEXT_TOO_LARGE"),
    (NEW(text="é" * ((1 << 19) + 1)), "text", "TEXT_TOO_LARGE"),
    (NEW(text="a\0b"), "text", "INVALID_FIELD"),
    (NEW(text="a", title="x" * 1025), "title", "INVALID_FIELD"),
    (NEW(text="a", document_id="a/b"), "document_id", "INVALID_FIELD"),
    (NEW(text="a", document_id="x" * 129), "document_id", "INVALID_FIELD"),
    (NEW(text="a", metadata=struct(x=math.nan)), "metadata.x", "INVALID_FIELD"),
    (NEW(text="a", metadata=struct(x=-math.inf)), "metadata.x", "INVALID_FIELD"),
    (NEW(text="a", metadata=struct(x=None)), "metadata.x", "INVALID_FIELD"),
    (NEW(text="a", metadata=struct(x=[1])), "metadata.x", "INVALID_FIELD"),
    (NEW(text="a", event_time=Timestamp(seconds=1 << 60)), "event_time", "INVALID_FIELD"),
    (NEW(text="a", expire_time=Timestamp(nanos=-1)), "expire_time", "INVALID_FIELD"),
]


async def test_faults_of_a_document_are_named(server: Served) -> None:
    added = await server.documents.AddDocuments(_add(*[new for new, _, _ in _ITEM_FAULTS]))
    assert added.operation.total == 0
    for index, (_, field, reason) in enumerate(_ITEM_FAULTS):
        refusal = item_refused(added.results[index].error)
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
        assert (refusal.fields, refusal.reason) == ([f"documents[{index}].{field}"], reason)
    await server.done(added.operation)


async def test_a_text_of_exactly_one_mebibyte_is_taken(server: Served) -> None:
    added = await server.documents.AddDocuments(_add(NEW(document_id="m", text="x" * (1 << 20))))
    assert added.results[0].document.name == _name("m")


async def test_an_add_is_done_once(server: Served) -> None:
    request = _add(NEW(text="good"), NEW(text=""), request_id=str(uuid.uuid4()))
    first = await server.documents.AddDocuments(request)
    await server.done(first.operation)
    again = await server.documents.AddDocuments(request)
    assert again.results[0].document.name == first.results[0].document.name
    assert again.results[1] == first.results[1]
    assert again.operation.name == first.operation.name
    request.documents[0].text = "another body"
    refusal = await refused(server.documents.AddDocuments(request))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_faults_of_a_whole_add_are_named(server: Served) -> None:
    many = [NEW(text="x")] * 1001
    for request, field in (
        (_add(), "documents"),
        (_add(*many), "documents"),
        (_add(NEW(text="x"), request_id="7"), "request_id"),
        (document_pb2.AddDocumentsRequest(parent="b", documents=[NEW(text="x")]), "parent"),
    ):
        refusal = await refused(server.documents.AddDocuments(request))
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_a_full_bank_refuses_the_documents_beyond_its_quota(server: Served) -> None:
    await server.create_bank("small", quota_bytes=10)
    request = document_pb2.AddDocumentsRequest(
        parent="banks/small",
        documents=[NEW(text="12345678"), NEW(text="123"), NEW(text="12")],
    )
    preview = document_pb2.AddDocumentsRequest(
        parent=request.parent, documents=request.documents, validate_only=True
    )
    for sent in (preview, request):
        added = await server.documents.AddDocuments(sent)
        kinds = [result.WhichOneof("result") for result in added.results]
        assert kinds == ["document", "error", "document"]
        refusal = item_refused(added.results[1].error)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "QUOTA_EXCEEDED",
        )
        (violation,) = refusal.detail(error_details_pb2.QuotaFailure).violations
        assert violation.subject == "banks/small"
        info = refusal.detail(error_details_pb2.ErrorInfo)
        assert (info.metadata["quota_bytes"], info.metadata["needed_bytes"]) == ("10", "11")


async def test_validate_only_adds_nothing(server: Served) -> None:
    await server.add("there")
    request = _add(NEW(document_id="n", text="new"), NEW(document_id="d0", text="x"), NEW(text=""))
    request.validate_only = True
    checked = await server.documents.AddDocuments(request)
    assert checked.results[0].document.name == _name("n")
    assert item_refused(checked.results[1].error).reason == "DOCUMENT_EXISTS"
    assert item_refused(checked.results[2].error).fields == ["documents[2].text"]
    assert not checked.HasField("operation")
    missing = await refused(server.documents.GetDocument(_get("n")))
    assert missing.code == grpc.StatusCode.NOT_FOUND


async def test_an_update_changes_what_its_mask_names(server: Served) -> None:
    await server.add("The old text.", title="Old", metadata=struct(team="red"))
    old = await server.documents.GetDocument(_get("d0"))

    facts = document_pb2.Document(name=_name("d0"), metadata=struct(team="blue"), text="ignored")
    mask = FieldMask(paths=["metadata"])
    request = document_pb2.UpdateDocumentRequest(document=facts, update_mask=mask)
    changed = await server.documents.UpdateDocument(request)
    assert dict(changed.document.metadata) == {"team": "blue"}
    assert (changed.document.revision, changed.HasField("operation")) == (1, False)

    text = document_pb2.Document(name=_name("d0"), text="The new text.", etag=changed.document.etag)
    request = document_pb2.UpdateDocumentRequest(document=text, request_id=str(uuid.uuid4()))
    rewritten = await server.documents.UpdateDocument(request)
    await server.done(rewritten.operation)
    again = await server.documents.UpdateDocument(request)
    assert again.operation.name == rewritten.operation.name
    read = await server.documents.GetDocument(_get("d0"))
    assert (read.text, read.title, read.revision) == ("The new text.", "Old", 2)

    stale = document_pb2.Document(name=_name("d0"), title="mine", etag=old.etag)
    for validate_only in (False, True):
        request = document_pb2.UpdateDocumentRequest(document=stale, validate_only=validate_only)
        refusal = await refused(server.documents.UpdateDocument(request))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


async def test_faults_of_an_update_are_named(server: Served) -> None:
    await server.add("text")
    update = document_pb2.UpdateDocumentRequest
    document = document_pb2.Document
    for request, field in (
        (update(document=document(name="banks/b")), "document.name"),
        (
            update(document=document(name=_name("d0")), update_mask=FieldMask(paths=["text"])),
            "document.text",
        ),
        (
            update(document=document(name=_name("d0")), update_mask=FieldMask(paths=["etag"])),
            "update_mask",
        ),
        (
            update(document=document(name=_name("d0"), metadata=struct(x=math.nan))),
            "document.metadata.x",
        ),
    ):
        refusal = await refused(server.documents.UpdateDocument(request))
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


async def test_a_deleted_document_is_gone(server: Served) -> None:
    await server.add("text")
    delete = document_pb2.DeleteDocumentRequest(name=_name("d0"), request_id=str(uuid.uuid4()))
    preview = document_pb2.DeleteDocumentRequest(name=_name("d0"), validate_only=True)
    await server.documents.DeleteDocument(preview)
    stale = document_pb2.DeleteDocumentRequest(name=_name("d0"), etag="old")
    assert (await refused(server.documents.DeleteDocument(stale))).reason == "ETAG_MISMATCH"
    await server.documents.DeleteDocument(delete)
    await server.documents.DeleteDocument(delete)  # a retry whose first answer was lost
    calls: list[Callable[[], Any]] = [
        lambda: server.documents.GetDocument(_get("d0")),
        lambda: server.documents.DeleteDocument(
            document_pb2.DeleteDocumentRequest(name=_name("d0"))
        ),
        lambda: server.documents.UpdateDocument(
            document_pb2.UpdateDocumentRequest(
                document=document_pb2.Document(name=_name("d0"), title="x")
            )
        ),
    ]
    for call in calls:
        refusal = await refused(call())
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.NOT_FOUND,
            "DOCUMENT_NOT_FOUND",
        )


async def test_unknown_banks_are_not_found(server: Served) -> None:
    unknown = "banks/none"
    for call in (
        server.documents.AddDocuments(
            document_pb2.AddDocumentsRequest(parent=unknown, documents=[NEW(text="x")])
        ),
        server.documents.AddDocuments(
            document_pb2.AddDocumentsRequest(
                parent=unknown, documents=[NEW(text="x")], validate_only=True
            )
        ),
        server.documents.ListDocuments(document_pb2.ListDocumentsRequest(parent=unknown)),
        server.documents.GetDocument(
            document_pb2.GetDocumentRequest(name=f"{unknown}/documents/d")
        ),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "BANK_NOT_FOUND")
