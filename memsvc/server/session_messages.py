"""From sessions, turns and contexts to messages. Knows both shapes, no engine and no checks."""

from __future__ import annotations

from memsvc_proto.v1 import session_pb2
from memsvc_storage import Appended, Session, Turn

from memsvc.engine import happened
from memsvc.server import convert, names
from memsvc.sessions.context import Memory, SessionContext
from memsvc.sessions.scope import turn_facts


def session(row: Session) -> session_pb2.Session:
    """A session as it stands."""
    fork = row.forked_from
    return session_pb2.Session(
        name=names.session_name(row.bank, row.session_id),
        agent=row.agent,
        metadata=convert.struct(row.metadata),
        expire_time=convert.timestamp(row.expire_time),
        turn_count=row.turn_count,
        last_turn=row.last_turn,
        forked_from=names.session_name(row.bank, fork) if fork else "",
        forked_at=row.forked_at,
        end_time=convert.timestamp(row.end_time),
        create_time=convert.timestamp(row.create_time),
        update_time=convert.timestamp(row.update_time),
    )


def turn(bank: str, row: Turn) -> session_pb2.Turn:
    """A turn, word for word."""
    return session_pb2.Turn(
        name=names.turn_name(bank, row.session_id, row.turn_id),
        role=row.role,
        content=row.content,
        tool_calls=[
            session_pb2.ToolCall(
                id=call.id, name=call.name, arguments=call.arguments, result=call.result
            )
            for call in row.tool_calls
        ],
        time=convert.timestamp(row.time),
        position=row.position,
        document=names.document_name(bank, row.document_id),
        create_time=convert.timestamp(row.create_time),
    )


def appended(bank: str, row: Appended) -> session_pb2.AppendTurnsResponse:
    """What became of turns."""
    return session_pb2.AppendTurnsResponse(
        turns=[turn(bank, one) for one in row.turns],
        operation=convert.operation(row.operation) if row.operation else None,
        session=session(row.session),
    )


def context(bank: str, built: SessionContext) -> session_pb2.SessionContext:
    """A text and what it is made of."""
    return session_pb2.SessionContext(
        text=built.text,
        memories=[_memory(bank, one) for one in built.memories],
        recent=[turn(bank, one) for one in built.recent],
        tokens=built.tokens,
    )


def _memory(bank: str, one: Memory) -> session_pb2.Memory:
    told = turn_facts(one.document)
    return session_pb2.Memory(
        citation=convert.citation(bank, one.citation),
        time=convert.timestamp(happened(one.document)),
        session=names.session_name(bank, told.session) if told else "",
        role=told.role if told else "",
    )
