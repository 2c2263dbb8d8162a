"""Sessions: what is appended stays in order, once, and is shared by forks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from memsvc_storage import (
    BankNotFound,
    Idempotency,
    InvalidDocument,
    NewDocument,
    NewSession,
    NewTurn,
    QuotaExceeded,
    RequestConflict,
    Session,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    Store,
    ToolCall,
    TurnExists,
    TurnOutOfOrder,
)
from memsvc_storage.lineage import ENDLESS
from memsvc_storage.session_models import PartRow, SessionRow
from sqlalchemy import insert, literal, select

from tests.storage_session_support import append, ids, listed, turn
from tests.storage_support import Place, commit

pytest_plugins = ["tests.storage_support", "tests.storage_session_support"]

WHEN = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
CALL = ToolCall("c1", "weather", '{"city": "Bern"}', "rain")


def test_a_session_survives_a_restart(store: Store, place: Place) -> None:
    new = NewSession("s", "ada", {"topic": "travel", "deep": True}, WHEN + timedelta(days=9000))
    made = store.create_session("b", new)
    assert (made.agent, made.metadata, made.expire_time) == ("ada", new.metadata, new.expire_time)
    assert (made.turn_count, made.last_turn, made.end_time, made.lineage) == (0, "", None, ())
    said = NewTurn("t0", "tool", "", (CALL,), WHEN, "a title", "a text")
    result = append(store, "s", said, "t1")
    assert (result.session.turn_count, result.session.last_turn) == (2, "t1")
    store.end_session("b", "s")
    before = store.get_session("b", "s"), store.list_turns("b", "s", 9).items
    assert before[1] == result.turns
    first = before[1][0]
    assert (first.role, first.content, first.tool_calls, first.time) == ("tool", "", (CALL,), WHEN)
    assert (first.session_id, first.position, first.document_id) == ("s", 0, "s~t0")
    store = place.open()
    assert (store.get_session("b", "s"), store.list_turns("b", "s", 9).items) == before
    assert store.get_session("b", "s").end_time is not None


def test_a_turn_is_a_document_from_the_moment_it_is_appended(chat: Store) -> None:
    result = append(chat, "s", NewTurn("t", "user", "said", (), WHEN, "a title", "a text"))
    document = chat.get_document("b", "s~t")
    assert (document.title, document.text, document.event_time) == ("a title", "a text", WHEN)
    assert document.metadata == {"session": "s", "agent": "ada", "role": "user", "position": 0}
    assert chat.get_bank("b").text_bytes == len("a title" + "a text")
    assert result.operation is not None
    assert (result.operation.state, result.operation.total) == ("PENDING", 1)
    commit(chat, chat.pending(9, 999))
    assert chat.get_operation(result.operation.operation_id).state == "DONE"


def test_a_turn_without_time_and_id_is_said_now(store: Store) -> None:
    made = store.create_session("b", NewSession())
    start = datetime.now(UTC)
    result = append(store, made.session_id, turn(None, "a"), turn(None, "b"))
    names = ids(result.turns)
    assert names == sorted(names)
    assert all(start <= one.time <= datetime.now(UTC) for one in result.turns)
    facts = store.get_document("b", result.turns[1].document_id)
    assert facts.event_time == result.turns[1].time
    assert facts.metadata == {"session": made.session_id, "role": "user", "position": 1}


def test_session_ids_are_taken_once(chat: Store) -> None:
    with pytest.raises(SessionExists):
        chat.create_session("b", NewSession("s"))
    chat.create_bank("c")
    chat.create_session("c", NewSession("s"))
    for unknown in (("b", "t"), ("c", "t")):
        with pytest.raises(SessionNotFound):
            chat.get_session(*unknown)
    with pytest.raises(BankNotFound):
        chat.create_session("d", NewSession("s"))
    assert chat.list_sessions("b", 9).items != chat.list_sessions("c", 9).items


def test_what_is_there_already_is_not_doubled(chat: Store) -> None:
    first = append(chat, "s", "t0", turn("t1", tool_calls=(CALL,)))
    again = append(chat, "s", turn("t1", tool_calls=(CALL,)), "t0", after="long ago")
    assert again.turns == first.turns[::-1]
    assert again.operation is None
    more = append(chat, "s", "t0", "t2", "t2")
    assert ids(more.turns) == ["t0", "t2", "t2"]
    assert more.operation is not None
    assert more.operation.total == 1
    chat.end_session("b", "s")
    assert append(chat, "s", "t2").turns == more.turns[1:2]
    assert ids(listed(chat, "s")) == ["t0", "t1", "t2"]
    assert chat.get_bank("b").document_count == 3


@pytest.mark.parametrize(
    "other",
    [turn("t1", "another"), turn("t1", role="assistant"), turn("t1", tool_calls=(CALL,))],
    ids=["content", "role", "tool calls"],
)
def test_an_id_stands_for_one_turn(chat: Store, other: NewTurn) -> None:
    append(chat, "s", "t0", "t1")
    with pytest.raises(TurnExists) as caught:
        append(chat, "s", "t2", other)
    assert caught.value.turn_id == "t1"
    with pytest.raises(TurnExists):
        append(chat, "s", "t3", turn("t3", "another"))
    assert ids(listed(chat, "s")) == ["t0", "t1"]


def test_a_document_that_is_no_turn_keeps_its_id(chat: Store) -> None:
    chat.add_documents("b", [NewDocument("mine", document_id="s~t")])
    with pytest.raises(TurnExists):
        append(chat, "s", "t")
    assert chat.get_document("b", "s~t").text == "mine"


def test_a_repeated_request_changes_nothing(chat: Store) -> None:
    request = Idempotency("r", "AppendTurns", "digest")
    named = append(chat, "s", "t0").turns
    first = append(chat, "s", "t0", turn(None, "anonymous"), idempotency=request)
    append(chat, "s", "t9")
    again = append(chat, "s", "t0", turn(None, "anonymous"), idempotency=request)
    assert (again.turns, again.operation) == (first.turns, first.operation)
    assert again.session.last_turn == "t9"
    assert len(listed(chat, "s")) == 3
    with pytest.raises(RequestConflict):
        append(chat, "s", "t5", idempotency=Idempotency("r", "AppendTurns", "other"))
    chat.delete_document("b", first.turns[1].document_id)
    append(chat, "s", turn(first.turns[1].turn_id, "another of this id"))
    replay = append(chat, "s", "t0", idempotency=request).turns
    assert replay[0] == named[0]
    assert (replay[1].turn_id, replay[1].position) == (first.turns[1].turn_id, 1)
    assert (replay[1].content, replay[1].role) == ("", "")
    chat.delete_session("b", "s")
    gone = append(chat, "s", "t0", idempotency=request)
    assert (gone.session.session_id, gone.session.agent) == ("s", "")
    assert [one.content for one in gone.turns] == ["", ""]


def test_sessions_and_forks_are_made_once_per_request(chat: Store) -> None:
    append(chat, "s", "t0")
    made: list[Callable[[Idempotency], Session]] = [
        lambda request: chat.create_session("b", NewSession(agent="x"), request),
        lambda request: chat.fork_session("b", "s", "", NewSession(), request),
    ]
    for number, make in enumerate(made):
        request = Idempotency(str(number), "Make", "digest")
        first = make(request)
        assert make(request) == first
        chat.delete_session("b", first.session_id)
        replay = make(request)
        assert (replay.session_id, replay.agent) == (first.session_id, "")
    assert [one.session_id for one in chat.list_sessions("b", 9).items] == ["s"]


def test_after_holds_the_order(chat: Store) -> None:
    append(chat, "s", "t0", after="")
    with pytest.raises(TurnOutOfOrder) as caught:
        append(chat, "s", "t1", after="")
    assert (caught.value.after, caught.value.last) == ("", "t0")
    append(chat, "s", "t1", after="t0")
    with pytest.raises(TurnOutOfOrder):
        append(chat, "s", "t2", after="t0")
    chat.delete_document("b", "s~t1")
    append(chat, "s", "t2", after="t0")
    assert [(one.turn_id, one.position) for one in listed(chat, "s")] == [("t0", 0), ("t2", 2)]


@pytest.mark.parametrize("after", [False, True])
def test_of_writers_at_once_one_comes_first(chat: Store, after: bool) -> None:
    batches = [[f"w{writer}-{index}" for index in range(7)] for writer in range(12)]
    start = threading.Barrier(len(batches))

    def write(names: list[str]) -> bool:
        start.wait()
        try:
            append(chat, "s", *names, **({"after": ""} if after else {}))
        except TurnOutOfOrder:
            return False
        return True

    with ThreadPoolExecutor(len(batches)) as pool:
        won = list(pool.map(write, batches))
    assert sum(won) == (1 if after else len(batches))
    found = listed(chat, "s", page=10)
    assert [one.position for one in found] == list(range(7 * sum(won)))
    groups = [ids(found[at : at + 7]) for at in range(0, len(found), 7)]
    assert sorted(groups) == sorted(batch for batch, ok in zip(batches, won, strict=True) if ok)


def test_an_ended_session_takes_no_more_and_stays(chat: Store) -> None:
    append(chat, "s", "t0")
    ended = chat.end_session("b", "s")
    assert ended.end_time is not None
    assert chat.end_session("b", "s") == ended
    with pytest.raises(SessionEnded):
        append(chat, "s", "t1")
    assert ids(listed(chat, "s")) == ["t0"]
    assert chat.fork_session("b", "s", "", NewSession("on")).end_time is None
    assert append(chat, "on", "t1").session.turn_count == 2


def test_all_turns_are_taken_or_none(store: Store) -> None:
    store.update_bank("b", quota_bytes=30)
    store.create_session("b", NewSession("s"))
    append(store, "s", turn("t0", "x" * 16, title=""))
    with pytest.raises(QuotaExceeded):
        append(store, "s", turn("t1", "y", title=""), turn("t2", "z" * 14, title=""))
    for wrong in (turn("t1", "NUL \0"), turn("t1", tool_calls=(ToolCall("", "f", "\0", ""),))):
        with pytest.raises(InvalidDocument):
            append(store, "s", turn("t1", "y"), wrong)
    assert ids(listed(store, "s")) == ["t0"]
    bank = store.get_bank("b")
    assert (bank.document_count, bank.text_bytes) == (1, 16)
    with pytest.raises(SessionNotFound):
        append(store, "unknown", "t0")


def _many(store: Store, count: int) -> list[str]:
    """Sessions of three agents by turns, made in one transaction: one each would take minutes."""
    names = [f"s{number:04}" for number in range(count)]
    number = store.get_bank("b").id
    empty = {"meta": {}, "forked_from": "", "forked_at": "", "next_position": 0}
    times = {"create_time": WHEN, "update_time": WHEN}
    rows = [
        {"bank_id": number, "session_id": name, "agent": f"agent-{at % 3}", **empty, **times}
        for at, name in enumerate(names)
    ]
    whole = select(SessionRow.id, SessionRow.id, literal(ENDLESS))
    with store._db.write() as session:
        session.execute(insert(SessionRow), rows)
        session.execute(insert(PartRow).from_select(["number", "part", "up_to"], whole))
    return names


def test_thousands_of_sessions_are_listed_by_pages(store: Store) -> None:
    made = _many(store, 2500)
    for name in made[::50]:
        append(store, name, "t0", "t1")
    found: list[Session] = []
    key: str | None = None
    while True:
        page = store.list_sessions("b", 1000, key)
        found += page.items
        key = page.next_key
        if key is None:
            break
    assert [one.session_id for one in found] == made
    assert [one.turn_count for one in found[::50]] == [2] * 50
    assert sum(one.turn_count for one in found) == 100
    first = store.list_sessions("b", 2, agent="agent-1")
    assert [one.session_id for one in first.items] == made[1:5:3]
    second = store.list_sessions("b", 2, first.next_key, agent="agent-1")
    assert [one.session_id for one in second.items] == made[7:11:3]
    assert store.list_sessions("b", 9, agent="nobody").items == []


def test_an_expired_session_is_gone(store: Store) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    for name, when in (("old", past), ("older", past - timedelta(days=1)), ("kept", None)):
        store.create_session("b", NewSession(name, expire_time=when))
    store.create_session("b", NewSession("later", expire_time=datetime.now(UTC) + timedelta(1)))
    for call in (store.get_session, store.end_session):
        with pytest.raises(SessionNotFound):
            call("b", "old")
    with pytest.raises(SessionNotFound):
        append(store, "old", "t0")
    assert [one.session_id for one in store.list_sessions("b", 9).items] == ["kept", "later"]
    assert store.expired_sessions(datetime.now(UTC), 9) == [("b", "older"), ("b", "old")]
    store.create_session("b", NewSession("old", "anew"))
    store.delete_session("b", "older")
    assert store.expired_sessions(datetime.now(UTC), 9) == []
    assert store.get_session("b", "old").agent == "anew"


def test_turns_expire_with_their_session(store: Store) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    store.create_session("b", NewSession("s", expire_time=soon))
    (made,) = append(store, "s", "t0").turns
    assert store.get_document("b", made.document_id).expire_time == soon
