"""Bringing a bank from the blocks of one identity to those of another.

Beside the blocks that serve, those of the other identity are collected in `next_blocks`; once no
document lacks one, they take their place in one commit. Where nothing can serve the old blocks,
they are dropped and the documents wait. Knows rows; nothing of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from memsvc_storage.block_writes import BlockWrites, Wanted, of_revision, requeue_documents
from memsvc_storage.core import (
    BATCH,
    bank_id,
    count_kv_bytes,
    find_bank,
    now,
    to_document,
    within,
)
from memsvc_storage.models import (
    BankRow,
    BlockTable,
    DocumentRow,
    IdentityRow,
    NextBlock,
    OperationRow,
    SegmentRow,
    StoredBlock,
    TextRow,
)
from memsvc_storage.operations import FINISHED, begin, settle, to_operation
from memsvc_storage.rows import Document, Encoded, Fenced, Operation, chunked

_QUIETLY = {"synchronize_session": False}
_COLUMNS = tuple(column.name for column in StoredBlock.__table__.columns)


class ReencodingVerbs(BlockWrites):
    """The verbs that change what a bank's blocks are made by."""

    def identity(self, digest: str) -> dict[str, Any] | None:
        """How the model described itself whose identity has this digest; None if unknown here."""
        with self._db.read() as session:
            row = session.get(IdentityRow, digest)
            return None if row is None else dict(row.body)

    def identities(self) -> set[str]:
        """The identities that the blocks of all banks are of."""
        with self._db.read() as session:
            return {one for one in session.scalars(select(BankRow.identity)) if one is not None}

    def outdated(self) -> list[str]:
        """Banks that hold segments of another identity than the one that serves, by name."""
        query = (
            select(BankRow.name)
            .join(SegmentRow, SegmentRow.bank_id == BankRow.id)
            .where(SegmentRow.identity != BankRow.identity)
            .distinct()
        )
        with self._db.read() as session:
            return sorted(session.scalars(query))

    def reencoding(self, bank: str) -> Operation | None:
        """The operation that is bringing the bank to another identity. Raises BankNotFound."""
        with self._db.read() as session:
            row = _unfinished(session, find_bank(session, bank))
            return None if row is None else to_operation(row)

    def fence(self, current: str, served: str | None = None) -> list[Fenced]:
        """Begin, or go on, to bring every bank to the identity `current`; those under way.

        Blocks of the identity `served` go on serving until `promote`; all others are dropped, and
        their documents are PENDING under the bank's operation. What had been collected for
        `current` before a restart is kept, whichever way it goes on.
        """
        with self._db.write() as session:
            fenced = []
            for bank in session.scalars(select(BankRow).order_by(BankRow.id)):
                operation = _fence(session, bank, current, served)
                if operation is not None:
                    serving = bank.identity != current
                    fenced.append(Fenced(bank.name, operation.operation_id, serving))
            return fenced

    def unmatched(
        self,
        bank: str,
        limit_docs: int,
        limit_chars: int,
        after: int = -1,
        but: Mapping[int, int] | None = None,
    ) -> list[Document]:
        """READY documents without a next block, with text, by row from beyond row `after`.

        At least one if there is any, however long. `but`: revisions by row that are not wanted.
        Raises BankNotFound.
        """
        with self._db.read() as session:
            lacking = _lacking(session, bank_id(session, bank), after, but or {}, limit_docs)
            sizes = select(TextRow.row_id, func.length(TextRow.text))
            rows = session.execute(
                sizes.where(TextRow.row_id.in_(lacking)).order_by(TextRow.row_id)
            )
            chosen = within([(row[0], row[1]) for row in rows], limit_chars)
            query = select(DocumentRow, TextRow.text).join(TextRow).order_by(DocumentRow.row_id)
            found = session.execute(query.where(DocumentRow.row_id.in_(chosen))).all()
            return [to_document(bank, row, text) for row, text in found]

    def commit_next(
        self, bank: str, identity_json: Mapping[str, Any], encoded: Sequence[Encoded]
    ) -> int:
        """Make next blocks of READY documents durable; how many. The bank's operation counts them.

        Documents deleted or changed meanwhile are skipped, and all of them where this identity
        serves already. Raises BankNotFound, or ValueError if the tensors do not fit together.
        """
        return len(self._write_blocks(bank, identity_json, encoded, _matched, _attach_next))

    def promote(self, bank: str, digest: str, failed: Mapping[int, tuple[int, str]]) -> bool:
        """Let the next blocks serve, and nothing else, in one commit; False if any is lacking.

        `failed`: (revision, reason) by row of documents that cannot have one: they become FAILED.
        The old blocks are dead from then on. Raises BankNotFound.
        """
        with self._db.write() as session:
            row = find_bank(session, bank)
            but = {row_id: revision for row_id, (revision, _) in failed.items()}
            if row.identity == digest or _lacking(session, row.id, -1, but, 1):
                return False
            lost = _fail(session, row.id, failed)
            _take_over(session, row.id)
            row.identity = digest
            operation = _unfinished(session, row)
            if operation is not None:
                operation.total = max(operation.total, operation.done + lost)
                operation.failed, operation.done = lost, operation.total - lost
                operation.state = "FAILED" if lost and not operation.done else "DONE"
                operation.update_time = now()
            return True


