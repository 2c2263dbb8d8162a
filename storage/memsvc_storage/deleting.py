"""Deleting documents in bulk, with all that hangs on them, and the books kept straight.

Knows the rows of documents, sessions and blocks; nothing of files (compaction gives their space
back) nor of who may delete what.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from memsvc_storage.core import BATCH
from memsvc_storage.dropping import drop_blocks
from memsvc_storage.feedback import forget_feedback
from memsvc_storage.models import BankRow, DocumentRow
from memsvc_storage.quotes import quote_no_more
from memsvc_storage.rows import chunked
from memsvc_storage.session_models import SessionRow, TurnRow, VersionRow


def text_held(session: Session, row_ids: Sequence[int]) -> tuple[int, int]:
    """Bytes of titles and texts of documents and their versions, and how many versions."""
    size = versions = 0
    for some in chunked(row_ids, BATCH):
        documents = select(func.sum(DocumentRow.text_bytes)).where(DocumentRow.row_id.in_(some))
        former = select(func.count(), func.sum(VersionRow.text_bytes))
        count, held = session.execute(former.where(VersionRow.row_id.in_(some))).one()
        size += int(session.scalar(documents) or 0) + int(held or 0)
        versions += count
    return size, versions


def delete_rows(session: Session, number: int, row_ids: Sequence[int]) -> None:
    """Delete documents of the bank of this number; rows that name them go by themselves, and
    turns that quote them do so no more."""
    size, _ = text_held(session, row_ids)
    drop_blocks(session, number, row_ids)
    forget_feedback(session, row_ids)
    quote_no_more(session, number, row_ids)
    session.flush()
    session.execute(
        update(BankRow)
        .where(BankRow.id == number)
        .values(
            text_bytes=BankRow.text_bytes - size,
            document_count=BankRow.document_count - len(row_ids),
        )
    )
    for some in chunked(row_ids, BATCH):
        session.execute(delete(DocumentRow).where(DocumentRow.row_id.in_(some)))


def turn_rows(session: Session, sessions: Sequence[int]) -> list[int]:
    """Rows of the documents of the turns that were appended to some sessions."""
    return [
        row_id
        for some in chunked(sessions, BATCH)
        for row_id in session.scalars(select(TurnRow.row_id).where(TurnRow.number.in_(some)))
    ]


def drop_sessions(session: Session, sessions: Sequence[int]) -> None:
    """Delete sessions whose turns are deleted already."""
    for some in chunked(sessions, BATCH):
        session.execute(delete(SessionRow).where(SessionRow.id.in_(some)))
