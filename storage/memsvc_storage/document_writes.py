"""Adding, changing and deleting documents: text is durable when a verb here returns.

Knows document rows, quotas and idempotency; knows nothing of files (a dropped block row is all
that a deletion leaves behind; compaction does the rest).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select, true
from sqlalchemy.orm import Session

from memsvc_storage.adding import accept, insert_documents
from memsvc_storage.checks import check_changes, check_document
from memsvc_storage.core import (
    StoreCore,
    bank_id,
    check_etag,
    find_bank,
    now,
    plain,
    text_size,
    to_document,
    unexpired,
)
from memsvc_storage.deleting import delete_rows
from memsvc_storage.dropping import drop_blocks, revise
from memsvc_storage.errors import DocumentNotFound, QuotaExceeded
from memsvc_storage.ids import new_etag
from memsvc_storage.models import BankRow, DocumentRow, TextRow
from memsvc_storage.operations import begin, to_operation
from memsvc_storage.quotes import quote_no_more
from memsvc_storage.replay import operation_of, pack_document, record, recorded, unpack_documents
from memsvc_storage.rows import (
    UNSET,
    AddResult,
    Document,
    DocumentChanges,
    Idempotency,
    NewDocument,
    Operation,
    Unset,
)
from memsvc_storage.turns import reword_turn
from memsvc_storage.versions import keep


class DocumentWrites(StoreCore):
    """The verbs that write documents."""

    def add_documents(
        self, bank: str, docs: Sequence[NewDocument], idempotency: Idempotency | None = None
    ) -> AddResult:
        """Add documents in one transaction, with one ENCODE operation over those taken.

        An item refused (DocumentExists, QuotaExceeded, InvalidDocument) does not stop the others.
        Raises BankNotFound, RequestConflict.
        """
        problems = [check_document(doc) for doc in docs]
        with self._db.write() as session:
            before = recorded(session, idempotency)
            if before is not None:
                documents = unpack_documents(session, bank, before["documents"])
                return AddResult(documents, operation_of(session, before["operation_id"]))
            row = find_bank(session, bank)
            items = accept(session, row, docs, problems)
            taken = [item for item in items if isinstance(item, Document)]
            operation = begin(session, bank, "ENCODE", len(taken))
            numbers = insert_documents(session, row.id, taken, operation.operation_id)
            results = [
                replace(item, row_id=numbers[item.document_id])
                if isinstance(item, Document)
                else item
                for item in items
            ]
            if idempotency is not None:
                packed = [pack_document(item) for item in results]
                facts = {"documents": packed, "operation_id": operation.operation_id}
                record(session, idempotency, facts)
            return AddResult(results, to_operation(operation))

    def update_document(
        self,
        bank: str,
        document_id: str,
        changes: DocumentChanges,
        etag: str | None = None,
        idempotency: Idempotency | None = None,
        keep_version: bool = False,
    ) -> tuple[Document, Operation | None]:
        """Change a document. Another title or text drops its block, makes it PENDING at the next
        revision and starts an operation, as does the same text given again to a FAILED document;
        all else keeps the block. `keep_version`: the title and text replaced are kept as a version.
        A turn given another text says that from then on, and no more calls tools. The next turn
        quotes it no more, nor one that is given a time to expire.

        Raises BankNotFound, DocumentNotFound, EtagMismatch, QuotaExceeded, InvalidDocument,
        RequestConflict.
        """
        check_changes(changes)
        with self._db.write() as session:
            before = recorded(session, idempotency)
            if before is not None:
                replayed = unpack_documents(session, bank, [before["document"]])[0]
                assert isinstance(replayed, Document)
                operation_id = before["operation_id"]
                operation = operation_of(session, operation_id) if operation_id else None
                return replayed, operation
            row, body = _load(session, bank, document_id, etag)
            operation = _change(session, bank, row, body, changes, keep_version)
            document = to_document(bank, row, body.text)
            facts = {
                "document": pack_document(document),
                "operation_id": operation.operation_id if operation else None,
            }
            record(session, idempotency, facts)
        return document, operation

    def delete_document(
        self,
        bank: str,
        document_id: str,
        etag: str | None = None,
        idempotency: Idempotency | None = None,
    ) -> Document:
        """Delete a document. What is returned carries no title, text, metadata or times of its
        own: they are gone, here as in a replay.

        Raises BankNotFound, DocumentNotFound, EtagMismatch, RequestConflict.
        """
        with self._db.write() as session:
            before = recorded(session, idempotency)
            if before is not None:
                packed = before["document"]
            else:
                row, _ = _load(session, bank, document_id, etag, even_expired=True)
                packed = pack_document(to_document(bank, row))
                delete_rows(session, row.bank_id, [row.row_id])
                record(session, idempotency, {"document": packed})
            document = unpack_documents(session, bank, [packed])[0]
            assert isinstance(document, Document)
        return document


def _load(
    session: Session, bank: str, document_id: str, etag: str | None, even_expired: bool = False
) -> tuple[DocumentRow, TextRow]:
    found = session.execute(
        select(DocumentRow, TextRow)
        .join(TextRow, TextRow.row_id == DocumentRow.row_id)
        .where(
            DocumentRow.bank_id == bank_id(session, bank),
            DocumentRow.document_id == document_id,
            true() if even_expired else unexpired(DocumentRow.expire_time),
        )
    ).one_or_none()
    if found is None:
        raise DocumentNotFound(bank, document_id)
    check_etag(f"document {document_id!r}", etag, found[0].etag)
    return found[0], found[1]


def _change(
    session: Session,
    bank: str,
    row: DocumentRow,
    body: TextRow,
    changes: DocumentChanges,
    keep_version: bool,
) -> Operation | None:
    """Apply changes; the new operation if the document must be encoded anew."""
    title = row.title if isinstance(changes.title, Unset) else changes.title
    content = body.text if isinstance(changes.text, Unset) else changes.text
    changed = (title, content) != (row.title, body.text)
    kept = keep(session, row, body) if keep_version and changed else 0
    if not isinstance(changes.metadata, Unset):
        row.meta = plain(changes.metadata)
    if not isinstance(changes.event_time, Unset):
        row.event_time = changes.event_time
    if not isinstance(changes.expire_time, Unset):
        row.expire_time = changes.expire_time
        quote_no_more(session, row.bank_id, [row.row_id])
    row.etag, row.update_time = new_etag(), now()
    again = row.state == "FAILED" and changes.text is not UNSET
    if not changed and not again:
        return None
    _weigh(find_bank(session, bank), row, text_size(title, content), kept)
    drop_blocks(session, row.bank_id, [row.row_id])
    if content != body.text:
        reword_turn(session, row.row_id, content)
        quote_no_more(session, row.bank_id, [row.row_id])
    operation = begin(session, bank, "ENCODE", 1)
    row.title, body.text = title, content
    revise(row, operation.operation_id)
    session.flush()
    return to_operation(operation)


def _weigh(bank: BankRow, row: DocumentRow, size: int, kept: int) -> None:
    more = size + kept - row.text_bytes
    would_be = bank.text_bytes + more
    if bank.quota_bytes is not None and would_be > bank.quota_bytes and more > 0:
        raise QuotaExceeded(bank.name, bank.quota_bytes, would_be)
    bank.text_bytes, row.text_bytes = would_be, size
