"""Sessions and turns between dataclasses and protocol buffers. Knows no channels and no verbs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from memsvc_proto.v1 import session_pb2

from memsvc_client import memory_wire, wire
from memsvc_client.errors import InvalidArgument
from memsvc_client.resources import Scalar
from memsvc_client.session_resources import (
    AppendResult,
    Memory,
    NewTurn,
    Scope,
    Session,
    SessionContext,
    ToolCall,
    Turn,
)

_SCOPES = {
    "session": session_pb2.SESSION,
    "other_sessions": session_pb2.OTHER_SESSIONS,
    "agent": session_pb2.AGENT,
    "bank": session_pb2.BANK,
}


def scope(asked: Scope | None) -> session_pb2.Scope:
    """None leaves it to the server. Raises InvalidArgument for what is no scope."""
    if asked is None:
        return session_pb2.SCOPE_UNSPECIFIED
    if asked not in _SCOPES:
        raise InvalidArgument.of_field("scope", f"{asked!r} is none of {', '.join(_SCOPES)}")
    return _SCOPES[asked]


def new_session(
    agent: str,
    metadata: Mapping[str, Scalar] | None,
    expire_time: datetime | None,
    ttl: timedelta | None,
) -> session_pb2.Session:
    """Gone after `ttl`, or at `expire_time`. Raises InvalidArgument for both at once."""
    if ttl is not None:
        if expire_time is not None:
            raise InvalidArgument.of_field("ttl", "stands beside expire_time; one of them will do")
        expire_time = datetime.now(UTC) + ttl
    return session_pb2.Session(
        agent=wire.unicode_only(agent, "agent"),
        metadata=None if metadata is None else wire.to_struct(metadata),
        expire_time=wire.to_optional(expire_time, "expire_time"),
    )


def new_turns(
    turns: NewTurn | tuple[str, str] | Iterable[NewTurn | tuple[str, str]],
) -> list[session_pb2.NewTurn]:
    """One or many turns or pairs of role and content. Raises InvalidArgument for anything else."""
    many: Iterable[object] = turns if isinstance(turns, Iterable) else (turns,)
    match turns:
        case (str(), str()):
            many = (turns,)
    return [_new_turn(one, f"turns[{place}]") for place, one in enumerate(many)]


def _new_turn(turn: object, field: str) -> session_pb2.NewTurn:
    match turn:
        case NewTurn():
            pass
        case (str(role), str(content)):
            turn = NewTurn(role, content)
        case _:
            raise InvalidArgument.of_field(field, "is no NewTurn and no (role, content)")
    return session_pb2.NewTurn(
        turn_id=turn.turn_id,
        role=wire.unicode_only(turn.role, f"{field}.role"),
        content=wire.unicode_only(turn.content, f"{field}.content"),
        tool_calls=[_tool_call(one, f"{field}.tool_calls") for one in turn.tool_calls],
        time=wire.to_optional(turn.time, f"{field}.time"),
    )


def _tool_call(call: ToolCall, field: str) -> session_pb2.ToolCall:
    return session_pb2.ToolCall(
        id=wire.unicode_only(call.id, field),
        name=wire.unicode_only(call.name, field),
        arguments=wire.unicode_only(call.arguments, field),
        result=wire.unicode_only(call.result, field),
    )


def session(message: session_pb2.Session) -> Session:
    def moment(field: str) -> datetime | None:
        return wire.to_datetime(getattr(message, field)) if message.HasField(field) else None

    return Session(
        name=message.name,
        agent=message.agent,
        metadata=wire.to_scalars(message.metadata),
        expire_time=moment("expire_time"),
        turn_count=message.turn_count,
        last_turn=message.last_turn,
        forked_from=message.forked_from,
        forked_at=message.forked_at,
        end_time=moment("end_time"),
        create_time=moment("create_time"),
        update_time=moment("update_time"),
    )


def turn(message: session_pb2.Turn) -> Turn:
    stamped = message.HasField("create_time")
    return Turn(
        name=message.name,
        role=message.role,
        content=message.content,
        tool_calls=tuple(
            ToolCall(one.name, one.arguments, one.result, one.id) for one in message.tool_calls
        ),
        time=wire.to_datetime(message.time) if message.HasField("time") else None,
        position=message.position,
        document=message.document,
        create_time=wire.to_datetime(message.create_time) if stamped else None,
    )


def append_result(message: session_pb2.AppendTurnsResponse) -> AppendResult:
    return AppendResult(
        tuple(turn(one) for one in message.turns),
        wire.operation(message.operation) if message.HasField("operation") else None,
        session(message.session),
    )


def _memory(message: session_pb2.Memory) -> Memory:
    return Memory(
        citation=memory_wire.citation(message.citation),
        time=wire.to_datetime(message.time) if message.HasField("time") else None,
        session=message.session,
        role=message.role,
    )


def session_context(message: session_pb2.SessionContext) -> SessionContext:
    return SessionContext(
        text=message.text,
        memories=tuple(_memory(one) for one in message.memories),
        recent=tuple(turn(one) for one in message.recent),
        tokens=message.tokens,
    )
