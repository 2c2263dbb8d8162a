"""The verbs of SessionService as calls. Defaults are the clients' business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from memsvc_proto.v1 import memory_pb2, session_pb2

from memsvc_client import memory_wire, session_wire, wire
from memsvc_client.call import Call, Page, make_call, new_uuid
from memsvc_client.events import AskOptions, Recall, Recency
from memsvc_client.names import bank_name, last_id, session_name, turn_id
from memsvc_client.resources import Scalar
from memsvc_client.session_resources import (
    AppendResult,
    NewTurn,
    Scope,
    Session,
    SessionContext,
    Turn,
)


def create_session(
    bank: str,
    session: str,
    agent: str,
    metadata: Mapping[str, Scalar] | None,
    expire_time: datetime | None,
    ttl: timedelta | None,
    request_id: str | None,
) -> Call[Session]:
    """`session`: "" lets the server make an id."""
    request = session_pb2.CreateSessionRequest(
        parent=bank_name(bank),
        session_id=_new_id(bank, session),
        session=session_wire.new_session(agent, metadata, expire_time, ttl),
        request_id=request_id or new_uuid(),
    )
    return _session_call("CreateSession", request)


def get_session(bank: str, session: str) -> Call[Session]:
    request = session_pb2.GetSessionRequest(name=session_name(bank, session))
    return _session_call("GetSession", request)


def list_sessions(
    bank: str, agent: str | None, page_size: int, page_token: str
) -> Call[Page[Session]]:
    def convert(message: session_pb2.ListSessionsResponse) -> Page[Session]:
        sessions = tuple(session_wire.session(one) for one in message.sessions)
        return Page(sessions, message.next_page_token)

    request = session_pb2.ListSessionsRequest(
        parent=bank_name(bank), page_size=page_size, page_token=page_token, agent=agent
    )
    response = session_pb2.ListSessionsResponse
    return make_call("SessionService/ListSessions", request, response, convert)


def append_turns(
    bank: str,
    session: str,
    turns: NewTurn | tuple[str, str] | Iterable[NewTurn | tuple[str, str]],
    after: str | None,
    request_id: str | None,
) -> Call[AppendResult]:
    """`after`: a turn's id or name, "" for "if there is none yet"."""
    request = session_pb2.AppendTurnsRequest(
        name=session_name(bank, session),
        turns=session_wire.new_turns(turns),
        after=None if after is None else turn_id(bank, after),
        request_id=request_id or new_uuid(),
    )
    response = session_pb2.AppendTurnsResponse
    return make_call("SessionService/AppendTurns", request, response, session_wire.append_result)


def list_turns(
    bank: str, session: str, newest_first: bool, page_size: int, page_token: str
) -> Call[Page[Turn]]:
    def convert(message: session_pb2.ListTurnsResponse) -> Page[Turn]:
        turns = tuple(session_wire.turn(one) for one in message.turns)
        return Page(turns, message.next_page_token)

    request = session_pb2.ListTurnsRequest(
        name=session_name(bank, session),
        page_size=page_size,
        page_token=page_token,
        newest_first=newest_first,
    )
    response = session_pb2.ListTurnsResponse
    return make_call("SessionService/ListTurns", request, response, convert)


def recall_in_session(
    bank: str,
    session: str,
    question: str,
    scope: Scope | None,
    options: AskOptions,
    filter: str,
    as_of: datetime | None,
    recency: Recency | None,
) -> Call[Recall]:
    def convert(message: memory_pb2.RecallResponse) -> Recall:
        return memory_wire.recall(message, bank_name(bank), question)

    request = session_pb2.RecallInSessionRequest(
        name=session_name(bank, session),
        question=wire.unicode_only(question, "question"),
        scope=session_wire.scope(scope),
        options=memory_wire.options(options),
        filter=filter,
        as_of=wire.to_optional(as_of, "as_of"),
        recency=memory_wire.recency(recency),
    )
    response = memory_pb2.RecallResponse
    return make_call("SessionService/RecallInSession", request, response, convert)


def build_session_context(
    bank: str,
    session: str,
    max_tokens: int,
    query: str,
    tokenizer: str,
    scope: Scope | None,
    recent_turns: int | None,
    recent_share: float | None,
    template: str,
    options: AskOptions,
    filter: str,
    as_of: datetime | None,
    recency: Recency | None,
) -> Call[SessionContext]:
    request = session_pb2.BuildSessionContextRequest(
        name=session_name(bank, session),
        query=wire.unicode_only(query, "query"),
        max_tokens=max_tokens,
        tokenizer=tokenizer,
        scope=session_wire.scope(scope),
        recent_turns=recent_turns,
        recent_share=recent_share,
        template=wire.unicode_only(template, "template"),
        options=memory_wire.options(options),
        filter=filter,
        as_of=wire.to_optional(as_of, "as_of"),
        recency=memory_wire.recency(recency),
    )
    method, response = "SessionService/BuildSessionContext", session_pb2.SessionContext
    return make_call(method, request, response, session_wire.session_context)


def fork_session(
    bank: str,
    session: str,
    turn: str,
    new_session: str,
    agent: str,
    metadata: Mapping[str, Scalar] | None,
    expire_time: datetime | None,
    ttl: timedelta | None,
    request_id: str | None,
) -> Call[Session]:
    """`turn`: an id or name, "" for the last one."""
    request = session_pb2.ForkSessionRequest(
        name=session_name(bank, session),
        turn_id=turn_id(bank, turn),
        session_id=_new_id(bank, new_session),
        session=session_wire.new_session(agent, metadata, expire_time, ttl),
        request_id=request_id or new_uuid(),
    )
    return _session_call("ForkSession", request)


def end_session(bank: str, session: str) -> Call[Session]:
    request = session_pb2.EndSessionRequest(name=session_name(bank, session))
    return _session_call("EndSession", request)


def delete_session(bank: str, session: str) -> Call[int]:
    request = session_pb2.DeleteSessionRequest(name=session_name(bank, session))
    response = session_pb2.DeleteSessionResponse
    return make_call(
        "SessionService/DeleteSession", request, response, lambda message: message.turn_count
    )


def _new_id(bank: str, session: str) -> str:
    return last_id(session_name(bank, session)) if session else ""


def _session_call(
    method: str,
    request: session_pb2.CreateSessionRequest
    | session_pb2.GetSessionRequest
    | session_pb2.ForkSessionRequest
    | session_pb2.EndSessionRequest,
) -> Call[Session]:
    response = session_pb2.Session
    return make_call(f"SessionService/{method}", request, response, session_wire.session)
