"""Finding blocks and reading them back.

Knows block rows and open segment files; knows nothing of what the tensors mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import Select, select

from memsvc_storage.core import BATCH, StoreCore, bank_id
from memsvc_storage.errors import BlockGone, CorruptBlock
from memsvc_storage.handles import SegmentUnknown
from memsvc_storage.models import BlockTable, DocumentRow, SegmentRow, StoredBlock
from memsvc_storage.rows import BlockRow, chunked
from memsvc_storage.segments import SegmentDamaged, Span


class BlockReads(StoreCore):
    """The verbs that read blocks."""

    def live_blocks(self, bank: str, identity_digest: str) -> list[BlockRow]:
        """The blocks of READY documents made by this identity, by row. Raises BankNotFound."""
        with self._db.read() as session:
            query = _blocks(StoredBlock).where(
                SegmentRow.bank_id == bank_id(session, bank),
                SegmentRow.identity == identity_digest,
                DocumentRow.state == "READY",
            )
            return [BlockRow(*row) for row in session.execute(query)]

    def block_rows(self, bank: str, row_ids: Sequence[int]) -> list[BlockRow]:
        """Where some documents' blocks lie now; documents without a block are left out."""
        return self._block_rows(bank, row_ids, StoredBlock)

    def _block_rows(self, bank: str, row_ids: Sequence[int], table: BlockTable) -> list[BlockRow]:
        found: list[BlockRow] = []
        with self._db.read() as session:
            query = _blocks(table).where(DocumentRow.bank_id == bank_id(session, bank))
            for some in chunked(row_ids, BATCH):
                rows = session.execute(query.where(table.row_id.in_(some)))
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


def _blocks(table: BlockTable) -> Select[int, str, int, str, int, int, dict[str, int], int, str]:
    """The columns of `BlockRow`, by row."""
    return (
        select(
            table.row_id,
            DocumentRow.document_id,
            table.revision,
            table.segment,
            table.row_start,
            table.rows,
            table.crc,
            table.tokens,
            SegmentRow.identity,
        )
        .join(DocumentRow, DocumentRow.row_id == table.row_id)
        .join(SegmentRow, SegmentRow.segment == table.segment)
        .order_by(table.row_id)
    )
