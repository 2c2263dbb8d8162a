"""Turns: reading them in their order.

Knows the rows of turns; how they come to be stands in `appending`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, or_, select, update
from sqlalchemy.orm import Session as SqlSession

from memsvc_storage.core import BATCH, StoreCore
from memsvc_storage.lineage import IN_PART, find_session, parts_of
from memsvc_storage.models import DocumentRow, TextRow
from memsvc_storage.rows import Page, chunked
from memsvc_storage.session_models import PartRow, SessionRow, TurnRow
from memsvc_storage.session_rows import ToolCall, Turn


class TurnReads(StoreCore):
    """The verb that reads turns."""

    def list_turns(
        self,
        bank: str,
        session_id: str,
        limit: int,
        after_key: str | None = None,
        newest_first: bool = False,
    ) -> Page[Turn]:
        """Turns in their order, those that are shared first. Forgotten ones leave gaps.

        Raises BankNotFound, SessionNotFound, ValueError on a key that is not ours.
        """
        order = TurnRow.position.desc() if newest_first else TurnRow.position
        items: list[Turn] = []
        with self._db.read() as session:
            parts = parts_of(session, find_session(session, bank, session_id).id)
            # Part by part, as each of them is a run of its own in the index.
            for number, up_to in reversed(parts) if newest_first else parts:
                query = _turns().where(TurnRow.number == number, TurnRow.position <= up_to)
                if after_key is not None:
                    at = int(after_key)
                    beyond = TurnRow.position < at if newest_first else TurnRow.position > at
                    query = query.where(beyond)
                missing = limit + 1 - len(items)
                rows = session.execute(query.order_by(order).limit(missing))
                items += [_to_turn(row) for row in rows]
        return Page(items[:limit], str(items[limit - 1].position) if len(items) > limit else None)


def reword_turn(session: SqlSession, row_id: int, text: str) -> None:
    """Let a turn, if the document is one, say what its document says now, and nothing else."""
    changes = update(TurnRow).where(TurnRow.row_id == row_id)
    session.execute(changes.values(content=text, tool_calls=[]))


def last_said(session: SqlSession, row: SessionRow) -> tuple[int, str] | None:
    """Row and text of the document of a session's last turn, of those that live as long as what
    is appended to it now."""
    until = DocumentRow.expire_time
    lasting = (
        until.is_(None)
        if row.expire_time is None
        else or_(until.is_(None), until >= row.expire_time)
    )
    query = (
        select(TurnRow.row_id, TextRow.text)
        .join(PartRow, IN_PART)
        .join(DocumentRow, DocumentRow.row_id == TurnRow.row_id)
        .join(TextRow, TextRow.row_id == TurnRow.row_id)
        .where(PartRow.number == row.id, lasting)
        .order_by(TurnRow.position.desc())
        .limit(1)
    )
    found = session.execute(query).first()
    return None if found is None else (found.row_id, found.text)


def turns_named(session: SqlSession, number: int, names: Sequence[str]) -> dict[str, Turn]:
    """Those turns of a session that have these ids."""
    found: dict[str, Turn] = {}
    query = _turns().join(PartRow, IN_PART).where(PartRow.number == number)
    for some in chunked(names, BATCH):
        for row in session.execute(query.where(TurnRow.turn_id.in_(some))):
            found[row.TurnRow.turn_id] = _to_turn(row)
    return found


def _turns() -> Select[*tuple[Any, ...]]:
    return (
        select(TurnRow, SessionRow.session_id, DocumentRow.document_id, DocumentRow.create_time)
        .join(SessionRow, SessionRow.id == TurnRow.number)
        .join(DocumentRow, DocumentRow.row_id == TurnRow.row_id)
    )


def _to_turn(found: Row[*tuple[Any, ...]]) -> Turn:
    row: TurnRow = found.TurnRow
    return Turn(
        found.session_id,
        row.turn_id,
        row.role,
        row.content,
        tuple(ToolCall(**call) for call in row.tool_calls),
        row.time,
        row.position,
        found.document_id,
        found.create_time,
    )
