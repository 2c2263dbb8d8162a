"""The verbs of DocumentService as calls. Defaults are the clients' business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from memsvc_proto.v1 import document_pb2

from memsvc_client import wire
from memsvc_client.call import Call, Page, make_call, new_uuid
from memsvc_client.errors import InvalidArgument, MemsvcError
from memsvc_client.names import bank_name, document_name
from memsvc_client.resources import (
    UNSET,
    AddResult,
    Document,
    IngestBatch,
    NewDocument,
    Scalar,
    Unset,
    UpdateResult,
)


def add(
    bank: str, documents: Iterable[NewDocument], request_id: str | None, validate_only: bool
) -> Call[AddResult]:
    call_id = new_uuid()

    def convert(message: document_pb2.AddDocumentsResponse) -> AddResult:
        has_operation = message.HasField("operation")
        return AddResult(
            tuple(wire.result(one, call_id) for one in message.results),
            wire.operation(message.operation) if has_operation else None,
        )

    request = document_pb2.AddDocumentsRequest(
        parent=bank_name(bank),
        documents=[wire.new_document(one) for one in documents],
        request_id=request_id or new_uuid(),
        validate_only=validate_only,
    )
    response = document_pb2.AddDocumentsResponse
    return make_call("DocumentService/AddDocuments", request, response, convert, call_id)


def get_document(bank: str, document: str) -> Call[Document]:
    request = document_pb2.GetDocumentRequest(name=document_name(bank, document))
    return make_call("DocumentService/GetDocument", request, document_pb2.Document, wire.document)


def list_documents(
    bank: str, filter: str, with_text: bool, page_size: int, page_token: str
) -> Call[Page[Document]]:
    def convert(message: document_pb2.ListDocumentsResponse) -> Page[Document]:
        documents = tuple(wire.document(one) for one in message.documents)
        return Page(documents, message.next_page_token)

    view = document_pb2.DOCUMENT_VIEW_FULL if with_text else document_pb2.DOCUMENT_VIEW_BASIC
    request = document_pb2.ListDocumentsRequest(
        parent=bank_name(bank),
        page_size=page_size,
        page_token=page_token,
        filter=filter,
        view=view,
    )
    response = document_pb2.ListDocumentsResponse
    return make_call("DocumentService/ListDocuments", request, response, convert)


def update_document(
    bank: str,
    document: str,
    changes: Mapping[str, str | Mapping[str, Scalar] | datetime | Unset | None],
    etag: str,
    request_id: str | None,
    validate_only: bool,
    keep_version: bool,
) -> Call[UpdateResult]:
    """`changes`: title, text, metadata, event_time, expire_time; None clears."""

    def convert(message: document_pb2.UpdateDocumentResponse) -> UpdateResult:
        has_operation = message.HasField("operation")
        return UpdateResult(
            wire.document(message.document),
            wire.operation(message.operation) if has_operation else None,
        )

    changed = document_pb2.Document(name=document_name(bank, document), etag=etag)
    mask = FieldMask()
    for field, value in changes.items():
        if value is UNSET:
            continue
        mask.paths.append(field)
        _set_field(changed, field, value)
    request = document_pb2.UpdateDocumentRequest(
        document=changed,
        update_mask=mask,
        request_id=request_id or new_uuid(),
        validate_only=validate_only,
        keep_version=keep_version,
    )
    response = document_pb2.UpdateDocumentResponse
    return make_call("DocumentService/UpdateDocument", request, response, convert)


def _set_field(document: document_pb2.Document, field: str, value: object) -> None:
    match value:
        case str():
            setattr(document, field, wire.unicode_only(value, field))
        case datetime():
            getattr(document, field).CopyFrom(wire.to_timestamp(value, field))
        case Mapping():
            document.metadata.CopyFrom(wire.to_struct(value))


def delete_document(
    bank: str, document: str, etag: str, request_id: str | None, validate_only: bool
) -> Call[None]:
    request = document_pb2.DeleteDocumentRequest(
        name=document_name(bank, document),
        etag=etag,
        request_id=request_id or new_uuid(),
        validate_only=validate_only,
    )
    return make_call("DocumentService/DeleteDocument", request, Empty, lambda _: None)


@dataclass(frozen=True)
class IngestStream:
    """One stream of documents: its messages (the header first) and its call."""

    messages: tuple[document_pb2.IngestDocumentsRequest, ...]
    call: Call[IngestBatch]


def ingest(bank: str, documents: Sequence[NewDocument], start: int) -> IngestStream:
    """`start`: the place of the first document in the whole ingestion. A document that cannot be
    sent gets its error as its result and keeps no other out."""
    opening = document_pb2.IngestHeader(parent=bank_name(bank), request_id=new_uuid())
    header = document_pb2.IngestDocumentsRequest(header=opening)
    messages, unsent = [header], dict[int, MemsvcError]()
    for place, one in enumerate(documents):
        try:
            message = wire.new_document(one)
        except InvalidArgument as error:
            unsent[place] = error
        else:
            messages.append(document_pb2.IngestDocumentsRequest(document=message))
    call_id = new_uuid()

    def convert(message: document_pb2.IngestDocumentsResponse) -> IngestBatch:
        answered = (wire.result(one, call_id) for one in message.results)
        places = range(len(documents))
        results = tuple(unsent[place] if place in unsent else next(answered) for place in places)
        operations = tuple(wire.operation(one) for one in message.operations)
        return IngestBatch(start, results, operations)

    response = document_pb2.IngestDocumentsResponse
    call = make_call("DocumentService/IngestDocuments", header, response, convert, call_id)
    return IngestStream(tuple(messages), call)
