"""Operations: work that outlives a call, counted document by document until it ends.

Knows operation rows and how documents settle them; knows nothing of encoding itself.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from memsvc_storage.core import StoreCore, bank_id, now
from memsvc_storage.errors import OperationFinished, OperationNotFound
from memsvc_storage.ids import sortable_id
from memsvc_storage.models import OperationRow, ReplayRow
from memsvc_storage.rows import (
    UNSET,
    Operation,
    OperationKind,
    OperationState,
    Page,
    Unset,
)

FINISHED = ("DONE", "FAILED", "CANCELLED")


class OperationVerbs(StoreCore):
    """Reading, making, moving and cancelling operations."""

    def get_operation(self, operation_id: str) -> Operation:
        """Raises OperationNotFound."""
        with self._db.read() as session:
            return to_operation(_find(session, operation_id))

    def list_operations(
        self,
        bank: str | None,
        state: OperationState | None,
        limit: int,
        after_key: str | None = None,
    ) -> Page[Operation]:
        """Newest first; of one bank and in one state, or of all."""
        query = select(OperationRow).order_by(OperationRow.operation_id.desc()).limit(limit + 1)
        if bank is not None:
            query = query.where(OperationRow.bank == bank)
        if state is not None:
            query = query.where(OperationRow.state == state)
        if after_key is not None:
            query = query.where(OperationRow.operation_id < after_key)
        with self._db.read() as session:
            items = [to_operation(row) for row in session.scalars(query)]
        more = len(items) > limit
        return Page(items[:limit], items[limit - 1].operation_id if more else None)

    def create_operation(self, bank: str, kind: OperationKind, total: int) -> Operation:
        """A PENDING operation whose progress the caller reports. Raises BankNotFound."""
        with self._db.write() as session:
            bank_id(session, bank)
            return to_operation(begin(session, bank, kind, total))

    def update_operation(
        self,
        operation_id: str,
        *,
        state: OperationState | Unset = UNSET,
        total: int | Unset = UNSET,
        done: int | Unset = UNSET,
        failed: int | Unset = UNSET,
        error: str | Unset = UNSET,
    ) -> Operation:
        """Set some fields. Raises OperationNotFound, or OperationFinished once it has ended."""
        changes = {"state": state, "total": total, "done": done, "failed": failed, "error": error}
        with self._db.write() as session:
            row = _find(session, operation_id)
            if row.state in FINISHED:
                raise OperationFinished(operation_id, row.kind, row.state)
            for name, value in changes.items():
                if not isinstance(value, Unset):
                    setattr(row, name, value)
            row.update_time = now()
            return to_operation(row)

    def cancel_operation(self, operation_id: str) -> Operation:
        """End a COMPACT operation that has not ended; nothing stored is undone.

        The others stand for documents that wait to be found, so they always run to their end:
        OperationFinished, as for every operation that has ended. Raises OperationNotFound.
        """
        with self._db.write() as session:
            row = _find(session, operation_id)
            if row.state in FINISHED or row.kind != "COMPACT":
                raise OperationFinished(operation_id, row.kind, row.state)
            row.state, row.update_time = "CANCELLED", now()
            return to_operation(row)

    def prune(self, before: datetime) -> int:
        """Forget replay records made, and operations finished, before a time; how many."""
        statements = (
            delete(ReplayRow).where(ReplayRow.create_time < before),
            delete(OperationRow).where(
                OperationRow.update_time < before, OperationRow.state.in_(FINISHED)
            ),
        )
        with self._db.write() as session:
            return sum(session.connection().execute(each).rowcount for each in statements)


def begin(session: Session, bank: str, kind: OperationKind, total: int) -> OperationRow:
    """A new operation; without anything to do it is DONE from the start."""
    time = now()
    row = OperationRow(
        operation_id=sortable_id(),
        bank=bank,
        kind=kind,
        state="DONE" if kind == "ENCODE" and total == 0 else "PENDING",
        total=total,
        done=0,
        failed=0,
        error="",
        create_time=time,
        update_time=time,
    )
    session.add(row)
    session.flush()
    return row


def settle(
    session: Session,
    done: Counter[str] | None = None,
    failed: Counter[str] | None = None,
    error: str = "",
) -> None:
    """Count documents (per operation id) that need no more encoding; end what is complete."""
    done, failed = done or Counter(), failed or Counter()
    for operation_id in done.keys() | failed.keys():
        row = session.get(OperationRow, operation_id)
        if row is None or row.state in FINISHED:
            continue
        row.done += done[operation_id]
        row.failed += failed[operation_id]
        row.error = row.error or error
        row.update_time = now()
        if row.done + row.failed < row.total:
            row.state = "RUNNING"
        else:
            row.state = "FAILED" if row.failed and not row.done else "DONE"


def to_operation(row: OperationRow) -> Operation:
    """An operation's row as it is handed out."""
    return Operation(
        row.operation_id,
        row.bank,
        cast(OperationKind, row.kind),
        cast(OperationState, row.state),
        row.total,
        row.done,
        row.failed,
        row.error,
        row.create_time,
        row.update_time,
    )


def _find(session: Session, operation_id: str) -> OperationRow:
    row = session.get(OperationRow, operation_id)
    if row is None:
        raise OperationNotFound(operation_id)
    return row
