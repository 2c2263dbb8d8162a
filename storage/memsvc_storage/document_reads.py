"""Finding and reading documents.

Knows document rows; knows nothing of blocks or files. Texts are loaded only where asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, func, or_, select, true
from sqlalchemy.orm import Session

from memsvc_storage.core import (
    BATCH,
    FACTS,
    StoreCore,
    bank_id,
    to_document,
    unexpired,
    within,
)
from memsvc_storage.errors import DocumentNotFound
from memsvc_storage.models import BankRow, DocumentRow, TextRow
from memsvc_storage.rows import Document, Page, chunked

_BANKS, _DOCUMENTS, _BODIES = (row.__table__ for row in (BankRow, DocumentRow, TextRow))
# Read for every question: tables, not mapped classes, and made once, as SQLAlchemy takes longer to
# put a statement together than SQLite does to carry it out.
_TEXTS = (
    select(_DOCUMENTS.c.row_id, _DOCUMENTS.c.title, _DOCUMENTS.c.revision, _BODIES.c.text)
    .join(_BODIES, _BODIES.c.row_id == _DOCUMENTS.c.row_id)
    .join(_BANKS, _BANKS.c.id == _DOCUMENTS.c.bank_id)
    .where(
        _BANKS.c.name == bindparam("bank"),
        _DOCUMENTS.c.row_id.in_(bindparam("rows", expanding=True)),
    )
)


class DocumentReads(StoreCore):
    """The verbs that read documents."""

    def get_document(self, bank: str, document_id: str) -> Document:
        """A document with its text. Raises BankNotFound, DocumentNotFound."""
        with self._db.read() as session:
            row = session.execute(
                _facts(with_text=True).where(
                    DocumentRow.bank_id == bank_id(session, bank),
                    DocumentRow.document_id == document_id,
                    unexpired(DocumentRow.expire_time),
                )
            ).one_or_none()
        if row is None:
            raise DocumentNotFound(bank, document_id)
        return to_document(bank, row, row.text)

    def list_documents(
        self,
        bank: str,
        limit: int,
        after_key: str | None = None,
        with_text: bool = False,
        predicate: Callable[[Document], bool] | None = None,
    ) -> Page[Document]:
        """Documents in the order they were added; scans on until `limit` of them match.

        Raises BankNotFound, ValueError on a key that is not ours.
        """
        found: list[Document] = []
        after = -1 if after_key is None else int(after_key)
        step = limit + 1 if predicate is None else max(BATCH, limit + 1)
        while len(found) <= limit:
            with self._db.read() as session:
                rows = self._page(session, bank, after, step, with_text)
            documents = [to_document(bank, row, row.text if with_text else "") for row in rows]
            found += [document for document in documents if not predicate or predicate(document)]
            if len(rows) < step:
                break
            after = rows[-1].row_id
        return Page(found[:limit], str(found[limit - 1].row_id) if len(found) > limit else None)

    def _page(
        self, session: Session, bank: str, after: int, count: int, with_text: bool
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        query = _facts(with_text).where(
            DocumentRow.bank_id == bank_id(session, bank),
            DocumentRow.row_id > after,
            unexpired(DocumentRow.expire_time),
        )
        return session.execute(query.order_by(DocumentRow.row_id).limit(count)).all()

    def facts(self, bank: str, row_ids: Sequence[int] | None) -> list[Document]:
        """Documents without text, by row: some, or all of the bank. Raises BankNotFound."""
        with self._db.read() as session:
            query = _facts().where(DocumentRow.bank_id == bank_id(session, bank))
            if row_ids is None:
                rows = list(session.execute(query))
            else:
                rows = [
                    row
                    for some in chunked(row_ids, BATCH)
                    for row in session.execute(query.where(DocumentRow.row_id.in_(some)))
                ]
        return [to_document(bank, row) for row in sorted(rows, key=lambda row: int(row.row_id))]

    def texts(self, bank: str, row_ids: Sequence[int]) -> dict[int, tuple[str, str, int]]:
        """Title, text and revision by row; deleted documents are left out, and all of a bank that
        is not there."""
        found: dict[int, tuple[str, str, int]] = {}
        with self._db.look() as connection:
            for some in chunked(row_ids, BATCH):
                for row in connection.execute(_TEXTS, {"bank": bank, "rows": some}):
                    found[row.row_id] = (row.title, row.text, row.revision)
        return found

    def expired(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """(bank, document id) of documents whose time has come, longest expired first."""
        query = (
            select(BankRow.name, DocumentRow.document_id)
            .join(BankRow, BankRow.id == DocumentRow.bank_id)
            .where(DocumentRow.expire_time <= now)
            .order_by(DocumentRow.expire_time, DocumentRow.row_id)
            .limit(limit)
        )
        with self._db.read() as session:
            return [(row.name, row.document_id) for row in session.execute(query)]

    def pending(
        self,
        limit_docs: int,
        limit_chars: int,
        identities: Collection[str | None] | None = None,
        skip: Collection[int] = (),
    ) -> list[Document]:
        """The next documents to encode, with text: the oldest, and more of the same bank.

        At least one if any is PENDING, however long it is. `identities`: only of banks whose
        blocks these made (None among them: of banks that have had no block yet). `skip`: rows that
        somebody has in hand.
        """
        waiting = and_(DocumentRow.state == "PENDING", DocumentRow.row_id.not_in(skip))
        if identities is not None:
            known = BankRow.identity.in_([one for one in identities if one is not None])
            ours = or_(known, BankRow.identity.is_(None)) if None in identities else known
        else:
            ours = true()
        with self._db.read() as session:
            first = session.execute(
                select(BankRow.id, BankRow.name)
                .join(DocumentRow, DocumentRow.bank_id == BankRow.id)
                .where(waiting, ours)
                .order_by(DocumentRow.row_id)
                .limit(1)
            ).one_or_none()
            if first is None:
                return []
            sizes = session.execute(
                select(DocumentRow.row_id, func.length(TextRow.text))
                .join(TextRow, TextRow.row_id == DocumentRow.row_id)
                .where(DocumentRow.bank_id == first.id, waiting)
                .order_by(DocumentRow.row_id)
                .limit(limit_docs)
            ).all()
            chosen = within([(row[0], row[1]) for row in sizes], limit_chars)
            query = _facts(with_text=True).where(DocumentRow.row_id.in_(chosen))
            rows = session.execute(query.order_by(DocumentRow.row_id)).all()
        return [to_document(first.name, row, row.text) for row in rows]


def _facts(with_text: bool = False) -> Select[*tuple[Any, ...]]:
    if not with_text:
        return select(*FACTS)
    return select(*FACTS, TextRow.text).join(TextRow, TextRow.row_id == DocumentRow.row_id)
