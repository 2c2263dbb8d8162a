"""Sessions: making, finding, forking and ending them.

Knows session rows; what is said in them stands in `turns`, how they are deleted in `forgetting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session as SqlSession

from memsvc_storage.checks import check_session
from memsvc_storage.core import StoreCore, bank_id, now, plain, unexpired
from memsvc_storage.deleting import delete_rows, drop_sessions, turn_rows
from memsvc_storage.errors import SessionExists, TurnNotFound
from memsvc_storage.ids import sortable_id
from memsvc_storage.lineage import (
    ENDLESS,
    find_session,
    is_expired,
    parts_of,
    parts_up_to,
    to_sessions,
    turn_at,
)
from memsvc_storage.models import BankRow
from memsvc_storage.replay import record, recorded
from memsvc_storage.rows import Idempotency, Page
from memsvc_storage.session_models import PartRow, SessionRow
from memsvc_storage.session_rows import NewSession, Session


class SessionVerbs(StoreCore):
    """The verbs on sessions."""

    def create_session(
        self, bank: str, new: NewSession, idempotency: Idempotency | None = None
    ) -> Session:
        """Make a session without turns.

        Raises BankNotFound, SessionExists, InvalidDocument, RequestConflict.
        """
        check_session(new)
        with self._db.write() as session:
            before = recorded(session, idempotency)
            if before is not None:
                return replayed(session, bank, before)
            number, name = _free(session, bank, new.session_id)
            row = _make(session, number, name, new, [])
            record(session, idempotency, facts_of(row))
            return to_sessions(session, bank, [row])[0]

    def get_session(self, bank: str, session_id: str) -> Session:
        """Raises BankNotFound, SessionNotFound (from its `expire_time` on, too)."""
        with self._db.read() as session:
            return to_sessions(session, bank, [find_session(session, bank, session_id)])[0]

    def list_sessions(
        self, bank: str, limit: int, after_key: str | None = None, agent: str | None = None
    ) -> Page[Session]:
        """Sessions in the order they were made; of one agent, or of all.

        Raises BankNotFound, ValueError on a key that is not ours.
        """
        after = -1 if after_key is None else int(after_key)
        with self._db.read() as session:
            query = select(SessionRow).where(
                SessionRow.bank_id == bank_id(session, bank),
                SessionRow.id > after,
                unexpired(SessionRow.expire_time),
            )
            if agent is not None:
                query = query.where(SessionRow.agent == agent)
            rows = list(session.scalars(query.order_by(SessionRow.id).limit(limit + 1)))
            items = to_sessions(session, bank, rows[:limit])
        return Page(items, str(rows[limit - 1].id) if len(rows) > limit else None)

    def fork_session(
        self,
        bank: str,
        session_id: str,
        turn_id: str,
        new: NewSession,
        idempotency: Idempotency | None = None,
    ) -> Session:
        """Make a session that shares the turns of another one up to `turn_id` ("": the last one
        there is). What `new` leaves empty is as in the other one.

        Raises BankNotFound, SessionNotFound, TurnNotFound, SessionExists, InvalidDocument,
        RequestConflict.
        """
        check_session(new)
        with self._db.write() as session:
            before = recorded(session, idempotency)
            if before is not None:
                return replayed(session, bank, before)
            # First of all, as this may delete a session: one that has expired.
            number, name = _free(session, bank, new.session_id)
            origin = find_session(session, bank, session_id)
            at, position = _shared(session, bank, origin, turn_id)
            parts = parts_up_to(parts_of(session, origin.id), position) if at else []
            filled = replace(
                new,
                agent=new.agent or origin.agent,
                metadata=new.metadata or origin.meta,
                expire_time=new.expire_time or origin.expire_time,
            )
            row = _make(session, number, name, filled, parts)
            row.forked_from, row.forked_at, row.next_position = session_id, at, position + 1
            record(session, idempotency, facts_of(row))
            session.flush()
            return to_sessions(session, bank, [row])[0]

    def end_session(self, bank: str, session_id: str) -> Session:
        """Take no more turns; ending twice changes nothing. Raises BankNotFound,
        SessionNotFound."""
        with self._db.write() as session:
            row = find_session(session, bank, session_id)
            if row.end_time is None:
                row.end_time = row.update_time = now()
            return to_sessions(session, bank, [row])[0]

    def expired_sessions(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """(bank, session id) of sessions whose time has come, longest expired first."""
        query = (
            select(BankRow.name, SessionRow.session_id)
            .join(BankRow, BankRow.id == SessionRow.bank_id)
            .where(SessionRow.expire_time <= now)
            .order_by(SessionRow.expire_time, SessionRow.id)
            .limit(limit)
        )
        with self._db.read() as session:
            return [(row.name, row.session_id) for row in session.execute(query)]


def facts_of(row: SessionRow) -> dict[str, Any]:
    """What a record keeps of a session."""
    created = row.create_time.isoformat()
    return {"id": row.id, "session_id": row.session_id, "create_time": created}


def replayed(session: SqlSession, bank: str, before: dict[str, Any]) -> Session:
    """The session as it is now; without anything of its own if it is deleted."""
    row = session.get(SessionRow, before["id"])
    if row is not None:
        return to_sessions(session, bank, [row])[0]
    time = datetime.fromisoformat(before["create_time"])
    return Session(bank, before["session_id"], "", {}, None, 0, "", "", "", None, time, time)


def _free(session: SqlSession, bank: str, wanted: str | None) -> tuple[int, str]:
    """The bank's number, and an id that none of its sessions has. Raises SessionExists."""
    number = bank_id(session, bank)
    name = wanted or sortable_id()
    query = select(SessionRow).where(SessionRow.bank_id == number, SessionRow.session_id == name)
    there = session.scalar(query)
    if there is not None:
        if not is_expired(there):
            raise SessionExists(bank, name)
        delete_rows(session, number, turn_rows(session, [there.id]))  # nobody has done it yet
        drop_sessions(session, [there.id])
    return number, name


def _make(
    session: SqlSession,
    number: int,
    name: str,
    new: NewSession,
    parts: Sequence[tuple[int, int]],
) -> SessionRow:
    time = now()
    row = SessionRow(
        bank_id=number,
        session_id=name,
        agent=new.agent,
        meta=plain(new.metadata),
        expire_time=new.expire_time,
        forked_from="",
        forked_at="",
        next_position=0,
        create_time=time,
        update_time=time,
    )
    session.add(row)
    session.flush()
    for part, up_to in [*parts, (row.id, ENDLESS)]:
        session.add(PartRow(number=row.id, part=part, up_to=up_to))
    session.flush()
    return row


def _shared(session: SqlSession, bank: str, origin: SessionRow, turn_id: str) -> tuple[str, int]:
    """The last turn that a fork shares, and its position: ("", -1) if there is none to share."""
    found = turn_at(session, origin.id, turn_id)
    if turn_id and not found[0]:
        raise TurnNotFound(bank, origin.session_id, turn_id)
    return found
