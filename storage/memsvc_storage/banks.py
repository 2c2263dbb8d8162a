"""Banks: making, finding, changing and deleting them.

Knows bank rows and their folders; knows nothing of what documents say.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from memsvc_storage.core import StoreCore, check_etag, find_bank, now, plain, to_bank
from memsvc_storage.errors import BankExists
from memsvc_storage.ids import new_etag
from memsvc_storage.models import BankRow, OperationRow, SegmentRow
from memsvc_storage.operations import FINISHED
from memsvc_storage.replay import record, recorded
from memsvc_storage.rows import UNSET, Bank, Idempotency, Page, Scalar, Unset


class BankVerbs(StoreCore):
    """The verbs on banks."""

    def create_bank(
        self,
        name: str,
        display_name: str = "",
        metadata: Mapping[str, Scalar] | None = None,
        quota_bytes: int | None = None,
        idempotency: Idempotency | None = None,
    ) -> Bank:
        """Make an empty bank. Raises BankExists, RequestConflict."""
        with self._db.write() as session:
            before = recorded(session, idempotency)
            if before is not None:
                return _replayed(session, before)
            if session.scalar(select(BankRow.id).where(BankRow.name == name)) is not None:
                raise BankExists(name)
            time = now()
            row = BankRow(
                name=name,
                display_name=display_name,
                meta=plain(metadata),
                quota_bytes=quota_bytes,
                text_bytes=0,
                document_count=0,
                kv_bytes=0,
                etag=new_etag(),
                create_time=time,
                update_time=time,
            )
            session.add(row)
            session.flush()
            facts = {"id": row.id, "name": name, "quota_bytes": quota_bytes, "etag": row.etag}
            record(session, idempotency, {**facts, "create_time": time.isoformat()})
            return to_bank(row)

    def get_bank(self, name: str) -> Bank:
        """Raises BankNotFound."""
        with self._db.read() as session:
            return to_bank(find_bank(session, name))

    def list_banks(self, limit: int, after_key: str | None = None) -> Page[Bank]:
        """Banks by name."""
        query = select(BankRow).order_by(BankRow.name).limit(limit + 1)
        if after_key is not None:
            query = query.where(BankRow.name > after_key)
        with self._db.read() as session:
            items = [to_bank(row) for row in session.scalars(query)]
        return Page(items[:limit], items[limit - 1].name if len(items) > limit else None)

    def update_bank(
        self,
        name: str,
        *,
        display_name: str | Unset = UNSET,
        metadata: Mapping[str, Scalar] | Unset = UNSET,
        quota_bytes: int | Unset | None = UNSET,
        etag: str | None = None,
    ) -> Bank:
        """Change what is given. A quota below what is stored only stops further documents.

        Raises BankNotFound, EtagMismatch.
        """
        with self._db.write() as session:
            row = find_bank(session, name)
            check_etag(f"bank {name!r}", etag, row.etag)
            if not isinstance(display_name, Unset):
                row.display_name = display_name
            if not isinstance(metadata, Unset):
                row.meta = plain(metadata)
            if not isinstance(quota_bytes, Unset):
                row.quota_bytes = quota_bytes
            row.etag, row.update_time = new_etag(), now()
            return to_bank(row)

    def delete_bank(self, name: str, etag: str | None = None) -> None:
        """Delete a bank with its documents, blocks and files; its operations end.

        On return none of its texts is in any file; this rebuilds the tables, and writes wait
        meanwhile. Raises BankNotFound, EtagMismatch.
        """
        with self._db.write() as session:
            row = find_bank(session, name)
            check_etag(f"bank {name!r}", etag, row.etag)
            number = row.id
            segments = select(SegmentRow.segment).where(SegmentRow.bank_id == number)
            self._handles.retire(list(session.scalars(segments)))
            session.execute(delete(BankRow).where(BankRow.id == number))
            _end_operations(session, name)
        shutil.rmtree(self._bank_folder(number), ignore_errors=True)
        self._db.scrub()


def _end_operations(session: Session, bank: str) -> None:
    """A deleted document counts as done, and there is nothing left to compact."""
    open_rows = OperationRow.bank == bank, OperationRow.state.not_in(FINISHED)
    changes: dict[str, Any] = {"update_time": now()}
    encode = update(OperationRow).where(*open_rows, OperationRow.kind == "ENCODE")
    done = OperationRow.total - OperationRow.failed
    session.execute(encode.values(state="DONE", done=done, **changes))
    session.execute(update(OperationRow).where(*open_rows).values(state="CANCELLED", **changes))


def _replayed(session: Session, before: dict[str, Any]) -> Bank:
    """The bank as it is now; if it is deleted, as it was when made, without metadata."""
    row = session.get(BankRow, before["id"])
    if row is not None:
        return to_bank(row)
    time = datetime.fromisoformat(before["create_time"])
    name, quota = before["name"], before["quota_bytes"]
    return Bank(before["id"], name, "", {}, quota, 0, 0, 0, before["etag"], time, time)
