"""Many documents at once, each with a result of its own.

An item is a document that passed its checks, or the error that it did not; what is refused here
or by the store keeps its place and does not keep the others out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memsvc_proto.v1 import document_pb2
from memsvc_storage import (
    AddResult,
    Bank,
    Document,
    DocumentExists,
    DocumentNotFound,
    Idempotency,
    NewDocument,
    Operation,
    QuotaExceeded,
)

from memsvc.engine import Engine
from memsvc.errors import ApiError, to_status, translate
from memsvc.server import checks, convert, names

Item = NewDocument | ApiError
Outcome = Document | ApiError


@dataclass(frozen=True)
class Added:
    """What became of a batch; `outcomes` in the order of its items."""

    outcomes: list[Outcome]
    operation: Operation


def checked(field: str, message: document_pb2.NewDocument) -> Item:
    """Check a document that was handed in as `field`, for example `documents[3]`."""
    try:
        identifier = message.document_id
        return NewDocument(
            text=checks.document_text(f"{field}.text", message.text),
            title=checks.text_field(f"{field}.title", message.title, checks.MAX_TITLE_CHARACTERS),
            document_id=names.document_id(f"{field}.document_id", identifier)
            if identifier
            else None,
            metadata=checks.metadata(f"{field}.metadata", message.metadata),
            event_time=checks.time(f"{field}.event_time", message),
            expire_time=checks.time(f"{field}.expire_time", message),
        )
    except ApiError as error:
        return error


async def add(
    engine: Engine, bank: str, items: Sequence[Item], idempotency: Idempotency | None
) -> Added:
    """Store the good items in one transaction. Raises what `Engine.add_documents` raises."""
    good = [item for item in items if isinstance(item, NewDocument)]
    stored: AddResult = await engine.add_documents(bank, good, idempotency)
    answers = iter(stored.documents)
    outcomes: list[Outcome] = []
    for item in items:
        answer = item if isinstance(item, ApiError) else next(answers)
        outcomes.append(translate(answer) if isinstance(answer, Exception) else answer)
    return Added(outcomes, stored.operation)


async def would_add(
    engine: Engine, bank: str, items: Sequence[Item]
) -> list[document_pb2.DocumentResult]:
    """What `add` would answer as things stand, without adding anything."""
    row = await engine.get_bank(bank)
    size = row.text_bytes
    seen: set[str] = set()
    results = []
    for item in items:
        if isinstance(item, ApiError):
            results.append(result(item))
        elif refusal := await _refusal(engine, row, item, size, seen):
            results.append(result(refusal))
        else:
            size += _size(item)
            seen.add(item.document_id or "")
            results.append(document_pb2.DocumentResult(document=_preview(bank, item)))
    return results


def result(outcome: Outcome) -> document_pb2.DocumentResult:
    """One document's result as a message, without its text."""
    if isinstance(outcome, ApiError):
        return document_pb2.DocumentResult(error=to_status(outcome))
    return document_pb2.DocumentResult(document=convert.document(outcome, False))


async def _refusal(
    engine: Engine, bank: Bank, item: NewDocument, size: int, seen: set[str]
) -> ApiError | None:
    if bank.quota_bytes is not None and size + _size(item) > bank.quota_bytes:
        return translate(QuotaExceeded(bank.name, bank.quota_bytes, size + _size(item)))
    if item.document_id is None:
        return None
    if item.document_id not in seen:
        try:
            await engine.get_document(bank.name, item.document_id)
        except DocumentNotFound:
            return None
    return translate(DocumentExists(bank.name, item.document_id))


def _size(item: NewDocument) -> int:
    return len(item.title.encode()) + len(item.text.encode())


def _preview(bank: str, item: NewDocument) -> document_pb2.Document:
    return document_pb2.Document(
        name=names.document_name(bank, item.document_id) if item.document_id else "",
        title=item.title,
        metadata=convert.struct(dict(item.metadata)),
        event_time=convert.timestamp(item.event_time),
        expire_time=convert.timestamp(item.expire_time),
        state=document_pb2.Document.PENDING,
    )