def _fence(
    session: Session, bank: BankRow, current: str, served: str | None
) -> OperationRow | None:
    """The operation under way for one bank, None where `current` serves all of it."""
    operation = _unfinished(session, bank)
    waited = operation is not None and _waiting(session, operation) > 0
    foreign = bank.identity is not None and bank.identity != current
    ready = select(DocumentRow.row_id).where(
        DocumentRow.bank_id == bank.id, DocumentRow.state == "READY"
    )
    rows = list(session.scalars(ready)) if foreign else []
    if not rows:
        bank.identity = current if foreign else bank.identity
        _drop_next(session, bank.id)
        if operation is not None and not waited:  # what it was for has gone again
            operation.state, operation.update_time = "CANCELLED", now()
        return operation if waited else None
    _drop_next(session, bank.id, but=current)
    if operation is None:
        operation = begin(session, bank.name, "REENCODE", len(rows))
        bank.reencode_operation = operation.operation_id
    # A bank that was on its way already holds but a part of its documents: it cannot serve.
    if waited or bank.identity != served:
        _drop_serving(session, bank, current, rows, operation)
    return operation


def _drop_serving(
    session: Session, bank: BankRow, current: str, ready: Sequence[int], operation: OperationRow
) -> None:
    """Nothing can serve the bank's blocks: its documents wait, but for those with a next block."""
    following = set(session.scalars(select(NextBlock.row_id).where(_in_bank(NextBlock, bank.id))))
    waiting = [row_id for row_id in ready if row_id not in following]
    requeue_documents(session, waiting, "", operation.operation_id)
    _take_over(session, bank.id)
    bank.identity = current
    left = _waiting(session, operation)
    done = max(operation.done, len(following))
    operation.total = max(operation.total, done + operation.failed + left)
    # Documents deleted since somebody last counted are done, too.
    more = operation.total - operation.done - operation.failed - left
    settle(session, done=Counter({operation.operation_id: more}))


def _take_over(session: Session, number: int) -> None:
    """Next blocks become the bank's only blocks."""
    session.flush()
    session.execute(
        delete(StoredBlock).where(_in_bank(StoredBlock, number)), execution_options=_QUIETLY
    )
    following = select(*(getattr(NextBlock, name) for name in _COLUMNS))
    session.execute(
        insert(StoredBlock).from_select(_COLUMNS, following.where(_in_bank(NextBlock, number)))
    )
    _drop_next(session, number)
    block = select(StoredBlock).where(StoredBlock.row_id == DocumentRow.row_id)
    session.execute(
        update(DocumentRow)
        .where(DocumentRow.bank_id == number, DocumentRow.state == "READY")
        .values(
            tokens=block.with_only_columns(StoredBlock.tokens).scalar_subquery(),
            chunks=block.with_only_columns(StoredBlock.rows).scalar_subquery(),
        ),
        execution_options=_QUIETLY,
    )
    count_kv_bytes(session, BankRow.id == number)


