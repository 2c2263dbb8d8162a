"""What sessions and turns may hold. Each check returns the usable value or raises ApiError
(INVALID_ARGUMENT) naming the field. Knows messages, limits and what becomes of a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from memsvc_proto.v1 import session_pb2
from memsvc_storage import NewSession, NewTurn, ToolCall

from memsvc.errors import Reason, invalid
from memsvc.server import checks, names
from memsvc.sessions.context import Wanted
from memsvc.sessions.counting import Count, Tokenizers
from memsvc.sessions.scope import Scope
from memsvc.sessions.templates import DEFAULT_TEMPLATE, Template, TemplateError
from memsvc.sessions.titles import TurnContext, turn_text, turn_title

_DEFAULT_RECENT_TURNS = 10


def new_session(
    request: session_pb2.CreateSessionRequest | session_pb2.ForkSessionRequest,
) -> NewSession:
    """A session to make."""
    given = request.session
    name = request.session_id
    return NewSession(
        names.session_id("session_id", name) if name else None,
        checks.agent("session.agent", given.agent),
        checks.metadata("session.metadata", given.metadata),
        checks.time("session.expire_time", given),
    )


def new_turns(messages: Sequence[session_pb2.NewTurn], way: TurnContext) -> list[NewTurn]:
    """Turns to append, with titles that quote nothing."""
    checks.count("turns", len(messages), checks.MAX_BATCH_TURNS)
    turns: list[NewTurn] = []
    known: set[str] = set()
    now = datetime.now(UTC)
    for index, message in enumerate(messages):
        field = f"turns[{index}]"
        turn = _turn(field, message, way, now)
        if turn.turn_id in known:
            raise invalid(f"{field}.turn_id", "stands there twice")
        known |= {turn.turn_id} if turn.turn_id else set()
        turns.append(turn)
    return turns


def _turn(field: str, message: session_pb2.NewTurn, way: TurnContext, now: datetime) -> NewTurn:
    name, role = message.turn_id, message.role
    if not role.strip() or not role.isprintable():
        raise invalid(f"{field}.role", "is empty, or holds characters that cannot be printed")
    checks.text_field(f"{field}.role", role, checks.MAX_ROLE_CHARACTERS)
    content = checks.text_field(f"{field}.content", message.content, checks.MAX_TEXT_BYTES)
    calls = _tool_calls(field, message.tool_calls)
    parts = [part for call in calls for part in (call.id, call.name, call.arguments, call.result)]
    checks.text_bytes(f"{field}.content", sum(len(one.encode()) for one in (content, *parts)))
    moment = checks.time(f"{field}.time", message) or now
    return NewTurn(
        names.turn_id(f"{field}.turn_id", name) if name else None,
        role,
        content,
        calls,
        moment,
        turn_title(way, role, moment),
        checks.document_text(f"{field}.content", turn_text(content, calls)),
    )


def _tool_calls(field: str, messages: Sequence[session_pb2.ToolCall]) -> tuple[ToolCall, ...]:
    if len(messages) > checks.MAX_TOOL_CALLS:
        most = checks.MAX_TOOL_CALLS
        raise invalid(f"{field}.tool_calls", f"holds {len(messages):,}; at most {most} are taken")
    calls = []
    for index, message in enumerate(messages):
        here = f"{field}.tool_calls[{index}]"
        if not message.name.strip():
            raise invalid(f"{here}.name", "is empty")
        short, long = checks.MAX_TOOL_CHARACTERS, checks.MAX_TEXT_BYTES
        calls.append(
            ToolCall(
                checks.text_field(f"{here}.id", message.id, short),
                checks.text_field(f"{here}.name", message.name, short),
                checks.text_field(f"{here}.arguments", message.arguments, long),
                checks.text_field(f"{here}.result", message.result, long),
            )
        )
    return tuple(calls)


def after(request: session_pb2.AppendTurnsRequest) -> str | None:
    """The turn to append after; None: wherever the session stands."""
    if not request.HasField("after"):
        return None
    return names.turn_id("after", request.after) if request.after else ""


def scope(value: int) -> Scope:
    """What of the bank a session may be reminded of."""
    if value not in session_pb2.Scope.values():
        raise invalid("scope", f"{value} is no scope")
    if value == session_pb2.SCOPE_UNSPECIFIED:
        return "AGENT"
    return cast("Scope", session_pb2.Scope.Name(cast("session_pb2.Scope", value)))


def recent_turns(request: session_pb2.BuildSessionContextRequest) -> int:
    """How many of the last turns a context may hold."""
    if not request.HasField("recent_turns"):
        return _DEFAULT_RECENT_TURNS
    most = checks.MAX_RECENT_TURNS
    return int(checks.within("recent_turns", request.recent_turns, 0, most))


def wanted(request: session_pb2.BuildSessionContextRequest, tokenizers: Tokenizers) -> Wanted:
    """The budget of a context, and how it is put together."""
    share = Wanted.recent_share
    if request.HasField("recent_share"):
        share = checks.fraction("recent_share", request.recent_share)
    return Wanted(
        checks.count("max_tokens", request.max_tokens, checks.MAX_CONTEXT_TOKENS),
        _template(request.template),
        share,
        _count(request.tokenizer, tokenizers),
    )


def _template(text: str) -> Template:
    if not text:
        return DEFAULT_TEMPLATE
    try:
        return Template.parse(checks.text_field("template", text, checks.MAX_TEMPLATE_CHARACTERS))
    except TemplateError as error:
        raise invalid("template", str(error)) from None


def _count(name: str, tokenizers: Tokenizers) -> Count | None:
    if not name:
        return None
    try:
        return tokenizers.count(name)
    except KeyError:
        known = ", ".join(tokenizers.names)
        message = f"{name[:64]!r} is not known; known: {known}"
        raise invalid("tokenizer", message, Reason.UNKNOWN_TOKENIZER) from None
