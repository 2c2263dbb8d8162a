"""Committing blocks and taking them away.

Knows block rows and segment files; knows nothing of what the tensors mean. A segment file is
written and durable before the SQL commit that names it, so a crash leaves at most a file that no
row names, which recovery deletes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import uuid4

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from memsvc_storage.block_reads import BlockReads
from memsvc_storage.core import BATCH, bank_id, count_kv_bytes, now
from memsvc_storage.models import (
    BankRow,
    DocumentRow,
    IdentityRow,
    NextBlock,
    SegmentRow,
    StoredBlock,
)
from memsvc_storage.operations import settle
from memsvc_storage.rows import BlockRow, DocumentState, Encoded, chunked, identity_digest
from memsvc_storage.segments import WrittenSegment, write_segment

IDENTITY_KEY = "memsvc.identity"
Wanted: TypeAlias = Mapping[int, tuple[str, str | None]]
"""(document id, operation that waits for it) by row, of documents whose blocks are taken."""
Choose: TypeAlias = Callable[[Session, int, str, Sequence[Encoded]], Wanted]
"""(session, bank's number, identity's digest, blocks) to those of them that are wanted."""
Attach: TypeAlias = Callable[[Session, int, str, Wanted, Sequence[dict[str, Any]]], None]
"""(session, bank's number, identity's digest, wanted, columns of blocks): hands the blocks out."""


class BlockWrites(BlockReads):
    """The verbs that write blocks."""

    def commit_blocks(
        self, bank: str, identity_json: Mapping[str, Any], encoded: Sequence[Encoded]
    ) -> list[BlockRow]:
        """Make blocks of PENDING documents durable: one segment file, then one SQL commit.

        Documents deleted or changed meanwhile are skipped, and all of them where blocks of another
        identity serve the bank. Raises BankNotFound, or ValueError if the tensors do not fit
        together.
        """
        return self._write_blocks(bank, identity_json, encoded, _awaited, _attach)

    def _write_blocks(
        self,
        bank: str,
        identity_json: Mapping[str, Any],
        encoded: Sequence[Encoded],
        choose: Choose,
        attach: Attach,
    ) -> list[BlockRow]:
        """One segment of the blocks that are wanted before it is written, and in its commit."""
        digest, segment = identity_digest(identity_json), uuid4().hex
        with self._db.read() as session:
            number = bank_id(session, bank)
            wanted = choose(session, number, digest, encoded)
        chosen = list({item[0]: item for item in encoded if item[0] in wanted}.values())
        if not chosen:
            return []
        path = self._segment_path(number, segment)
        try:
            written = write_segment(path, [item[2] for item in chosen], {IDENTITY_KEY: digest})
        except FileNotFoundError:  # the folder went away under us: with its bank?
            with self._db.read() as session:
                bank_id(session, bank)
            raise
        with self._db.write() as session:
            wanted = choose(session, number, digest, chosen)
            columns = _columns(segment, written, chosen, wanted)
            if columns:
                _know_identity(session, digest, identity_json)
                name_segment(session, number, segment, digest, written)
                attach(session, number, digest, wanted, columns)
        if not columns:
            path.unlink(missing_ok=True)
        return [_row(each, wanted, digest) for each in columns]

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
        for table in (StoredBlock, NextBlock):
            session.execute(delete(table).where(table.row_id.in_(some)))
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


def of_revision(
    session: Session, number: int, encoded: Sequence[Encoded], state: DocumentState
) -> Wanted:
    """Those documents of some blocks that are in this state, at the revision of the block."""
    revisions = {item[0]: item[1] for item in encoded}
    query = select(
        DocumentRow.row_id, DocumentRow.revision, DocumentRow.document_id, DocumentRow.operation_id
    ).where(DocumentRow.bank_id == number, DocumentRow.state == state)
    return {
        row.row_id: (row.document_id, row.operation_id)
        for some in chunked(list(revisions), BATCH)
        for row in session.execute(query.where(DocumentRow.row_id.in_(some)))
        if row.revision == revisions[row.row_id]
    }


def _awaited(session: Session, number: int, digest: str, encoded: Sequence[Encoded]) -> Wanted:
    serving = session.scalar(select(BankRow.identity).where(BankRow.id == number))
    if serving is not None and serving != digest:
        return {}
    return of_revision(session, number, encoded, "PENDING")


def _know_identity(session: Session, digest: str, body: Mapping[str, Any]) -> None:
    if session.get(IdentityRow, digest) is None:
        session.add(IdentityRow(digest=digest, body=dict(body)))
        session.flush()


def _columns(
    segment: str, written: WrittenSegment, chosen: Sequence[Encoded], wanted: Wanted
) -> list[dict[str, Any]]:
    """What is stored of the blocks that are wanted."""
    return [
        {
            "row_id": row_id,
            "segment": segment,
            "revision": revision,
            "row_start": span.start,
            "rows": span.rows,
            "bytes": nbytes,
            "crc": dict(span.crc),
            "tokens": tokens,
        }
        for (row_id, revision, _, tokens), span, nbytes in zip(
            chosen, written.spans, written.sizes, strict=True
        )
        if row_id in wanted
    ]


def _row(columns: Mapping[str, Any], wanted: Wanted, digest: str) -> BlockRow:
    kept = {name: value for name, value in columns.items() if name != "bytes"}
    return BlockRow(document_id=wanted[columns["row_id"]][0], identity=digest, **kept)


def _attach(
    session: Session,
    number: int,
    digest: str,
    wanted: Wanted,
    columns: Sequence[dict[str, Any]],
) -> None:
    """Let the blocks serve, their documents be READY, and settle the operations."""
    ready = {"state": "READY", "error": "", "operation_id": None}
    session.execute(insert(StoredBlock), columns)
    session.execute(
        update(DocumentRow),
        [
            {"row_id": c["row_id"], "tokens": c["tokens"], "chunks": c["rows"], **ready}
            for c in columns
        ],
    )
    more = BankRow.kv_bytes + sum(c["bytes"] for c in columns)
    values = {"kv_bytes": more, "identity": digest}
    session.execute(update(BankRow).where(BankRow.id == number).values(**values))
    settle(session, done=Counter(op for _, op in wanted.values() if op is not None))
