"""Sessions on a real server: made, appended to, recalled and put into contexts in one line each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from memsvc_proto.v1 import session_pb2
from memsvc_router.checkpoint import DEFAULT_MODEL

from memsvc.sessions.counting import Tokenizers
from tests.server_support import BANK, Served, serving

SESSION = f"{BANK}/sessions/s"
TOKENIZERS = Tokenizers({"small": DEFAULT_MODEL / "tokenizer.json"})


@asynccontextmanager
async def talking(data_dir: Path) -> AsyncIterator[Served]:
    """A server whose bank has an empty session `s` of the agent `ann`."""
    async with serving(data_dir, services={"tokenizers": TOKENIZERS}) as served:
        await served.create_bank()
        await create(served, "s", agent="ann")
        yield served


async def create(server: Served, name: str, **fields: Any) -> session_pb2.Session:
    session = session_pb2.Session(**fields)
    request = session_pb2.CreateSessionRequest(parent=BANK, session_id=name, session=session)
    made: session_pb2.Session = await server.sessions.CreateSession(request)
    return made


def new_turn(
    content: str, name: str = "", role: str = "user", **fields: Any
) -> session_pb2.NewTurn:
    return session_pb2.NewTurn(turn_id=name, role=role, content=content, **fields)


async def append(
    server: Served, session: str, *turns: session_pb2.NewTurn, **fields: Any
) -> session_pb2.AppendTurnsResponse:
    """Append, and wait until the turns can be recalled."""
    name = f"{BANK}/sessions/{session}"
    request = session_pb2.AppendTurnsRequest(name=name, turns=turns, **fields)
    made: session_pb2.AppendTurnsResponse = await server.sessions.AppendTurns(request)
    if made.HasField("operation"):
        await server.done(made.operation)
    return made


async def recall_ids(server: Served, session: str, question: str, **fields: Any) -> list[str]:
    """Ids of the documents that are recalled, sorted."""
    name = f"{BANK}/sessions/{session}"
    request = session_pb2.RecallInSessionRequest(name=name, question=question, **fields)
    found = await server.sessions.RecallInSession(request)
    return sorted(hit.document.rpartition("/")[2] for hit in found.hits)


async def context(
    server: Served, session: str = "s", max_tokens: int = 500, **fields: Any
) -> session_pb2.SessionContext:
    name = f"{BANK}/sessions/{session}"
    request = session_pb2.BuildSessionContextRequest(name=name, max_tokens=max_tokens, **fields)
    built: session_pb2.SessionContext = await server.sessions.BuildSessionContext(request)
    return built


async def turns_of(server: Served, session: str, **fields: Any) -> list[session_pb2.Turn]:
    """All turns of a session, page by page."""
    turns: list[session_pb2.Turn] = []
    token = ""
    while True:
        request = session_pb2.ListTurnsRequest(
            name=f"{BANK}/sessions/{session}", page_size=2, page_token=token, **fields
        )
        page = await server.sessions.ListTurns(request)
        turns += page.turns
        token = page.next_page_token
        if not token:
            return turns
