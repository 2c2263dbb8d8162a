"""Forgetting: all documents that are meant are deleted at once, and a receipt says which.

Knows which rows a selection means; how they are deleted stands in `deleting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session as SqlSession

from memsvc_storage.core import BATCH, StoreCore, bank_id
from memsvc_storage.deleting import delete_rows, drop_sessions, text_held, turn_rows
from memsvc_storage.lineage import find_session
from memsvc_storage.models import DocumentRow
from memsvc_storage.replay import record, recorded
from memsvc_storage.rows import Idempotency, chunked
from memsvc_storage.session_models import SessionRow
from memsvc_storage.session_rows import Forgotten


class ForgettingVerbs(StoreCore):
    """The verbs that delete more than one document."""

    def forget_documents(
        self,
        bank: str,
        document_ids: Sequence[str] | None = None,
        session_id: str | None = None,
        agent: str | None = None,
        dry_run: bool = False,
        idempotency: Idempotency | None = None,
    ) -> Forgotten:
        """Delete documents with their versions and what feedback says of them: those of these
        ids, or all turns of a session, or of all sessions of an agent, with the sessions. Turns
        are gone from forks, too. `dry_run`: only tell.

        Documents that are not there are no error. Raises ValueError unless exactly one selection
        is given, BankNotFound, SessionNotFound, RequestConflict.
        """
        if [document_ids, session_id, agent].count(None) != 2:
            raise ValueError("name documents, a session or an agent: exactly one of them")
        with self._db.read() if dry_run else self._db.write() as session:
            before = None if dry_run else recorded(session, idempotency)
            if before is not None:
                return Forgotten(**before)
            number = bank_id(session, bank)
            sessions = _sessions(session, bank, number, session_id, agent)
            rows = _rows(session, number, document_ids or (), sessions)
            size, versions = text_held(session, list(rows))
            result = Forgotten(list(rows.values()), list(rows), versions, len(sessions), size)
            if not dry_run:
                delete_rows(session, number, list(rows))
                drop_sessions(session, sessions)
                record(session, idempotency, asdict(result))
        return result

    def delete_session(
        self, bank: str, session_id: str, idempotency: Idempotency | None = None
    ) -> Forgotten:
        """Delete a session with the turns that were appended to it, in forks of it too; an
        expired one as well. Raises BankNotFound, SessionNotFound, RequestConflict."""
        return self.forget_documents(bank, session_id=session_id, idempotency=idempotency)


def _sessions(
    session: SqlSession, bank: str, number: int, session_id: str | None, agent: str | None
) -> list[int]:
    if session_id is not None:
        return [find_session(session, bank, session_id, even_expired=True).id]
    if agent is None:
        return []
    query = select(SessionRow.id).where(SessionRow.bank_id == number, SessionRow.agent == agent)
    return list(session.scalars(query))


def _rows(
    session: SqlSession, number: int, names: Sequence[str], sessions: Sequence[int]
) -> dict[int, str]:
    """Document ids by row, ascending."""
    found: dict[int, str] = {}
    query = select(DocumentRow.row_id, DocumentRow.document_id)
    ours = query.where(DocumentRow.bank_id == number)
    for some in chunked(names, BATCH):
        for row in session.execute(ours.where(DocumentRow.document_id.in_(some))):
            found[row.row_id] = row.document_id
    for batch in chunked(turn_rows(session, sessions), BATCH):
        for row in session.execute(ours.where(DocumentRow.row_id.in_(batch))):
            found[row.row_id] = row.document_id
    return dict(sorted(found.items()))
