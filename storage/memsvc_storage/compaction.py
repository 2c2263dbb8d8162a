"""Compaction: deleted rows leave the files, deleted texts leave the database.

Knows segments, blocks and their files; knows nothing of what the tensors mean. Blocks are copied
outside the write lock and re-checked in the commit that moves them, so readers and writers go on
meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from uuid import uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from memsvc_storage.block_writes import IDENTITY_KEY, name_segment
from memsvc_storage.core import BATCH
from memsvc_storage.errors import CorruptBlock
from memsvc_storage.inspection import InspectionVerbs, SegmentUsage, Tensors
from memsvc_storage.models import BankRow, BlockTable, NextBlock, SegmentRow, StoredBlock
from memsvc_storage.rows import BlockRow, CompactReport, chunked
from memsvc_storage.segments import WrittenSegment, sync_directory, write_segment

_TABLES: tuple[BlockTable, ...] = (StoredBlock, NextBlock)
MAX_SEGMENT_BYTES = 64 << 20  # held in memory at a time, and written into one file


class CompactionVerbs(InspectionVerbs):
    """The verb that gives space back."""

    def compact(self, bank: str, min_dead_fraction: float = 0.0) -> CompactReport:
        """Rewrite segments with dead rows (at least this share of them) and scrub the database:
        on return no deleted text is in any file. Writes wait during the scrubbing.

        Corrupt blocks on the way are requeued. Raises BankNotFound; StorageError if another
        process keeps the SQLite file from being scrubbed.
        """
        with self._compacting:
            number, before = self._usage(bank)
            worn = [
                usage
                for usage in before
                if usage.dead_fraction > 0 and usage.dead_fraction >= min_dead_fraction
            ]
            moved = sum(
                self._move(bank, number, table, identity, row_ids)
                for table in _TABLES
                for identity, row_ids in self._batches(table, worn)
            )
            self._drop(number, [usage.segment for usage in worn])
            self._db.scrub()
            _, after = self._usage(bank)
        return CompactReport(
            bytes_before=sum(usage.bytes for usage in before),
            bytes_after=sum(usage.bytes for usage in after),
            documents=moved,
            segments_before=len(before),
            segments_after=len(after),
        )

    def _batches(
        self, table: BlockTable, usages: Sequence[SegmentUsage]
    ) -> Iterator[tuple[str, list[int]]]:
        """Live rows of some segments, with their identity, in runs that fit into one file."""
        for identity, group in groupby(sorted(usages, key=_identity), key=_identity):
            batch: list[int] = []
            held = 0
            for usage in group:
                for row_id, size in self._live(table, usage.segment):
                    if batch and held + size > MAX_SEGMENT_BYTES:
                        yield identity, batch
                        batch, held = [], 0
                    batch.append(row_id)
                    held += size
            if batch:
                yield identity, batch

    def _live(self, table: BlockTable, segment: str) -> list[tuple[int, int]]:
        query = select(table.row_id, table.bytes).order_by(table.row_start)
        with self._db.read() as session:
            rows = session.execute(query.where(table.segment == segment))
            return [(row[0], row[1]) for row in rows]

    def _move(
        self, bank: str, number: int, table: BlockTable, identity: str, row_ids: Sequence[int]
    ) -> int:
        """Copy blocks into a new segment and let their rows name it; how many."""
        blocks: list[BlockRow] = []
        tensors: list[Tensors] = []
        corrupt: list[int] = []
        for block, result in self._load(bank, self._block_rows(bank, row_ids, table)):
            if isinstance(result, dict):
                blocks.append(block)
                tensors.append(result)
            elif isinstance(result, CorruptBlock):
                corrupt.append(block.row_id)
        if corrupt:
            self.requeue(corrupt, "the block was corrupt")
        if not blocks:
            return 0
        segment = uuid4().hex
        path = self._segment_path(number, segment)
        written = write_segment(path, tensors, {IDENTITY_KEY: identity})
        with self._db.write() as session:
            places = _still_there(session, number, table, segment, blocks, written)
            if places:
                name_segment(session, number, segment, identity, written)
                session.execute(update(table), places)
        if not places:
            path.unlink(missing_ok=True)
        return len(places)

    def _drop(self, number: int, segments: Sequence[str]) -> None:
        """Delete segments that no block names any more, first the rows, then the files."""
        self._handles.retire(list(segments))
        empty: list[str] = []
        with self._db.write() as session:
            for some in chunked(segments, BATCH):
                used: set[str] = set()
                for table in _TABLES:
                    query = select(table.segment).distinct().where(table.segment.in_(some))
                    used.update(session.scalars(query))
                unused = [segment for segment in some if segment not in used]
                session.execute(delete(SegmentRow).where(SegmentRow.segment.in_(unused)))
                empty += unused
        for segment in empty:
            self._segment_path(number, segment).unlink(missing_ok=True)
        if empty:
            with suppress(FileNotFoundError):  # the bank was deleted meanwhile
                sync_directory(self._bank_folder(number))


def _identity(usage: SegmentUsage) -> str:
    return usage.identity


def _still_there(
    session: Session,
    number: int,
    table: BlockTable,
    segment: str,
    blocks: Sequence[BlockRow],
    written: WrittenSegment,
) -> list[dict[str, int | str]]:
    """New places of those blocks that nobody has deleted or replaced since they were copied."""
    if session.get(BankRow, number) is None:
        return []
    query = select(table.row_id, table.segment)
    now_at = {
        row[0]: row[1]
        for some in chunked([block.row_id for block in blocks], BATCH)
        for row in session.execute(query.where(table.row_id.in_(some)))
    }
    return [
        {"row_id": block.row_id, "segment": segment, "row_start": span.start}
        for block, span in zip(blocks, written.spans, strict=True)
        if now_at.get(block.row_id) == block.segment
    ]
