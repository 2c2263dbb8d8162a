"""Former versions of documents: titles and texts that were replaced, kept where that was asked.

Knows documents' rows and versions; no question ever sees a version. They go with their document.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from memsvc_storage.core import StoreCore, bank_id, now
from memsvc_storage.errors import DocumentNotFound
from memsvc_storage.models import DocumentRow, TextRow
from memsvc_storage.rows import Page
from memsvc_storage.session_models import VersionRow
from memsvc_storage.session_rows import Version


class VersionVerbs(StoreCore):
    """The verb on former versions."""

    def list_versions(
        self, bank: str, document_id: str, limit: int, after_key: str | None = None
    ) -> Page[Version]:
        """Kept versions of a document, newest first.

        Raises BankNotFound, DocumentNotFound, ValueError on a key that is not ours.
        """
        with self._db.read() as session:
            row_id = session.scalar(
                select(DocumentRow.row_id).where(
                    DocumentRow.bank_id == bank_id(session, bank),
                    DocumentRow.document_id == document_id,
                )
            )
            if row_id is None:
                raise DocumentNotFound(bank, document_id)
            query = select(VersionRow).where(VersionRow.row_id == row_id)
            if after_key is not None:
                query = query.where(VersionRow.revision < int(after_key))
            newest_first = query.order_by(VersionRow.revision.desc()).limit(limit + 1)
            items = [_to_version(row) for row in session.scalars(newest_first)]
        return Page(items[:limit], str(items[limit - 1].revision) if len(items) > limit else None)


def keep(session: Session, row: DocumentRow, body: TextRow) -> int:
    """Keep a document's title and text, which are about to change; the bytes that this takes."""
    session.add(
        VersionRow(
            row_id=row.row_id,
            revision=row.revision,
            title=row.title,
            text=body.text,
            event_time=row.event_time,
            replace_time=now(),
            text_bytes=row.text_bytes,
        )
    )
    return row.text_bytes


def _to_version(row: VersionRow) -> Version:
    return Version(row.revision, row.title, row.text, row.event_time, row.replace_time)
