"""Blocks: committing them, finding them, reading them back, taking them away.

Knows block rows and segment files; knows nothing of what the tensors mean. A segment file is
written and durable before the SQL commit that names it, so a crash leaves at most a file that no
row names, which recovery deletes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from numpy.typing import NDArray
from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.orm import Session

from memsvc_storage.core import BATCH, StoreCore, bank_id, count_kv_bytes, now
from memsvc_storage.errors import BlockGone, CorruptBlock
from memsvc_storage.handles import SegmentUnknown
from memsvc_storage.models import BankRow, DocumentRow, IdentityRow, SegmentRow, StoredBlock
from memsvc_storage.operations import begin, settle
from memsvc_storage.rows import BlockRow, Encoded, chunked, identity_digest
from memsvc_storage.segments import SegmentDamaged, Span, WrittenSegment, write_segment

IDENTITY_KEY = "memsvc.identity"


class BlockVerbs(StoreCore):
    """The verbs on blocks."""

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
        written = write_segment(path, [item[2] for item in chosen], {IDENTITY_KEY: digest})
        with self._db.write() as session:
            awaited = _awaited(session, number, chosen)
            if awaited:
                _know_identity(session, digest, identity_json)
                name_segment(session, number, segment, digest, written)
                rows = _attach(session, number, segment, written, chosen, awaited)
        if not awaited:
            path.unlink()
            return []
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

    def live_blocks(self, bank: str, identity_digest: str) -> list[BlockRow]:
        """The blocks of READY documents made by this identity, by row. Raises BankNotFound."""
        with self._db.read() as session:
            query = (
                _blocks()
                .join(SegmentRow, SegmentRow.segment == StoredBlock.segment)
                .where(
                    SegmentRow.bank_id == bank_id(session, bank),
                    SegmentRow.identity == identity_digest,
                    DocumentRow.state == "READY",
                )
            )
            return [BlockRow(*row) for row in session.execute(query)]

    def block_rows(self, bank: str, row_ids: Sequence[int]) -> list[BlockRow]:
        """Where some documents' blocks lie now; documents without a block are left out."""
        found: list[BlockRow] = []
        with self._db.read() as session:
            query = _blocks().where(DocumentRow.bank_id == bank_id(session, bank))
            for some in chunked(row_ids, BATCH):
                rows = session.execute(query.where(StoredBlock.row_id.in_(some)))
                found += [BlockRow(*row) for row in rows]
        return found

    def read_rows(self, bank: str, blocks: Sequence[BlockRow], name: str) -> list[NDArray[Any]]:
        """One tensor of some blocks [rows, …] each, verified against its checksum.

        Blocks that compaction has moved are found. Raises CorruptBlock, BlockGone.
        """
        arrays = []
        for result in self._read_each(bank, blocks, name):
            if isinstance(result, (CorruptBlock, BlockGone)):
                raise result
            arrays.append(result)
        return arrays

    def release_retired(self) -> None:
        """Let go of the segments that compaction replaced: no reader holds old block rows now."""
        self._handles.release_retired()

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

    def _read_each(
        self, bank: str, blocks: Sequence[BlockRow], name: str
    ) -> list[NDArray[Any] | CorruptBlock | BlockGone]:
        """Like `read_rows`, but with the error in the place of what cannot be read."""
        results: dict[int, NDArray[Any] | CorruptBlock | BlockGone] = {}
        by_segment: dict[str, list[int]] = defaultdict(list)
        for index, block in enumerate(blocks):
            by_segment[block.segment].append(index)
        moved: list[int] = []
        for segment, indexes in by_segment.items():
            arrays = self._read_segment(segment, [blocks[index] for index in indexes], name)
            if arrays is None:
                moved += indexes
            else:
                results.update(zip(indexes, arrays, strict=True))
        results.update(self._read_moved(bank, blocks, moved, name))
        return [results[index] for index in range(len(blocks))]

    def _read_segment(
        self, segment: str, blocks: Sequence[BlockRow], name: str
    ) -> Sequence[NDArray[Any] | CorruptBlock] | None:
        """What one segment holds of these blocks; None if the segment has been replaced."""
        spans = [Span(block.row_start, block.rows, block.crc) for block in blocks]
        try:
            with self._handles.open(segment) as file:
                results = file.read(spans, name)
        except SegmentUnknown:
            return None
        except SegmentDamaged as damage:
            results = [damage] * len(blocks)
        except FileNotFoundError:
            # Compaction may have removed the file just after we asked where it lies.
            if self._locate(segment) is None:
                return None
            results = [SegmentDamaged("its file is missing")] * len(blocks)
        return [
            CorruptBlock(block.row_id, segment, name, str(result))
            if isinstance(result, SegmentDamaged)
            else result
            for block, result in zip(blocks, results, strict=True)
        ]

    def _read_moved(
        self, bank: str, blocks: Sequence[BlockRow], moved: Sequence[int], name: str
    ) -> dict[int, NDArray[Any] | CorruptBlock | BlockGone]:
        """Read blocks where they lie now. The same checksums mean the same block."""
        if not moved:
            return {}
        rows = {row.row_id: row for row in self.block_rows(bank, [blocks[i].row_id for i in moved])}
        results: dict[int, NDArray[Any] | CorruptBlock | BlockGone] = {}
        found: dict[int, BlockRow] = {}
        for index in moved:
            block, row = blocks[index], rows.get(blocks[index].row_id)
            if row is None or (row.revision, row.crc) != (block.revision, block.crc):
                results[index] = BlockGone(block.row_id, block.segment)
            else:
                found[index] = row
        arrays = self._read_each(bank, list(found.values()), name)
        results.update(zip(found, arrays, strict=True))
        return results


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


def _blocks() -> Select[int, str, int, str, int, int, dict[str, int], int]:
    """The columns of `BlockRow`, by row."""
    return (
        select(
            StoredBlock.row_id,
            DocumentRow.document_id,
            StoredBlock.revision,
            StoredBlock.segment,
            StoredBlock.row_start,
            StoredBlock.rows,
            StoredBlock.crc,
            StoredBlock.tokens,
        )
        .join(DocumentRow, DocumentRow.row_id == StoredBlock.row_id)
        .order_by(StoredBlock.row_id)
    )


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
    blocks, stored, documents = [], [], []
    for item, span, size in zip(chosen, written.spans, written.sizes, strict=True):
        row_id, revision, _, tokens = item
        if row_id not in awaited:
            continue
        place = {"row_start": span.start, "rows": span.rows, "crc": dict(span.crc)}
        stored.append(
            {"row_id": row_id, "segment": segment, "revision": revision, "bytes": size}
            | {"tokens": tokens}
            | place
        )
        documents.append(
            {"row_id": row_id, "state": "READY", "error": "", "tokens": tokens}
            | {"chunks": span.rows, "operation_id": None}
        )
        blocks.append(
            BlockRow(
                row_id,
                awaited[row_id][0],
                revision,
                segment,
                span.start,
                span.rows,
                dict(span.crc),
                tokens,
            )
        )
    session.execute(insert(StoredBlock), stored)
    session.execute(update(DocumentRow), documents)
    more = BankRow.kv_bytes + sum(int(row["bytes"]) for row in stored)
    session.execute(update(BankRow).where(BankRow.id == number).values(kv_bytes=more))
    settle(session, done=Counter(op for _, op in awaited.values() if op is not None))
    return blocks
