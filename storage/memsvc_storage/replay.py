"""Idempotent writes: what a request led to, so that repeating it changes nothing.

Knows ids and etags; a record never holds titles, texts or metadata, which must be gone once their
document is deleted. A replay therefore reads the content from the document as long as it is at the
version of then, and hands it out empty after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from memsvc_storage.core import BATCH, FACTS, now, to_document
from memsvc_storage.errors import (
    DocumentExists,
    InvalidDocument,
    QuotaExceeded,
    RequestConflict,
    StorageError,
)
from memsvc_storage.models import DocumentRow, OperationRow, ReplayRow, TextRow
from memsvc_storage.operations import to_operation
from memsvc_storage.rows import (
    Document,
    DocumentState,
    Idempotency,
    Operation,
    chunked,
)


class _Status(TypedDict):
    state: DocumentState
    error: str
    tokens: int | None
    chunks: int | None


def recorded(session: Session, request: Idempotency | None) -> dict[str, Any] | None:
    """What this very request led to before, if it was seen. Raises RequestConflict."""
    row = None if request is None else session.get(ReplayRow, request.request_id)
    if row is None or request is None:
        return None
    if (row.method, row.body_digest) != (request.method, request.body_digest):
        raise RequestConflict(request.request_id)
    return row.result


def record(session: Session, request: Idempotency | None, result: dict[str, Any]) -> None:
    """Remember what a request led to, in the transaction that does it."""
    if request is not None:
        session.add(
            ReplayRow(
                request_id=request.request_id,
                method=request.method,
                body_digest=request.body_digest,
                result=result,
                create_time=now(),
            )
        )


def pack_document(item: Document | StorageError) -> dict[str, Any]:
    """A document without its content, or a per-item refusal."""
    match item:
        case Document():
            return {
                "row_id": item.row_id,
                "document_id": item.document_id,
                "revision": item.revision,
                "etag": item.etag,
                "state": item.state,
                "error": item.error,
                "tokens": item.tokens,
                "chunks": item.chunks,
                "create_time": item.create_time.isoformat(),
                "update_time": item.update_time.isoformat(),
            }
        case DocumentExists():
            return {"refused": "exists", "document_id": item.document_id}
        case QuotaExceeded():
            return {"refused": "quota", "quota": item.quota, "would_be": item.would_be}
        case InvalidDocument():
            return {"refused": "invalid", "field": item.field, "reason": item.reason}
    raise AssertionError(f"{type(item).__name__} is not a per-item refusal")


def unpack_documents(
    session: Session, bank: str, packed: Sequence[dict[str, Any]]
) -> list[Document | StorageError]:
    """The items of then; content only where the document is still at its version of then."""
    present = _present(session, bank, [item["row_id"] for item in packed if "row_id" in item])
    return [_unpack(bank, item, present) for item in packed]


def operation_of(session: Session, operation_id: str) -> Operation:
    """The operation as it is now; no record outlives its operation."""
    row = session.get(OperationRow, operation_id)
    assert row is not None, "an operation was pruned before its record"
    return to_operation(row)


def _present(session: Session, bank: str, row_ids: Sequence[int]) -> dict[int, Document]:
    found = {}
    for some in chunked(row_ids, BATCH):
        query = select(*FACTS, TextRow.text).join(TextRow, TextRow.row_id == DocumentRow.row_id)
        for row in session.execute(query.where(DocumentRow.row_id.in_(some))):
            found[row.row_id] = to_document(bank, row, row.text)
    return found


def _unpack(
    bank: str, packed: dict[str, Any], present: dict[int, Document]
) -> Document | StorageError:
    match packed.get("refused"):
        case "exists":
            return DocumentExists(bank, packed["document_id"])
        case "quota":
            return QuotaExceeded(bank, packed["quota"], packed["would_be"])
        case "invalid":
            return InvalidDocument(packed["field"], packed["reason"])
    status: _Status = {
        "state": cast(DocumentState, packed["state"]),
        "error": packed["error"],
        "tokens": packed["tokens"],
        "chunks": packed["chunks"],
    }
    document = present.get(packed["row_id"])
    if document is not None and document.etag == packed["etag"]:
        return replace(document, **status)
    return Document(
        row_id=packed["row_id"],
        bank=bank,
        document_id=packed["document_id"],
        title="",
        text="",
        metadata={},
        event_time=None,
        expire_time=None,
        create_time=datetime.fromisoformat(packed["create_time"]),
        update_time=datetime.fromisoformat(packed["update_time"]),
        revision=packed["revision"],
        etag=packed["etag"],
        **status,
    )
