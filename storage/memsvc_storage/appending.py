"""Appending: turns become rows of their session and documents of its bank, all or none.

Knows the rows of turns and how documents are taken in; nothing of what their documents should
say, which is the caller's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session as SqlSession

from memsvc_storage.adding import accept, insert_documents
from memsvc_storage.checks import check_turn
from memsvc_storage.core import StoreCore, find_bank, now
from memsvc_storage.errors import (
    DocumentExists,
    SessionEnded,
    StorageError,
    TurnExists,
    TurnOutOfOrder,
)
from memsvc_storage.ids import sortable_id
from memsvc_storage.lineage import find_session, to_sessions, turn_at
from memsvc_storage.models import BankRow
from memsvc_storage.operations import begin, to_operation
from memsvc_storage.quotes import Quoting, keep_quotes
from memsvc_storage.replay import operation_of, record, recorded
from memsvc_storage.rows import Document, Idempotency, NewDocument, Operation
from memsvc_storage.session_models import SessionRow, TurnRow
from memsvc_storage.session_rows import Appended, NewTurn, Turn
from memsvc_storage.sessions import facts_of, replayed
from memsvc_storage.turns import last_said, turns_named


class AppendingVerbs(StoreCore):
    """The verb that appends turns."""

    def append_turns(
        self,
        bank: str,
        session_id: str,
        turns: Sequence[NewTurn],
        after: str | None = None,
        idempotency: Idempotency | None = None,
        quoting: Quoting | None = None,
    ) -> Appended:
        """Append turns, all or none, each as a document `{session_id}~{turn_id}`. Those that the
        session has already are not doubled; if it has all of them, nothing is refused.

        `after`: only if this is the last turn ("": if there is none). `quoting`: lets titles quote
        the turn before, for as long as that says the same. Raises BankNotFound,
        SessionNotFound, SessionEnded, TurnExists, TurnOutOfOrder, QuotaExceeded, InvalidDocument,
        RequestConflict.
        """
        for turn in turns:
            check_turn(turn)
        named = [replace(turn, turn_id=turn.turn_id or sortable_id()) for turn in turns]
        names = [turn.turn_id or "" for turn in named]
        with self._db.write() as session:
            before = recorded(session, idempotency)
            if before is not None:
                return _replayed(session, bank, before)
            row = find_session(session, bank, session_id)
            fresh = _fresh(session, bank, row, named)
            if fresh:
                _check_place(session, bank, row, after)
            operation = _insert(session, bank, row, fresh, quoting) if fresh else None
            found = turns_named(session, row.id, names)
            result = [found[name] for name in names]
            record(session, idempotency, _packed(row, result, operation))
            (whole,) = to_sessions(session, bank, [row])
        return Appended(result, operation, whole)


def _fresh(
    session: SqlSession, bank: str, row: SessionRow, turns: Sequence[NewTurn]
) -> list[NewTurn]:
    """Those turns that the session does not have yet. Raises TurnExists."""
    there = {
        name: (turn.role, turn.content, turn.tool_calls)
        for name, turn in turns_named(
            session, row.id, [turn.turn_id or "" for turn in turns]
        ).items()
    }
    fresh = []
    for turn in turns:
        assert turn.turn_id
        said = (turn.role, turn.content, turn.tool_calls)
        if turn.turn_id not in there:
            there[turn.turn_id] = said
            fresh.append(turn)
        elif there[turn.turn_id] != said:
            raise TurnExists(bank, row.session_id, turn.turn_id)
    return fresh


def _check_place(session: SqlSession, bank: str, row: SessionRow, after: str | None) -> None:
    if row.end_time is not None:
        raise SessionEnded(bank, row.session_id)
    if after is None:
        return
    last, _ = turn_at(session, row.id)
    if after != last:
        raise TurnOutOfOrder(bank, row.session_id, after, last)


def _insert(
    session: SqlSession,
    bank: str,
    row: SessionRow,
    turns: Sequence[NewTurn],
    quoting: Quoting | None,
) -> Operation:
    """Add turns with their documents. Raises QuotaExceeded, TurnExists."""
    time = now()
    home = find_bank(session, bank)
    before = last_said(session, row) if quoting else None
    told = _quoting(turns, before, quoting)
    documents = _accepted(session, home, row, told, time)
    operation = begin(session, bank, "ENCODE", len(documents))
    numbers = insert_documents(session, home.id, documents, operation.operation_id)
    rows = [numbers[document.document_id] for document in documents]
    values = [
        {
            "row_id": row_id,
            "number": row.id,
            "turn_id": turn.turn_id,
            "position": position,
            "role": turn.role,
            "content": turn.content,
            "tool_calls": [asdict(call) for call in turn.tool_calls],
            "time": document.event_time,
        }
        for position, (row_id, turn, document) in enumerate(
            zip(rows, turns, documents, strict=True), row.next_position
        )
    ]
    session.execute(insert(TurnRow), values)
    _keep_quotes(session, [before[0] if before else 0, *rows], turns, told)
    row.next_position += len(turns)
    row.update_time = time
    session.flush()
    return to_operation(operation)


def _quoting(
    turns: Sequence[NewTurn], before: tuple[int, str] | None, quoting: Quoting | None
) -> list[NewTurn]:
    """The turns, their titles quoting the one before: the first of them (row, text) `before`."""
    if quoting is None:
        return list(turns)
    texts = [before[1] if before else "", *(turn.text for turn in turns)]
    return [
        replace(turn, title=quoting(turn.title, text))
        for turn, text in zip(turns, texts, strict=False)
    ]


def _keep_quotes(
    session: SqlSession, rows: Sequence[int], plain: Sequence[NewTurn], told: Sequence[NewTurn]
) -> None:
    """`rows`: the one before the first turn, then those of the turns."""
    keep_quotes(
        session,
        [
            (own, before, now_told.title, turn.title)
            for before, own, turn, now_told in zip(rows, rows[1:], plain, told, strict=False)
            if now_told.title != turn.title
        ],
    )


def _accepted(
    session: SqlSession, home: BankRow, row: SessionRow, turns: Sequence[NewTurn], time: datetime
) -> list[Document]:
    docs = [
        _document(row, turn, position, time)
        for position, turn in enumerate(turns, row.next_position)
    ]
    accepted = []
    items = accept(session, home, docs, [None] * len(docs))
    for turn, item in zip(turns, items, strict=True):
        if isinstance(item, DocumentExists):  # one that is no turn has taken the id
            raise TurnExists(home.name, row.session_id, turn.turn_id or "")
        if isinstance(item, StorageError):
            raise item
        accepted.append(item)
    return accepted


def _document(row: SessionRow, turn: NewTurn, position: int, time: datetime) -> NewDocument:
    agent = {"agent": row.agent} if row.agent else {}
    return NewDocument(
        text=turn.text,
        title=turn.title,
        document_id=f"{row.session_id}~{turn.turn_id}",
        metadata={"session": row.session_id, **agent, "role": turn.role, "position": position},
        event_time=turn.time or time,
        expire_time=row.expire_time,
    )


def _packed(row: SessionRow, turns: Sequence[Turn], operation: Operation | None) -> dict[str, Any]:
    """What a record keeps: nothing of what was said."""
    return {
        **facts_of(row),
        "operation_id": operation.operation_id if operation else None,
        "turns": [
            {
                "session_id": turn.session_id,
                "turn_id": turn.turn_id,
                "position": turn.position,
                "document_id": turn.document_id,
                "create_time": turn.create_time.isoformat(),
            }
            for turn in turns
        ],
    }


def _replayed(session: SqlSession, bank: str, before: dict[str, Any]) -> Appended:
    """The turns of then as they are now; those forgotten meanwhile say nothing."""
    packed = before["turns"]
    there = turns_named(session, before["id"], [one["turn_id"] for one in packed])
    turns = []
    for one in packed:
        turn = there.get(one["turn_id"])
        if turn is None or turn.position != one["position"]:
            time = datetime.fromisoformat(one["create_time"])
            facts = one["position"], one["document_id"], time
            turn = Turn(one["session_id"], one["turn_id"], "", "", (), time, *facts)
        turns.append(turn)
    operation_id = before["operation_id"]
    operation = operation_of(session, operation_id) if operation_id else None
    return Appended(turns, operation, replayed(session, bank, before))
