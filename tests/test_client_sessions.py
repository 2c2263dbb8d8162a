"""Sessions, forgetting and feedback by the SDK: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from memsvc_client import (
    AskOptions,
    AsyncMemoryClient,
    FailedPrecondition,
    InvalidArgument,
    MemoryClient,
    NewTurn,
    NotFound,
    Recency,
    ToolCall,
)
from memsvc_proto.v1 import memory_pb2, session_pb2

from tests.client_session_support import WHEN, session_server
from tests.client_support import Record, reason, status

NOW = datetime.fromtimestamp(WHEN.seconds, UTC)


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    with session_server() as running:
        yield running


@pytest.fixture
def client(server: tuple[str, Record]) -> Iterator[MemoryClient]:
    with MemoryClient(server[0]) as made:
        yield made


@pytest.fixture
def requests(server: tuple[str, Record]) -> list[Any]:
    return server[1].requests


def test_a_session_is_made_as_it_was_asked_for(client: MemoryClient, requests: list[Any]) -> None:
    made = client.create_session("b", "s", agent="bot", metadata={"n": 1}, expire_time=NOW)
    assert (made.id, made.agent, dict(made.metadata)) == ("s", "bot", {"n": 1})
    assert (made.expire_time, made.end_time, made.last_turn) == (NOW, None, "t6")
    assert client.create_session("banks/b").id == "made"
    first, second = requests
    assert (first.parent, first.session_id) == ("banks/b", "s")
    assert not second.session.ListFields()
    assert first.request_id != second.request_id != ""


def test_a_time_to_live_counts_from_now(client: MemoryClient, requests: list[Any]) -> None:
    before = datetime.now(UTC)
    client.create_session("b", ttl=timedelta(hours=1))
    left = requests[0].session.expire_time.ToDatetime(tzinfo=UTC) - before
    assert timedelta(hours=1) <= left < timedelta(hours=1, minutes=1)
    with pytest.raises(InvalidArgument, match="one of them"):
        client.create_session("b", ttl=timedelta(hours=1), expire_time=NOW)


@pytest.mark.parametrize(
    "turns",
    [
        ("user", "hello"),
        NewTurn("user", "hello"),
        [("user", "hello")],
        (NewTurn("user", "hello"),),
        iter([("user", "hello")]),
    ],
)
def test_a_turn_may_be_given_in_several_ways(
    client: MemoryClient, requests: list[Any], turns: Any
) -> None:
    result = client.append_turns("b", "s", turns)
    assert list(requests[0].turns) == [session_pb2.NewTurn(role="user", content="hello")]
    assert result.operation is not None
    assert (len(result.turns), result.session.turn_count) == (1, 8)


@pytest.mark.parametrize("turns", ["hello", [("user", "a", "b")], ["hello"], [("user", 5)]])
def test_what_is_no_turn_is_refused(client: MemoryClient, requests: list[Any], turns: Any) -> None:
    with pytest.raises(InvalidArgument, match="NewTurn"):
        client.append_turns("b", "s", turns)
    assert not requests


def test_a_turn_travels_with_all_its_fields(client: MemoryClient, requests: list[Any]) -> None:
    call = ToolCall("look", '{"where": "pot"}', "found", "c1")
    turn = NewTurn("assistant", "I look.", turn_id="t7", tool_calls=[call], time=NOW)
    client.append_turns("b", "s", turn, after="")
    (sent,) = requests[0].turns
    assert requests[0].HasField("after")
    assert (sent.turn_id, sent.role, sent.content, sent.time) == (
        "t7",
        "assistant",
        "I look.",
        WHEN,
    )
    (told,) = sent.tool_calls
    assert (told.id, told.name, told.arguments, told.result) == (
        call.id,
        call.name,
        call.arguments,
        call.result,
    )
    client.append_turns("b", "s", turn, after="banks/b/sessions/old/turns/t6")
    assert requests[1].after == "t6"
    client.append_turns("b", "s", turn)
    assert not requests[2].HasField("after")
    with pytest.raises(InvalidArgument, match="not in banks/b"):
        client.append_turns("b", "s", turn, after="banks/other/sessions/s/turns/t6")


def test_turns_come_page_by_page(client: MemoryClient, requests: list[Any]) -> None:
    turns = list(client.list_turns("b", "s"))
    assert [one.position for one in turns] == list(range(7))
    assert turns[1].id == "t1"
    assert (turns[1].document_id, turns[1].time, turns[1].create_time) == ("s~t1", NOW, NOW)
    assert turns[1].tool_calls == (ToolCall("look", "{}", "found", "c"),)
    assert len(requests) == 3
    latest = client.list_turns("b", "s", newest_first=True, page_size=7)
    assert [one.position for one in latest] == list(range(7))[::-1]


def test_a_question_carries_scope_time_and_recency(
    client: MemoryClient, requests: list[Any]
) -> None:
    recency = Recency(timedelta(days=2), 0.25)
    found = client.recall_in_session(
        "b", "s", "where?", scope="other_sessions", as_of=NOW, recency=recency
    )
    assert (found.bank, found.question) == ("banks/b", "where?")
    client.recall_in_session("b", "s", "where?", options=AskOptions(k=3), filter="id = 'd'")
    full, bare = requests
    assert (full.scope, full.as_of) == (session_pb2.OTHER_SESSIONS, WHEN)
    assert full.recency == memory_pb2.Recency(half_life=172_800, weight=0.25)
    assert (bare.scope, bare.filter, bare.options.k) == (0, "id = 'd'", 3)
    assert not bare.HasField("as_of")
    assert not bare.HasField("recency")
    with pytest.raises(InvalidArgument) as caught:
        client.recall_in_session("b", "s", "where?", scope="all")  # type: ignore[arg-type]
    assert caught.value.field_violations[0].field == "scope"


def test_questions_to_a_bank_carry_time_too(server: tuple[str, Record]) -> None:
    target, record = server
    record.events = [memory_pb2.AskEvent(done=memory_pb2.Done(answer="pot", found=True))]
    record.go_on.set()
    when: dict[str, Any] = {"as_of": NOW, "recency": Recency(60)}
    with MemoryClient(target) as client:
        client.recall("b", "where?", **when)
        answer = client.ask_answer("b", "where?", **when)
        assert [*client.ask("b", "where?", **when)]
    assert (answer.bank, answer.question) == ("banks/b", "where?")
    for request in record.requests:
        assert request.as_of == WHEN
        assert request.recency.half_life == 60
        assert not request.recency.HasField("weight")


def test_a_context_tells_its_memories_and_turns(client: MemoryClient, requests: list[Any]) -> None:
    built = client.build_session_context("b", "s", 100)
    assert (built.text, built.tokens) == ("[1] then so", 5)
    memory, document = built.memories
    assert (memory.session, memory.role, memory.time) == ("banks/b/sessions/s", "user", NOW)
    assert memory.citation.document_id == "s~t1"
    assert (document.session, document.time) == ("", None)
    assert [one.id for one in built.recent] == ["t6"]
    client.build_session_context(
        "b",
        "s",
        9,
        query="q",
        tokenizer="gpt",
        recent_turns=0,
        recent_share=0.0,
        template="{recent}",
    )
    bare, full = requests
    assert not bare.HasField("recent_turns")
    assert not bare.HasField("recent_share")
    assert full.HasField("recent_turns")
    assert full.HasField("recent_share")
    assert (full.query, full.max_tokens, full.tokenizer) == ("q", 9, "gpt")
    assert full.template == "{recent}"


def test_a_fork_says_what_shall_differ(client: MemoryClient, requests: list[Any]) -> None:
    made = client.fork_session("b", "s", "t3", new_session="other", agent="bot")
    assert (made.id, made.forked_from, made.forked_at) == ("other", "banks/b/sessions/s", "t3")
    client.fork_session("b", "s")
    full, bare = requests
    assert (full.turn_id, full.session_id, full.session.agent) == ("t3", "other", "bot")
    assert (bare.turn_id, bare.session_id) == ("", "")
    assert not bare.session.ListFields()


def test_ends_and_deletions(client: MemoryClient) -> None:
    assert client.end_session("b", "s").end_time == NOW
    assert client.delete_session("b", "s") == 7


def test_a_handle_opens_what_is_there_and_makes_what_is_not(
    client: MemoryClient, server: tuple[str, Record]
) -> None:
    _, record = server
    with pytest.raises(NotFound):
        client.session("b", "s", create=False)
    with pytest.raises(InvalidArgument):
        client.session("b", create=False)
    made = client.session("b", "s", agent="bot")
    again = client.session("b", "s", agent="bot")
    assert (made.name, made.id) == (again.name, again.id) == ("banks/b/sessions/s", "s")
    assert client.session("b").id == "made"
    assert record.calls["CreateSession"] == 2


def test_a_missing_bank_is_no_reason_to_make_a_session(
    client: MemoryClient, server: tuple[str, Record]
) -> None:
    _, record = server
    record.error = status(grpc.StatusCode.NOT_FOUND, "no such bank", reason("BANK_NOT_FOUND"))
    with pytest.raises(NotFound, match="no such bank"):
        client.session("b", "s")
    assert not record.calls["CreateSession"]


def test_a_handle_speaks_of_its_session(client: MemoryClient, server: tuple[str, Record]) -> None:
    _, record = server
    chat = client.session("b", "s", ttl=timedelta(days=1))
    record.requests.clear()
    assert chat.append("user", "hello", wait=True).content == "text 7"
    assert record.calls["WaitOperation"] == 3
    assert [one.id for one in chat.extend([("user", "a"), ("assistant", "b")]).turns] == [
        "t7",
        "t8",
    ]
    assert len(list(chat.turns())) == 7
    assert chat.recall("where?", scope="session").hits
    assert chat.context(64, "where?").tokens == 5
    assert chat.get().id == "s"
    assert chat.fork("t3", new_session="other").id == "other"
    assert chat.end().end_time == NOW
    assert chat.delete() == 7
    names = {one.name for one in record.requests if not one.name.startswith("operations/")}
    assert names == {"banks/b/sessions/s"}


async def test_the_async_handle_does_the_same(server: tuple[str, Record]) -> None:
    target, record = server
    async with AsyncMemoryClient(target) as client:
        chat = await client.session("b", "s")
        assert (await client.session("b", "s", create=False)).name == chat.name
        assert (await chat.append("user", "hello", wait=True)).id == "t7"
        assert (await chat.extend([("user", "a")])).session.turn_count == 8
        assert [one.position async for one in chat.turns(newest_first=True)] == [*range(7)][::-1]
        assert (await chat.recall("where?")).question == "where?"
        assert (await chat.context(64)).tokens == 5
        assert (await chat.fork()).id == "forked"
        assert (await chat.end()).end_time == NOW
        assert await chat.delete() == 7
        assert [one.id async for one in client.list_sessions("b", agent="")] == ["s", "forked"]
        assert (await chat.get()).id == "s"
    listing = next(r for r in record.requests if isinstance(r, session_pb2.ListSessionsRequest))
    assert listing.HasField("agent")


def test_an_ended_session_is_a_failed_precondition(
    client: MemoryClient, server: tuple[str, Record]
) -> None:
    ended = status(grpc.StatusCode.FAILED_PRECONDITION, "it has ended", reason("SESSION_ENDED"))
    server[1].error = ended
    with pytest.raises(FailedPrecondition) as caught:
        client.append_turns("b", "s", ("user", "more"))
    assert caught.value.reason == "SESSION_ENDED"
    assert not caught.value.retryable


def test_appending_is_repeated_with_the_same_request_id_and_deleting_is_not(
    client: MemoryClient, server: tuple[str, Record]
) -> None:
    _, record = server
    record.unavailable = 2
    client.append_turns("b", "s", ("user", "hello"))
    first, *others = record.requests
    assert others == [first, first]
    record.unavailable = 1
    with pytest.raises(ConnectionError):
        client.delete_session("b", "s")


def test_a_bank_may_be_called_sessions(client: MemoryClient, requests: list[Any]) -> None:
    client.session("sessions", "s").append("user", "hello")
    assert requests[-1].name == "banks/sessions/sessions/s"
