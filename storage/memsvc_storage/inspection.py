"""Verification and statistics of a bank's blocks and files.

Knows segments, blocks and checksums; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import func, select, union_all

from memsvc_storage.block_writes import BlockWrites
from memsvc_storage.core import bank_id
from memsvc_storage.errors import BlockGone, CorruptBlock
from memsvc_storage.models import BlockTable, DocumentRow, NextBlock, SegmentRow, StoredBlock
from memsvc_storage.rows import BankStats, BlockRow, VerifyReport, chunked

VERIFY_BATCH = 64  # blocks read at once

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class SegmentUsage:
    """A segment and how much of it lives."""

    segment: str
    identity: str
    bytes: int
    rows: int
    live_rows: int
    live_blocks: int

    @property
    def dead_fraction(self) -> float:
        if self.live_blocks == 0:
            return 1.0
        return 1 - self.live_rows / self.rows if self.rows else 0.0


class InspectionVerbs(BlockWrites):
    """The verbs that look at a bank's blocks and files."""

    def verify(self, bank: str) -> VerifyReport:
        """Read every block of a bank against its checksums, those of a re-encoding under way, too
        (which are not counted). Raises BankNotFound."""
        with self._db.read() as session:
            where = DocumentRow.bank_id == bank_id(session, bank)
            count = select(func.count()).select_from(DocumentRow).where(where)
            documents = session.scalar(count) or 0
            rows, following = (
                list(session.scalars(select(table.row_id).join(DocumentRow).where(where)))
                for table in (StoredBlock, NextBlock)
            )
            ready = select(DocumentRow.row_id).where(where, DocumentRow.state == "READY")
            missing = set(session.scalars(ready)) - set(rows)
        corrupt: set[int] = set()
        tables: tuple[tuple[BlockTable, list[int]], ...] = (
            (StoredBlock, rows),
            (NextBlock, following),
        )
        for table, row_ids in tables:
            for some in chunked(row_ids, VERIFY_BATCH):
                self._verify(bank, self._block_rows(bank, some, table), corrupt, missing)
        return VerifyReport(documents, len(rows), sorted(corrupt), sorted(missing))

    def _verify(
        self, bank: str, blocks: Sequence[BlockRow], corrupt: set[int], missing: set[int]
    ) -> None:
        for block, result in self._load(bank, blocks):
            if isinstance(result, CorruptBlock):
                place = self._locate(block.segment)
                gone = place is not None and not place[0].exists()
                (missing if gone else corrupt).add(block.row_id)

    def stats(self, bank: str) -> BankStats:
        """Raises BankNotFound."""
        _, usages = self._usage(bank)
        with self._db.read() as session:
            rows = session.execute(
                select(DocumentRow.state, func.count())
                .where(DocumentRow.bank_id == bank_id(session, bank))
                .group_by(DocumentRow.state)
            )
            states = {row[0]: row[1] for row in rows}
        size = sum(usage.bytes for usage in usages)
        dead = sum(usage.bytes * usage.dead_fraction for usage in usages)
        return BankStats(
            pending=states.get("PENDING", 0),
            ready=states.get("READY", 0),
            failed=states.get("FAILED", 0),
            segments=len(usages),
            disk_bytes=size,
            dead_fraction=dead / size if size else 0.0,
        )

    def encoded_sizes(self, bank: str, identity_digest: str) -> tuple[int, int, int]:
        """Documents, chunks and tokens of the bank's blocks of this identity. Raises
        BankNotFound."""
        query = (
            select(func.count(), func.sum(StoredBlock.rows), func.sum(StoredBlock.tokens))
            .select_from(StoredBlock)
            .join(SegmentRow, SegmentRow.segment == StoredBlock.segment)
        )
        with self._db.read() as session:
            where = SegmentRow.bank_id == bank_id(session, bank)
            row = session.execute(query.where(where, SegmentRow.identity == identity_digest)).one()
        return row[0], int(row[1] or 0), int(row[2] or 0)

    def _usage(self, bank: str) -> tuple[int, list[SegmentUsage]]:
        """The bank's number and its segments."""
        with self._db.read() as session:
            number = bank_id(session, bank)
            live = union_all(
                *(select(table.segment, table.rows) for table in (StoredBlock, NextBlock))
            ).subquery()
            query = (
                select(
                    SegmentRow.segment,
                    SegmentRow.identity,
                    SegmentRow.bytes,
                    SegmentRow.rows,
                    func.coalesce(func.sum(live.c.rows), 0),
                    func.count(live.c.segment),
                )
                .outerjoin(live, live.c.segment == SegmentRow.segment)
                .where(SegmentRow.bank_id == number)
                .group_by(SegmentRow.segment)
            )
            return number, [SegmentUsage(*row) for row in session.execute(query)]

    def _load(
        self, bank: str, blocks: Sequence[BlockRow]
    ) -> Iterator[tuple[BlockRow, Tensors | CorruptBlock | BlockGone]]:
        """Blocks with all their tensors, or with what is wrong with them."""
        names = sorted({name for block in blocks for name in block.crc})
        columns = [self._read_each(bank, blocks, name) for name in names]
        for index, block in enumerate(blocks):
            tensors: Tensors = {}
            problem: CorruptBlock | BlockGone | None = None
            for name, column in zip(names, columns, strict=True):
                result = column[index]
                if isinstance(result, (CorruptBlock, BlockGone)):
                    problem = result
                else:
                    tensors[name] = result
            yield block, problem or tensors
