"""Committing blocks and taking them away.

Knows block rows and segment files; knows nothing of what the tensors mean. A segment file is
written and durable before the SQL commit that names it, so a crash leaves at most a file that no
row names, which recovery deletes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from memsvc_storage.block_reads import BlockReads
from memsvc_storage.core import BATCH, bank_id, count_kv_bytes, now
from memsvc_storage.models import BankRow, DocumentRow, IdentityRow, SegmentRow, StoredBlock
from memsvc_storage.operations import begin, settle
from memsvc_storage.rows import BlockRow, Encoded, chunked, identity_digest
from memsvc_storage.segments import WrittenSegment, write_segment

IDENTITY_KEY = "memsvc.identity"


class BlockWrites(BlockReads):
    """The verbs that write blocks."""

    def commit_blocks(
        self, bank: str, identity_json: Mapping[str, Any], encoded: Sequence[Encoded]
    ) -> list[BlockRow]:
        """Make blocks of PENDING documents durable: one segment file, then one SQL commit.

        Documents deleted or changed meanwhile are skipped. Raises BankNotFound, or ValueError if
        the tensors do not fit together.
        """
        with self._db.read() as session:
            number = bank_id(session, bank)
            awaited = _awaited(session, number, encoded)
        chosen = list({item[0]: item for item in encoded if item[0] in awaited}.values())
        if not chosen:
            return []
        digest, segment = identity_digest(identity_json), uuid4().hex
        path = self._segment_path(number, segment)
        try:
            written = write_segment(path, [item[2] for item in chosen], {IDENTITY_KEY: digest})
        except FileNotFoundError:  # the folder went away under us: with its bank?
            with self._db.read() as session:
                bank_id(session, bank)
            raise
        rows: list[BlockRow] = []
        with self._db.write() as session:
            awaited = _awaited(session, number, chosen)
            if awaited:
                _know_identity(session, digest, identity_json)
                name_segment(session, number, segment, digest, written)
                rows = _attach(session, number, segment, written, chosen, awaited)
        if not rows:
            path.unlink(missing_ok=True)
        return rows

    def fail_document(self, row_id: int, revision: int, error: str) -> None:
        """Mark a PENDING document FAILED; no-op if it was deleted or changed meanwhile."""
        with self._db.write() as session:
            row = session.get(DocumentRow, row_id)
            if row is None or row.revision != revision or row.state != "PENDING":
                return
            row.state, row.error = "FAILED", error
            if row.operation_id is not None:
                settle(session, failed=Counter([row.operation_id]), error=error)
                row.operation_id = None

    def requeue(self, row_ids: Sequence[int], reason: str) -> None:
        """Take these documents' blocks away and make the documents PENDING again."""
        with self._db.write() as session:
            requeue_documents(session, row_ids, reason)

    def requeue_other_identities(self, identity_digest: str) -> int:
        """Make documents whose block another identity made PENDING again; how many.

        Each bank concerned gets a REENCODE operation over them.
        """
        query = (
            select(BankRow.name, StoredBlock.row_id)
            .join(SegmentRow, SegmentRow.segment == StoredBlock.segment)
            .join(BankRow, BankRow.id == SegmentRow.bank_id)
            .where(SegmentRow.identity != identity_digest)
        )
        with self._db.write() as session:
            by_bank: dict[str, list[int]] = defaultdict(list)
            for name, row_id in session.execute(query):
                by_bank[name].append(row_id)
            for name, row_ids in by_bank.items():
                operation = begin(session, name, "REENCODE", len(row_ids))
                requeue_documents(session, row_ids, "", operation.operation_id)
        return sum(map(len, by_bank.values()))


def requeue_documents(
    session: Session, row_ids: Sequence[int], reason: str, operation_id: str | None = None
) -> None:
    """Drop blocks and make their documents PENDING; `operation_id` waits for them."""
    banks: set[int] = set()
    for some in chunked(row_ids, BATCH):
        those = DocumentRow.row_id.in_(some), DocumentRow.state != "PENDING"
        banks.update(session.scalars(select(DocumentRow.bank_id).distinct().where(*those)))
        session.execute(
            update(DocumentRow)
            .where(*those)
            .values(
                state="PENDING", error=reason, tokens=None, chunks=None, operation_id=operation_id
            ),
            execution_options={"synchronize_session": False},
        )
        session.execute(delete(StoredBlock).where(StoredBlock.row_id.in_(some)))
    if banks:
        count_kv_bytes(session, BankRow.id.in_(banks))


def name_segment(
    session: Session, number: int, segment: str, digest: str, written: WrittenSegment
) -> None:
    """Add the row that makes a segment file part of the store."""
    session.add(
        SegmentRow(
            segment=segment,
            bank_id=number,
            identity=digest,
            rows=written.rows,
            bytes=written.bytes,
            header_crc=written.header_crc,
            create_time=now(),
        )
    )
    session.flush()


def _awaited(
    session: Session, number: int, encoded: Sequence[Encoded]
) -> dict[int, tuple[str, str | None]]:
    """(document id, operation id) by row, of the documents that still wait for these blocks."""
    revisions = {item[0]: item[1] for item in encoded}
    query = select(
        DocumentRow.row_id, DocumentRow.revision, DocumentRow.document_id, DocumentRow.operation_id
    ).where(DocumentRow.bank_id == number, DocumentRow.state == "PENDING")
    return {
        row.row_id: (row.document_id, row.operation_id)
        for some in chunked(list(revisions), BATCH)
        for row in session.execute(query.where(DocumentRow.row_id.in_(some)))
        if row.revision == revisions[row.row_id]
    }


def _know_identity(session: Session, digest: str, body: Mapping[str, Any]) -> None:
    if session.get(IdentityRow, digest) is None:
        session.add(IdentityRow(digest=digest, body=dict(body)))
        session.flush()


def _attach(
    session: Session,
    number: int,
    segment: str,
    written: WrittenSegment,
    chosen: Sequence[Encoded],
    awaited: Mapping[int, tuple[str, str | None]],
) -> list[BlockRow]:
    """Give the awaited documents their blocks and settle their operations."""
    rows: list[BlockRow] = []
    stored: list[dict[str, Any]] = []
    size = 0
    for item, span, nbytes in zip(chosen, written.spans, written.sizes, strict=True):
        row_id, revision, _, tokens = item
        if row_id not in awaited:
            continue
        name, crc = awaited[row_id][0], dict(span.crc)
        row = BlockRow(row_id, name, revision, segment, span.start, span.rows, crc, tokens)
        rows.append(row)
        fields = asdict(row)
        del fields["document_id"]
        stored.append({**fields, "bytes": nbytes})
        size += nbytes
    ready = {"state": "READY", "error": "", "operation_id": None}
    session.execute(insert(StoredBlock), stored)
    session.execute(
        update(DocumentRow),
        [{"row_id": r.row_id, "tokens": r.tokens, "chunks": r.rows, **ready} for r in rows],
    )
    more = BankRow.kv_bytes + size
    session.execute(update(BankRow).where(BankRow.id == number).values(kv_bytes=more))
    settle(session, done=Counter(op for _, op in awaited.values() if op is not None))
    return rows
