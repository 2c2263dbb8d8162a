# ruff: noqa: N802, ARG002  (the methods' names and arguments are the proto's)
"""SessionService: conversations, and what memory holds for them. Knows the engine's verbs on
sessions and how a context is built.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc.aio
from memsvc_proto.v1 import memory_pb2, session_pb2, session_pb2_grpc
from memsvc_storage import Session, Turn

from memsvc.engine import Sight, both
from memsvc.engine.context import MOST_CHARS_PER_TOKEN
from memsvc.errors import invalid
from memsvc.server import checks, convert, names, options, paging, session_checks
from memsvc.server import session_messages as messages
from memsvc.server.services import Services
from memsvc.sessions.context import build
from memsvc.sessions.scope import visible
from memsvc.sessions.templates import TemplateError
from memsvc.sessions.titles import quoting, turn_text

_Context = grpc.aio.ServicerContext[Any, Any]


class SessionServicer(session_pb2_grpc.SessionServiceServicer):
    """Serves `memsvc.v1.SessionService`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._engine = services.engine

    async def CreateSession(
        self, request: session_pb2.CreateSessionRequest, context: _Context
    ) -> session_pb2.Session:
        bank = names.parse_bank("parent", request.parent)
        new = session_checks.new_session(request)
        idempotency = checks.idempotency("CreateSession", request)
        return messages.session(await self._engine.create_session(bank, new, idempotency))

    async def GetSession(
        self, request: session_pb2.GetSessionRequest, context: _Context
    ) -> session_pb2.Session:
        bank, session_id = names.parse_session("name", request.name)
        return messages.session(await self._engine.get_session(bank, session_id))

    async def ListSessions(
        self, request: session_pb2.ListSessionsRequest, context: _Context
    ) -> session_pb2.ListSessionsResponse:
        bank = names.parse_bank("parent", request.parent)
        limit = checks.page_size(request.page_size)
        agent = checks.agent("agent", request.agent) if request.HasField("agent") else None
        binding = ("ListSessions", bank, repr(agent))
        after = self._services.after_key(request.page_token, *binding)
        page = await self._engine.list_sessions(bank, limit, after, agent)
        return session_pb2.ListSessionsResponse(
            sessions=[messages.session(one) for one in page.items],
            next_page_token=self._services.tokens.issue(page.next_key, *binding),
        )

    async def AppendTurns(
        self, request: session_pb2.AppendTurnsRequest, context: _Context
    ) -> session_pb2.AppendTurnsResponse:
        bank, session_id = names.parse_session("name", request.name)
        way = self._services.turn_context
        turns = session_checks.new_turns(request.turns, way)
        after = session_checks.after(request)
        idempotency = checks.idempotency("AppendTurns", request)
        made = await self._engine.append_turns(
            bank, session_id, turns, after, idempotency, quoting if way == "neighboured" else None
        )
        return messages.appended(bank, made)

    async def ListTurns(
        self, request: session_pb2.ListTurnsRequest, context: _Context
    ) -> session_pb2.ListTurnsResponse:
        bank, session_id = names.parse_session("name", request.name)
        limit = checks.page_size(request.page_size)
        backwards = request.newest_first
        binding = ("ListTurns", bank, session_id, str(backwards))
        page = await paging.by_size(
            lambda step, key: self._engine.list_turns(bank, session_id, step, key, backwards),
            _size,
            limit,
            self._services.after_key(request.page_token, *binding),
        )
        return session_pb2.ListTurnsResponse(
            turns=[messages.turn(bank, one) for one in page.items],
            next_page_token=self._services.tokens.issue(page.next_key, *binding),
        )

    async def RecallInSession(
        self, request: session_pb2.RecallInSessionRequest, context: _Context
    ) -> memory_pb2.RecallResponse:
        bank, session_id = names.parse_session("name", request.name)
        question = checks.question("question", request.question)
        budgets = options.options(request.options, context.time_remaining())
        session = await self._engine.get_session(bank, session_id)
        sight = _sight(request, session)
        found = await self._engine.recall(
            bank,
            question,
            budgets,
            sight.filter,
            with_texts=True,
            as_of=sight.as_of,
            recency=sight.recency,
        )
        return convert.recalled(bank, found)

    async def BuildSessionContext(
        self, request: session_pb2.BuildSessionContextRequest, context: _Context
    ) -> session_pb2.SessionContext:
        bank, session_id = names.parse_session("name", request.name)
        wanted = session_checks.wanted(request, self._services.tokenizers)
        most = session_checks.recent_turns(request)
        budgets = options.options(request.options, context.time_remaining())
        checks.text_field("query", request.query, checks.MAX_QUESTION_CHARACTERS)
        sight = _sight(request, await self._engine.get_session(bank, session_id))
        characters = wanted.max_tokens * MOST_CHARS_PER_TOKEN
        turns = await self._last_turns(bank, session_id, most, characters)
        query = request.query
        if not query.strip():
            last = turns[-1:] or await self._last_turns(bank, session_id, 1)
            query = _asked_by(last)
        job = partial(build, turns=turns, wanted=wanted)
        try:
            return messages.context(
                bank, await self._engine.consult(bank, query, job, budgets, sight)
            )
        except TemplateError as error:
            raise invalid("template", str(error)) from None

    async def ForkSession(
        self, request: session_pb2.ForkSessionRequest, context: _Context
    ) -> session_pb2.Session:
        bank, session_id = names.parse_session("name", request.name)
        turn_id = names.turn_id("turn_id", request.turn_id) if request.turn_id else ""
        new = session_checks.new_session(request)
        idempotency = checks.idempotency("ForkSession", request)
        return messages.session(
            await self._engine.fork_session(bank, session_id, turn_id, new, idempotency)
        )

    async def EndSession(
        self, request: session_pb2.EndSessionRequest, context: _Context
    ) -> session_pb2.Session:
        bank, session_id = names.parse_session("name", request.name)
        return messages.session(await self._engine.end_session(bank, session_id))

    async def DeleteSession(
        self, request: session_pb2.DeleteSessionRequest, context: _Context
    ) -> session_pb2.DeleteSessionResponse:
        bank, session_id = names.parse_session("name", request.name)
        gone = await self._engine.delete_session(bank, session_id)
        return session_pb2.DeleteSessionResponse(turn_count=len(gone.document_ids))

    async def _last_turns(
        self, bank: str, session_id: str, most: int, characters: int = 0
    ) -> list[Turn]:
        """The last turns, oldest first; no more than make so many characters."""
        if not most:
            return []
        page = await paging.by_size(
            lambda step, key: self._engine.list_turns(bank, session_id, step, key, True),
            _size,
            most,
            most=characters,
        )
        return page.items[::-1]


def _sight(
    request: session_pb2.RecallInSessionRequest | session_pb2.BuildSessionContextRequest,
    session: Session,
) -> Sight:
    """What the session may be reminded of by this request."""
    asked = options.sight(request)
    inside = visible(session_checks.scope(request.scope), session)
    return Sight(both(inside, asked.filter), asked.as_of, asked.recency)


def _asked_by(last: list[Turn]) -> str:
    """What the last turn asks. Raises ApiError where there is none."""
    if not last:
        raise invalid("query", "is empty, and so is the session")
    said = turn_text(last[-1].content, last[-1].tool_calls)
    return said[: checks.MAX_QUESTION_CHARACTERS]


def _size(turn: Turn) -> int:
    calls = sum(len(call.arguments) + len(call.result) for call in turn.tool_calls)
    return len(turn.content) + calls
