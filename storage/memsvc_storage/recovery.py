"""What is put right when a store opens: after a crash, or after files were lost.

Knows what the database names and what lies on disk; the database is right.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from memsvc_storage.block_writes import requeue_documents
from memsvc_storage.core import now
from memsvc_storage.models import BankRow, DocumentRow, OperationRow, SegmentRow, StoredBlock
from memsvc_storage.operations import FINISHED


def recover(session: Session, banks: Path) -> None:
    """Delete files that no row names, requeue documents whose file is lost, and set operations
    that a restart interrupted back to PENDING."""
    rows = session.execute(select(SegmentRow.bank_id, SegmentRow.segment))
    named = {(row[0], row[1]) for row in rows}
    found = _sweep(banks, named, set(session.scalars(select(BankRow.id))))
    for _, segment in named - found:
        of_segment = select(StoredBlock.row_id).where(StoredBlock.segment == segment)
        requeue_documents(session, list(session.scalars(of_segment)), "the segment file was lost")
        session.execute(delete(SegmentRow).where(SegmentRow.segment == segment))
    _resume_operations(session)


def _sweep(banks: Path, named: set[tuple[int, str]], known: set[int]) -> set[tuple[int, str]]:
    """Remove what is not named; what of the named is there."""
    found = set()
    for folder in banks.iterdir() if banks.is_dir() else ():
        if not folder.name.isdecimal():
            continue
        number = int(folder.name)
        if number not in known:
            shutil.rmtree(folder)
            continue
        for file in folder.iterdir():
            if file.suffix == ".safetensors" and (number, file.stem) in named:
                found.add((number, file.stem))
            elif file.suffix in (".safetensors", ".tmp"):
                file.unlink()
    return found


def _resume_operations(session: Session) -> None:
    """An operation goes on as long as documents wait under it, or its bank is brought to another
    identity by it. One without (a compaction, say) was carried by the process that is gone, so it
    ends here instead of never."""
    carried = or_(
        exists().where(DocumentRow.operation_id == OperationRow.operation_id),
        exists().where(BankRow.reencode_operation == OperationRow.operation_id),
    )
    unfinished = OperationRow.state.not_in(FINISHED)
    quietly = {"synchronize_session": False}
    resumed = update(OperationRow).where(OperationRow.state == "RUNNING", carried)
    session.execute(resumed.values(state="PENDING"), execution_options=quietly)
    ended = update(OperationRow).where(unfinished, ~carried)
    error = "interrupted by a restart"
    session.execute(
        ended.values(state="FAILED", error=error, update_time=now()), execution_options=quietly
    )
