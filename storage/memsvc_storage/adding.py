"""Taking documents in, item by item, and inserting them in bulk.

Knows document rows and quotas; knows nothing of replays or blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from memsvc_storage.core import BATCH, now, plain, text_size
from memsvc_storage.deleting import delete_rows
from memsvc_storage.errors import DocumentExists, InvalidDocument, QuotaExceeded, StorageError
from memsvc_storage.ids import new_etag, sortable_id
from memsvc_storage.models import BankRow, DocumentRow, TextRow
from memsvc_storage.rows import Document, NewDocument, chunked


def accept(
    session: Session,
    bank: BankRow,
    docs: Sequence[NewDocument],
    problems: Sequence[InvalidDocument | None],
) -> list[Document | StorageError]:
    """Decide item by item; those taken come back as documents without a row id yet."""
    named = [
        doc.document_id
        for doc, problem in zip(docs, problems, strict=True)
        if doc.document_id and problem is None
    ]
    make_way(session, bank, named)
    used = _existing(session, bank.id, named)
    time = now()
    items: list[Document | StorageError] = []
    for doc, problem in zip(docs, problems, strict=True):
        name = doc.document_id or sortable_id()
        if problem is not None:
            items.append(problem)
            continue
        would_be = bank.text_bytes + text_size(doc.title, doc.text)
        if name in used:
            items.append(DocumentExists(bank.name, name))
        elif bank.quota_bytes is not None and would_be > bank.quota_bytes:
            items.append(QuotaExceeded(bank.name, bank.quota_bytes, would_be))
        else:
            used.add(name)
            bank.text_bytes = would_be
            bank.document_count += 1
            items.append(_fresh(bank.name, name, doc, time))
    return items


def make_way(session: Session, bank: BankRow, names: Sequence[str]) -> None:
    """Delete documents of these names that have expired: they are gone, and hold no name."""
    query = select(DocumentRow.row_id).where(
        DocumentRow.bank_id == bank.id, DocumentRow.expire_time <= now()
    )
    gone = [
        row_id
        for some in chunked(names, BATCH)
        for row_id in session.scalars(query.where(DocumentRow.document_id.in_(some)))
    ]
    if gone:
        delete_rows(session, bank.id, gone)
        session.refresh(bank)


def _existing(session: Session, number: int, names: Sequence[str]) -> set[str]:
    query = select(DocumentRow.document_id).where(DocumentRow.bank_id == number)
    return {
        name
        for some in chunked(names, BATCH)
        for name in session.scalars(query.where(DocumentRow.document_id.in_(some)))
    }


def _fresh(bank: str, name: str, doc: NewDocument, time: datetime) -> Document:
    return Document(
        row_id=0,
        bank=bank,
        document_id=name,
        title=doc.title,
        text=doc.text,
        metadata=plain(doc.metadata),
        event_time=doc.event_time,
        expire_time=doc.expire_time,
        create_time=time,
        update_time=time,
        revision=1,
        etag=new_etag(),
        state="PENDING",
    )


def insert_documents(
    session: Session, number: int, documents: Sequence[Document], operation_id: str
) -> dict[str, int]:
    """Row ids by document id, ascending in the order given."""
    numbers: dict[str, int] = {}
    statement = insert(DocumentRow).returning(
        DocumentRow.row_id, DocumentRow.document_id, sort_by_parameter_order=True
    )
    for some in chunked(documents, BATCH):
        values = [
            {
                "bank_id": number,
                "document_id": doc.document_id,
                "title": doc.title,
                "meta": doc.metadata,
                "event_time": doc.event_time,
                "expire_time": doc.expire_time,
                "create_time": doc.create_time,
                "update_time": doc.update_time,
                "revision": doc.revision,
                "etag": doc.etag,
                "state": doc.state,
                "error": doc.error,
                "text_bytes": text_size(doc.title, doc.text),
                "operation_id": operation_id,
            }
            for doc in some
        ]
        numbers.update((row.document_id, row.row_id) for row in session.execute(statement, values))
        texts = [{"row_id": numbers[doc.document_id], "text": doc.text} for doc in some]
        session.execute(insert(TextRow), texts)
    return numbers
