"""Titles that quote the turn before: kept in mind, so that the quotation goes when that turn goes.

Knows the rows of quotations, documents and versions; nothing of how a title quotes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from memsvc_storage.core import BATCH, StoreCore, now, text_size
from memsvc_storage.dropping import drop_blocks, revise
from memsvc_storage.ids import new_etag
from memsvc_storage.models import BankRow, DocumentRow
from memsvc_storage.rows import chunked
from memsvc_storage.session_models import QuoteRow, VersionRow

Quoting = Callable[[str, str], str]
"""Makes of a turn's title and the text of the turn before it a title that quotes that text."""


class QuoteVerbs(StoreCore):
    """The verb that tells who quotes whom."""

    def quoting(self, row_ids: Sequence[int]) -> list[int]:
        """Rows of the documents whose titles quote these, or did so until these were deleted or
        said something else."""
        with self._db.read() as session:
            return [
                row_id
                for some in chunked(row_ids, BATCH)
                for row_id in session.scalars(
                    select(QuoteRow.row_id).where(QuoteRow.quoted.in_(some))
                )
            ]


def keep_quotes(session: Session, quotes: Sequence[tuple[int, int, str, str]]) -> None:
    """Keep in mind (row, row quoted, title that quotes, title without it)."""
    names = ("row_id", "quoted", "told", "plain")
    values: list[dict[str, Any]] = [dict(zip(names, quote, strict=True)) for quote in quotes]
    if values:
        session.execute(insert(QuoteRow), values)


def quote_no_more(session: Session, number: int, row_ids: Sequence[int]) -> None:
    """Titles that quote these documents of the bank of this number lose the quotation, and their
    documents wait to be encoded anew. Titles that somebody has changed since stay as they are."""
    going = set(row_ids)
    for some in chunked(row_ids, BATCH):
        query = select(QuoteRow).where(QuoteRow.quoted.in_(some), QuoteRow.told != "")
        for quote in session.scalars(query).all():
            if quote.row_id not in going:
                _shorten(session, number, quote)
    session.flush()


def _shorten(session: Session, number: int, quote: QuoteRow) -> None:
    versions = select(VersionRow).where(
        VersionRow.row_id == quote.row_id, VersionRow.title == quote.told
    )
    document = select(DocumentRow).where(
        DocumentRow.row_id == quote.row_id, DocumentRow.title == quote.told
    )
    titled: list[VersionRow | DocumentRow] = list(session.scalars(versions))
    current = session.scalar(document)
    if current is not None:
        titled.append(current)
        drop_blocks(session, number, [current.row_id])
        revise(current)
        current.etag, current.update_time = new_etag(), now()
    less = text_size(quote.told, "") - text_size(quote.plain, "")
    for row in titled:
        row.title = quote.plain
        row.text_bytes -= less
    fewer = BankRow.text_bytes - less * len(titled)
    session.execute(update(BankRow).where(BankRow.id == number).values(text_bytes=fewer))
    quote.told = ""