def _drop_next(session: Session, number: int, but: str | None = None) -> None:
    """Forget the bank's next blocks, except for those of the identity `but`."""
    statement = delete(NextBlock).where(_in_bank(NextBlock, number))
    if but is not None:
        ours = select(SegmentRow.segment).where(
            SegmentRow.bank_id == number, SegmentRow.identity == but
        )
        statement = statement.where(NextBlock.segment.not_in(ours))
    session.execute(statement, execution_options=_QUIETLY)


def _fail(session: Session, number: int, failed: Mapping[int, tuple[int, str]]) -> int:
    """Make READY documents FAILED, at these revisions and for these reasons; how many."""
    count = 0
    for row_id, (revision, reason) in failed.items():
        row = session.get(DocumentRow, row_id)
        if row is None or (row.bank_id, row.revision, row.state) != (number, revision, "READY"):
            continue
        row.state, row.error, row.tokens, row.chunks = "FAILED", reason, None, None
        count += 1
    return count


def _matched(session: Session, number: int, digest: str, encoded: Sequence[Encoded]) -> Wanted:
    serving = session.scalar(select(BankRow.identity).where(BankRow.id == number))
    return {} if serving in (None, digest) else of_revision(session, number, encoded, "READY")


def _attach_next(
    session: Session, number: int, digest: str, wanted: Wanted, columns: Sequence[dict[str, Any]]
) -> None:
    del digest, wanted  # named in the segment; nobody waits for single documents
    for some in chunked(columns, BATCH):
        rows = [column["row_id"] for column in some]
        session.execute(delete(NextBlock).where(NextBlock.row_id.in_(rows)))
        session.execute(insert(NextBlock), some)
    bank = session.get(BankRow, number)
    operation = None if bank is None else _unfinished(session, bank)
    if operation is not None:
        have = select(func.count()).where(_in_bank(NextBlock, number))
        operation.done = max(operation.done, session.scalar(have) or 0)
        ready = select(func.count()).where(
            DocumentRow.bank_id == number, DocumentRow.state == "READY"
        )
        operation.total = max(operation.total, operation.done, session.scalar(ready) or 0)
        operation.state, operation.update_time = "RUNNING", now()


def _in_bank(table: BlockTable, number: int) -> ColumnElement[bool]:
    return table.row_id.in_(select(DocumentRow.row_id).where(DocumentRow.bank_id == number))


def _lacking(
    session: Session, number: int, after: int, but: Mapping[int, int], limit: int
) -> list[int]:
    """The first READY documents without a next block beyond a row, other than these revisions."""
    query = select(DocumentRow.row_id, DocumentRow.revision).where(
        DocumentRow.bank_id == number,
        DocumentRow.state == "READY",
        DocumentRow.row_id > after,
        ~exists().where(NextBlock.row_id == DocumentRow.row_id),
    )
    rows = session.execute(query.order_by(DocumentRow.row_id).limit(limit + len(but)))
    return [row.row_id for row in rows if but.get(row.row_id) != row.revision][:limit]


def _waiting(session: Session, operation: OperationRow) -> int:
    """Documents that are PENDING under an operation."""
    under = select(func.count()).where(DocumentRow.operation_id == operation.operation_id)
    return session.scalar(under) or 0


def _unfinished(session: Session, bank: BankRow) -> OperationRow | None:
    if bank.reencode_operation is None:
        return None
    row = session.get(OperationRow, bank.reencode_operation)
    return None if row is None or row.state in FINISHED else row
