"""What every group of the store's verbs stands on: the database, the files and shared look-ups.

Knows where things lie; knows none of the verbs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sqlalchemy import ColumnElement, Row, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from memsvc_storage.database import Database
from memsvc_storage.errors import BankNotFound, EtagMismatch
from memsvc_storage.handles import SegmentHandles
from memsvc_storage.models import BankRow, DocumentRow, SegmentRow, StoredBlock
from memsvc_storage.rows import Bank, Document, DocumentState, Scalar

BATCH = 1000  # rows per statement: far below every database's limit of parameters
FACTS: tuple[InstrumentedAttribute[Any], ...] = (
    DocumentRow.row_id,
    DocumentRow.document_id,
    DocumentRow.title,
    DocumentRow.meta,
    DocumentRow.event_time,
    DocumentRow.expire_time,
    DocumentRow.create_time,
    DocumentRow.update_time,
    DocumentRow.revision,
    DocumentRow.etag,
    DocumentRow.state,
    DocumentRow.error,
    DocumentRow.tokens,
    DocumentRow.chunks,
)


class StoreCore:
    """The parts that the verbs share. `data_dir` holds the SQLite file and `banks/<id>/`."""

    def __init__(self, data_dir: Path, database: Database) -> None:
        self._data_dir = data_dir
        self._db = database
        self._handles = SegmentHandles(self._locate)
        self._compacting = threading.Lock()

    def _bank_folder(self, bank_id: int) -> Path:
        return self._data_dir / "banks" / str(bank_id)

    def _segment_path(self, bank_id: int, segment: str) -> Path:
        return self._bank_folder(bank_id) / f"{segment}.safetensors"

    def _locate(self, segment: str) -> tuple[Path, int] | None:
        with self._db.read() as session:
            row = session.get(SegmentRow, segment)
        return None if row is None else (self._segment_path(row.bank_id, segment), row.header_crc)


def now() -> datetime:
    """The present, UTC."""
    return datetime.now(UTC)


def unexpired(expire_time: InstrumentedAttribute[datetime | None]) -> ColumnElement[bool]:
    """The condition that a row's time has not come: what has expired is gone, swept or not."""
    return or_(expire_time.is_(None), expire_time > now())


def find_bank(session: Session, name: str) -> BankRow:
    """The bank's row. Raises BankNotFound."""
    row = session.scalar(select(BankRow).where(BankRow.name == name))
    if row is None:
        raise BankNotFound(name)
    return row


def bank_id(session: Session, name: str) -> int:
    """The bank's number. Raises BankNotFound."""
    found = session.scalar(select(BankRow.id).where(BankRow.name == name))
    if found is None:
        raise BankNotFound(name)
    return found


def check_etag(resource: str, expected: str | None, actual: str) -> None:
    """Raises EtagMismatch if the caller knows another version."""
    if expected is not None and expected != actual:
        raise EtagMismatch(resource, expected, actual)


def count_kv_bytes(session: Session, where: ColumnElement[bool]) -> None:
    """Bring `kv_bytes` of some banks up to date with their blocks."""
    live = (
        select(func.coalesce(func.sum(StoredBlock.bytes), 0))
        .join(SegmentRow, SegmentRow.segment == StoredBlock.segment)
        .where(SegmentRow.bank_id == BankRow.id)
        .scalar_subquery()
    )
    session.execute(
        update(BankRow).where(where).values(kv_bytes=live),
        execution_options={"synchronize_session": False},
    )


def to_bank(row: BankRow) -> Bank:
    """A bank's row as it is handed out."""
    return Bank(
        row.id,
        row.name,
        row.display_name,
        cast("dict[str, Scalar]", row.meta),
        row.quota_bytes,
        row.text_bytes,
        row.document_count,
        row.kv_bytes,
        row.etag,
        row.create_time,
        row.update_time,
        row.identity,
        row.reencode_operation,
    )


def to_document(bank: str, row: Row[*tuple[Any, ...]] | DocumentRow, text: str = "") -> Document:
    """A document from its row, or from the columns of `FACTS`."""
    return Document(
        row_id=row.row_id,
        bank=bank,
        document_id=row.document_id,
        title=row.title,
        text=text,
        metadata=cast("dict[str, Scalar]", row.meta),
        event_time=row.event_time,
        expire_time=row.expire_time,
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
        etag=row.etag,
        state=cast(DocumentState, row.state),
        error=row.error,
        tokens=row.tokens,
        chunks=row.chunks,
    )


def text_size(title: str, text: str) -> int:
    """The bytes that count towards a bank's quota."""
    return len(title.encode()) + len(text.encode())


def plain(metadata: Mapping[str, Scalar] | None) -> dict[str, Any]:
    """Metadata as a JSON object."""
    return dict(metadata or {})


def within(sizes: Sequence[tuple[int, int]], limit: int) -> list[int]:
    """The first rows whose sizes together stay within the limit, but at least one."""
    chosen: list[int] = []
    total = 0
    for row_id, size in sizes:
        total += size
        if chosen and total > limit:
            break
        chosen.append(row_id)
    return chosen
