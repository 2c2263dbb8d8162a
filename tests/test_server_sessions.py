"""SessionService over a real connection: turns are memory, once and in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio
from memsvc_proto.v1 import document_pb2, memory_pb2, session_pb2

from tests.engine_support import BagModel
from tests.server_support import BANK, Served, refused, serving, struct
from tests.session_support import SESSION, append, create, new_turn, recall_ids, talking, turns_of


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with talking(tmp_path) as served:
        yield served


async def test_a_turn_is_a_document_that_questions_find(server: Served) -> None:
    when = datetime(2024, 1, 5, tzinfo=UTC)
    call = session_pb2.ToolCall(id="1", name="search", arguments='{"q": "tea"}', result="green")
    said = new_turn("I like green tea.", "t1", time=when)
    looked = new_turn("", "t2", "assistant", tool_calls=[call], time=when)
    made = await append(server, "s", said, looked)
    assert [turn.name for turn in made.turns] == [f"{SESSION}/turns/t1", f"{SESSION}/turns/t2"]
    assert [turn.position for turn in made.turns] == [0, 1]
    assert (made.session.turn_count, made.session.last_turn) == (2, "t2")
    request = document_pb2.GetDocumentRequest(name=made.turns[0].document)
    document = await server.documents.GetDocument(request)
    assert document.name == f"{BANK}/documents/s~t1"
    assert (document.title, document.text) == ("user, 5 January 2024", "I like green tea.")
    assert dict(document.metadata) == {
        "session": "s",
        "agent": "ann",
        "role": "user",
        "position": 0,
    }
    asked = memory_pb2.AskRequest(
        bank=BANK, question="Who likes green tea?", filter='metadata.role = "user"'
    )
    events = [event async for event in server.memory.Ask(asked)]
    assert events[-1].done.answer == "I like green tea."
    listed = await turns_of(server, "s")
    assert listed == list(made.turns)
    assert listed[1].tool_calls == [call]
    assert await recall_ids(server, "s", "search tea", filter='metadata.role = "assistant"') == [
        "s~t2"
    ]


async def test_turns_are_appended_once_and_in_order(server: Served) -> None:
    first = await append(server, "s", new_turn("One.", "a"), new_turn("Two.", "b"), after="")
    again = await append(server, "s", new_turn("Two.", "b"))
    assert again.turns == [first.turns[1]]
    assert not again.HasField("operation")
    refusals: list[tuple[dict[str, Any], grpc.StatusCode, str]] = [
        (
            {"turns": [new_turn("Three.", "c")], "after": "a"},
            grpc.StatusCode.ABORTED,
            "TURN_OUT_OF_ORDER",
        ),
        (
            {"turns": [new_turn("Three.", "c")], "after": ""},
            grpc.StatusCode.ABORTED,
            "TURN_OUT_OF_ORDER",
        ),
        (
            {"turns": [new_turn("Three.", "c"), new_turn("Other.", "a")]},
            grpc.StatusCode.ALREADY_EXISTS,
            "TURN_EXISTS",
        ),
    ]
    for fields, code, reason in refusals:
        request = session_pb2.AppendTurnsRequest(name=SESSION, **fields)
        refusal = await refused(server.sessions.AppendTurns(request))
        assert (refusal.code, refusal.reason) == (code, reason)
    assert [turn.content for turn in await turns_of(server, "s")] == ["One.", "Two."]
    await append(server, "s", new_turn("Three."), after="b")
    names = [turn.content for turn in await turns_of(server, "s", newest_first=True)]
    assert names == ["Three.", "Two.", "One."]


async def test_writers_at_once_keep_their_turns_together(server: Served) -> None:
    def one(writer: int) -> Any:
        return append(server, "s", *(new_turn(f"{writer} {n}.") for n in range(3)))

    await asyncio.gather(*(one(writer) for writer in range(8)))
    told = [turn.content.split()[0] for turn in await turns_of(server, "s")]
    assert len(told) == 24
    assert all(len({*told[at : at + 3]}) == 1 for at in range(0, 24, 3))


async def test_sessions_are_listed_ended_and_deleted(server: Served) -> None:
    await create(server, "x", agent="bob", metadata=struct(topic="tea"))
    refusal = await refused(
        server.sessions.CreateSession(session_pb2.CreateSessionRequest(parent=BANK, session_id="x"))
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
    made = await create(server, "")
    listing = session_pb2.ListSessionsRequest(parent=BANK, page_size=2)
    page = await server.sessions.ListSessions(listing)
    names = [one.name for one in page.sessions]
    listing.page_token = page.next_page_token
    names += [one.name for one in (await server.sessions.ListSessions(listing)).sessions]
    assert names == [SESSION, f"{BANK}/sessions/x", made.name]
    only = session_pb2.ListSessionsRequest(parent=BANK, agent="bob")
    (found,) = (await server.sessions.ListSessions(only)).sessions
    assert (found.name, dict(found.metadata)) == (f"{BANK}/sessions/x", {"topic": "tea"})
    await append(server, "x", new_turn("Tea is hot."), new_turn("Tea is green."))
    for _ in range(2):
        ended = await server.sessions.EndSession(session_pb2.EndSessionRequest(name=found.name))
        assert ended.HasField("end_time")
    late = session_pb2.AppendTurnsRequest(name=found.name, turns=[new_turn("More.")])
    refusal = await refused(server.sessions.AppendTurns(late))
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SESSION_ENDED",
    )
    assert len(await recall_ids(server, "x", "tea")) == 2
    delete = session_pb2.DeleteSessionRequest(name=found.name)
    assert (await server.sessions.DeleteSession(delete)).turn_count == 2
    assert await recall_ids(server, "s", "tea", scope="BANK") == []
    refusal = await refused(
        server.sessions.GetSession(session_pb2.GetSessionRequest(name=found.name))
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")


async def test_a_fork_shares_what_was_said_and_goes_its_own_way(server: Served) -> None:
    await append(server, "s", new_turn("Tea one.", "a"), new_turn("Tea two.", "b"))
    fork = session_pb2.ForkSessionRequest(name=SESSION, turn_id="a", session_id="f")
    made = await server.sessions.ForkSession(fork)
    assert (made.agent, made.forked_from, made.forked_at) == ("ann", SESSION, "a")
    await append(server, "f", new_turn("Tea three.", "c"), after="a")
    turns = await turns_of(server, "f")
    assert [turn.name for turn in turns] == [f"{SESSION}/turns/a", f"{BANK}/sessions/f/turns/c"]
    assert [turn.position for turn in turns] == [0, 1]
    assert await recall_ids(server, "f", "tea", scope="SESSION") == ["f~c", "s~a"]
    assert await recall_ids(server, "f", "tea", scope="OTHER_SESSIONS") == ["s~b"]
    beyond = session_pb2.ForkSessionRequest(name=SESSION, turn_id="c")
    refusal = await refused(server.sessions.ForkSession(beyond))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "TURN_NOT_FOUND")


async def test_scopes_decide_what_a_session_is_reminded_of(server: Served) -> None:
    await server.add("The tea of the bank.")
    for session, agent in (("s2", "ann"), ("o", "bob"), ("n", "")):
        await create(server, session, agent=agent)
    for session in ("s", "s2", "o", "n"):
        await append(server, session, new_turn("I drink tea.", "t"))
    everything = ["d0", "n~t", "o~t", "s2~t", "s~t"]
    for scope, seen in (
        ("SCOPE_UNSPECIFIED", ["s2~t", "s~t"]),
        ("SESSION", ["s~t"]),
        ("OTHER_SESSIONS", ["s2~t"]),
        ("AGENT", ["s2~t", "s~t"]),
        ("BANK", everything),
    ):
        assert await recall_ids(server, "s", "tea", scope=scope) == seen
    assert await recall_ids(server, "s", "tea", scope="BANK", filter='id = "d0"') == ["d0"]


async def test_turns_are_taken_while_the_model_loads(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow() -> BagModel:
        gate.wait(30)
        return BagModel()

    async with serving(tmp_path, slow, ready=False) as server:
        await server.create_bank()
        await create(server, "s")
        request = session_pb2.AppendTurnsRequest(name=SESSION, turns=[new_turn("Tea is green.")])
        made = await server.sessions.AppendTurns(request)
        recall = session_pb2.RecallInSessionRequest(name=SESSION, question="tea")
        build = session_pb2.BuildSessionContextRequest(name=SESSION, max_tokens=100)
        for call in (
            server.sessions.RecallInSession(recall),
            server.sessions.BuildSessionContext(build),
        ):
            refusal = await refused(call)
            assert refusal.reason == "MODEL_LOADING"
        gate.set()
        await server.done(made.operation)
        assert len(await recall_ids(server, "s", "tea")) == 1


async def test_titles_tell_what_the_setting_says(tmp_path: Path) -> None:
    async with serving(tmp_path, services={"turn_context": "neighboured"}) as server:
        await server.create_bank()
        await create(server, "s")
        when = datetime(2024, 1, 5, tzinfo=UTC)
        await append(server, "s", new_turn("Where do you live?", time=when))
        made = await append(
            server, "s", new_turn("In Lyon.", time=when), new_turn("Ah.", time=when)
        )
        titles = []
        for turn in made.turns:
            request = document_pb2.GetDocumentRequest(name=turn.document)
            titles.append((await server.documents.GetDocument(request)).title)
        assert titles == [
            "user, 5 January 2024, after: Where do you live?",
            "user, 5 January 2024, after: In Lyon.",
        ]


_BAD_TURNS: list[tuple[list[session_pb2.NewTurn], dict[str, Any], str]] = [
    ([], {}, "turns"),
    ([new_turn("x")] * 101, {}, "turns"),
    ([new_turn("")], {}, "turns[0].content"),
    ([new_turn(" \n")], {}, "turns[0].content"),
    ([new_turn("x"), new_turn("é" * (1 << 19) + "x")], {}, "turns[1].content"),
    ([new_turn("a\0b")], {}, "turns[0].content"),
    ([new_turn("x", role="")], {}, "turns[0].role"),
    ([new_turn("x", role="a\nb")], {}, "turns[0].role"),
    ([new_turn("x", role="x" * 65)], {}, "turns[0].role"),
    ([new_turn("x", "a b")], {}, "turns[0].turn_id"),
    ([new_turn("x", "a"), new_turn("x", "a")], {}, "turns[1].turn_id"),
    ([new_turn("x", tool_calls=[session_pb2.ToolCall(id="1")])], {}, "turns[0].tool_calls[0].name"),
    ([new_turn("x")], {"after": "a b"}, "after"),
    ([new_turn("x")], {"request_id": "1"}, "request_id"),
    ([new_turn("x")], {"name": f"{BANK}/sessions/a~b"}, "name"),
]


async def test_bad_turns_are_named_and_nothing_changes(server: Served) -> None:
    before = await server.sessions.GetSession(session_pb2.GetSessionRequest(name=SESSION))
    for turns, fields, field in _BAD_TURNS:
        request = session_pb2.AppendTurnsRequest(**{"name": SESSION, "turns": turns, **fields})
        refusal = await refused(server.sessions.AppendTurns(request))
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.fields == [field]
    assert await server.sessions.GetSession(session_pb2.GetSessionRequest(name=SESSION)) == before
    assert await turns_of(server, "s") == []


async def test_unknown_sessions_are_not_found(server: Served) -> None:
    name = f"{BANK}/sessions/none"
    for call in (
        server.sessions.GetSession(session_pb2.GetSessionRequest(name=name)),
        server.sessions.AppendTurns(
            session_pb2.AppendTurnsRequest(name=name, turns=[new_turn("Tea.")])
        ),
        server.sessions.ListTurns(session_pb2.ListTurnsRequest(name=name)),
        server.sessions.RecallInSession(
            session_pb2.RecallInSessionRequest(name=name, question="tea")
        ),
        server.sessions.BuildSessionContext(
            session_pb2.BuildSessionContextRequest(name=name, query="tea", max_tokens=10)
        ),
        server.sessions.ForkSession(session_pb2.ForkSessionRequest(name=name)),
        server.sessions.EndSession(session_pb2.EndSessionRequest(name=name)),
        server.sessions.DeleteSession(session_pb2.DeleteSessionRequest(name=name)),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    nowhere = session_pb2.CreateSessionRequest(parent="banks/none")
    refusal = await refused(server.sessions.CreateSession(nowhere))
    assert refusal.reason == "BANK_NOT_FOUND"
