"""Taking documents' blocks away, so that they are encoded anew or not at all.

Knows the rows of documents, blocks and operations; nothing of files nor of what documents say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from memsvc_storage.core import BATCH
from memsvc_storage.models import BankRow, DocumentRow, NextBlock, StoredBlock
from memsvc_storage.operations import settle
from memsvc_storage.rows import chunked


def drop_blocks(session: Session, number: int, row_ids: Sequence[int]) -> None:
    """Take documents' blocks away; whoever waited for their encoding need not any more."""
    for some in chunked(row_ids, BATCH):
        of_these = StoredBlock.row_id.in_(some)
        size = session.scalar(select(func.sum(StoredBlock.bytes)).where(of_these))
        if size is not None:
            session.execute(delete(StoredBlock).where(of_these))
            less = BankRow.kv_bytes - int(size)
            session.execute(update(BankRow).where(BankRow.id == number).values(kv_bytes=less))
        session.execute(delete(NextBlock).where(NextBlock.row_id.in_(some)))
        waiting = DocumentRow.row_id.in_(some), DocumentRow.operation_id.is_not(None)
        operations = session.scalars(select(DocumentRow.operation_id).where(*waiting))
        settle(session, done=Counter(one for one in operations if one is not None))
        session.execute(update(DocumentRow).where(*waiting).values(operation_id=None))


def revise(row: DocumentRow, operation_id: str | None = None) -> None:
    """What a document without a block says has changed: it waits to be encoded, and with it the
    operation, if there is one."""
    row.revision += 1
    row.state, row.error, row.tokens, row.chunks = "PENDING", "", None, None
    row.operation_id = operation_id
