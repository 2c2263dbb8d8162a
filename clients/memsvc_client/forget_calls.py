"""The verbs of DocumentService that forget, and those that tell what was, as calls."""

from __future__ import annotations

from collections.abc import Iterable

from memsvc_proto.v1 import document_pb2

from memsvc_client import wire
from memsvc_client.call import Call, Page, make_call, new_uuid
from memsvc_client.errors import InvalidArgument
from memsvc_client.names import bank_name, document_name, document_names, session_name
from memsvc_client.session_resources import DocumentVersion, ForgetReceipt


def forget_documents(
    bank: str,
    documents: Iterable[str] | None,
    filter: str | None,
    session: str | None,
    agent: str | None,
    compact: bool,
    validate_only: bool,
    request_id: str | None,
) -> Call[ForgetReceipt]:
    """Raises InvalidArgument unless exactly one of the four says which."""
    ways = (documents, filter, session, agent)
    if sum(one is not None for one in ways) != 1:
        needed = "exactly one of documents, filter, session and agent says what to forget"
        raise InvalidArgument.of_field("which", needed)
    request = document_pb2.ForgetDocumentsRequest(
        parent=bank_name(bank),
        compact=compact,
        validate_only=validate_only,
        request_id=request_id or new_uuid(),
    )
    if documents is not None:
        names = document_names(bank, documents, "documents")
        request.documents.CopyFrom(document_pb2.DocumentNames(names=names))
    elif filter is not None:
        request.filter = wire.unicode_only(filter, "filter")
    elif session is not None:
        request.session = session_name(bank, session)
    elif agent is not None:
        request.agent = wire.unicode_only(agent, "agent")
    response = document_pb2.ForgetDocumentsResponse
    return make_call("DocumentService/ForgetDocuments", request, response, _receipt)


def _receipt(message: document_pb2.ForgetDocumentsResponse) -> ForgetReceipt:
    stamped = message.HasField("forget_time")
    return ForgetReceipt(
        document_count=message.document_count,
        version_count=message.version_count,
        session_count=message.session_count,
        text_bytes=message.text_bytes,
        documents=tuple(message.documents),
        forget_time=wire.to_datetime(message.forget_time) if stamped else None,
        compacted=message.compacted,
    )


def list_document_versions(
    bank: str, document: str, page_size: int, page_token: str
) -> Call[Page[DocumentVersion]]:
    def convert(message: document_pb2.ListDocumentVersionsResponse) -> Page[DocumentVersion]:
        return Page(tuple(_version(one) for one in message.versions), message.next_page_token)

    request = document_pb2.ListDocumentVersionsRequest(
        name=document_name(bank, document), page_size=page_size, page_token=page_token
    )
    response = document_pb2.ListDocumentVersionsResponse
    return make_call("DocumentService/ListDocumentVersions", request, response, convert)


def _version(message: document_pb2.DocumentVersion) -> DocumentVersion:
    replaced = message.HasField("replace_time")
    return DocumentVersion(
        revision=message.revision,
        title=message.title,
        text=message.text,
        event_time=(
            wire.to_datetime(message.event_time) if message.HasField("event_time") else None
        ),
        replace_time=wire.to_datetime(message.replace_time) if replaced else None,
    )
