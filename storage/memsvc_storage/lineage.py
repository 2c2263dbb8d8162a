"""Which turns a session has: its own, and those that it shares with the sessions it came from.

Knows the rows of sessions and turns; knows nothing of documents nor of what turns say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Row, and_, func, select
from sqlalchemy.orm import Session as SqlSession

from memsvc_storage.core import BATCH, bank_id, now
from memsvc_storage.errors import SessionNotFound
from memsvc_storage.rows import Scalar, chunked
from memsvc_storage.session_models import PartRow, SessionRow, TurnRow
from memsvc_storage.session_rows import Session

ENDLESS = 2**62  # the last position of a session's own part
IN_PART = and_(TurnRow.number == PartRow.part, TurnRow.position <= PartRow.up_to)
"""Joins parts with the turns that belong to them."""


def find_session(
    session: SqlSession, bank: str, session_id: str, even_expired: bool = False
) -> SessionRow:
    """The session's row. Raises BankNotFound, SessionNotFound."""
    query = select(SessionRow).where(
        SessionRow.bank_id == bank_id(session, bank), SessionRow.session_id == session_id
    )
    row = session.scalar(query)
    if row is None or (is_expired(row) and not even_expired):
        raise SessionNotFound(bank, session_id)
    return row


def is_expired(row: SessionRow) -> bool:
    """Whether its time has come."""
    return row.expire_time is not None and row.expire_time <= now()


def parts_of(session: SqlSession, number: int) -> list[tuple[int, int]]:
    """(session, last position) of the parts that a session's turns are in, oldest first."""
    query = select(PartRow.part, PartRow.up_to).where(PartRow.number == number)
    return [(row.part, row.up_to) for row in session.execute(query.order_by(PartRow.up_to))]


def parts_up_to(parts: Sequence[tuple[int, int]], position: int) -> list[tuple[int, int]]:
    """Those parts that hold the turns up to a position."""
    shared: list[tuple[int, int]] = []
    for part, up_to in parts:
        shared.append((part, min(up_to, position)))
        if up_to >= position:
            break
    return shared


def turn_at(session: SqlSession, number: int, turn_id: str = "") -> tuple[str, int]:
    """A session's turn of this id ("": the last one) and its position; ("", -1) if it has none."""
    query = select(TurnRow.turn_id, TurnRow.position).join(PartRow, IN_PART)
    query = query.where(PartRow.number == number).order_by(TurnRow.position.desc()).limit(1)
    found = session.execute(query.where(TurnRow.turn_id == turn_id) if turn_id else query).first()
    return ("", -1) if found is None else (found.turn_id, found.position)


def to_sessions(session: SqlSession, bank: str, rows: Sequence[SessionRow]) -> list[Session]:
    """Sessions as they are handed out."""
    counts: dict[int, tuple[int, str]] = {}
    lineages: dict[int, list[tuple[str, int]]] = {}
    for some in chunked([row.id for row in rows], BATCH):
        counts.update((row.number, (row.turns, row.turn_id)) for row in _counted(session, some))
        query = (
            select(PartRow.number, SessionRow.session_id, PartRow.up_to)
            .join(SessionRow, SessionRow.id == PartRow.part)
            .where(PartRow.number.in_(some), PartRow.part != PartRow.number)
        )
        for part in session.execute(query.order_by(PartRow.up_to)):
            lineages.setdefault(part.number, []).append((part.session_id, part.up_to))
    return [
        Session(
            bank,
            row.session_id,
            row.agent,
            cast("dict[str, Scalar]", row.meta),
            row.expire_time,
            *counts.get(row.id, (0, "")),
            row.forked_from,
            row.forked_at,
            row.end_time,
            row.create_time,
            row.update_time,
            tuple(lineages.get(row.id, ())),
        )
        for row in rows
    ]


def _counted(session: SqlSession, numbers: Sequence[int]) -> Sequence[Row[int, int, str]]:
    """Sessions that have turns: `turns` of them, and the id of the last one. Counted, not kept as
    a column: turns vanish with their documents, in every fork at once."""
    totals = (
        select(
            PartRow.number.label("number"),
            func.count().label("turns"),
            func.max(TurnRow.position).label("last"),
        )
        .join(TurnRow, IN_PART)
        .where(PartRow.number.in_(numbers))
        .group_by(PartRow.number)
        .subquery()
    )
    query = (
        select(totals.c.number, totals.c.turns, TurnRow.turn_id)
        .join(PartRow, PartRow.number == totals.c.number)
        .join(TurnRow, and_(IN_PART, TurnRow.position == totals.c.last))
    )
    return session.execute(query).all()
