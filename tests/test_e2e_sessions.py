"""Sessions against a real server: what is said is remembered, found, and forgotten when asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from memsvc_client import (
    Aborted,
    AlreadyExists,
    AsyncMemoryClient,
    FailedPrecondition,
    InvalidArgument,
    MemoryClient,
    NewTurn,
    NotFound,
    Recency,
    SessionHandle,
)

from tests.e2e_support import (
    FACTS,
    QUESTION,
    TALK,
    Served,
    files_with,
    serving,
)

_numbers = count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("sessions") / "data") as running:
        with MemoryClient(running.target) as client:
            client.wait_serving()
        yield running


@pytest.fixture
def client(served: Served) -> Iterator[MemoryClient]:
    with MemoryClient(served.target, timeout=120) as made:
        yield made


@pytest.fixture
def bank(client: MemoryClient) -> str:
    """A fresh, empty bank."""
    return client.create_bank(f"bank-{next(_numbers)}").id


@pytest.fixture
def chat(client: MemoryClient, bank: str) -> SessionHandle:
    """A session of the agent `guide` in which `TALK` was said."""
    made = client.session(bank, "talk", agent="guide")
    made.extend(TALK, wait=True)
    return made


@pytest.mark.usefixtures("chat")
def test_what_was_said_is_recalled_by_another_client(
    client: MemoryClient, bank: str, served: Served
) -> None:
    with MemoryClient(served.target, timeout=120) as other:
        (first, *_) = other.recall_in_session(bank, "talk", QUESTION, scope="session").hits
        turns = list(other.list_turns(bank, "talk"))
        assert first.document in {one.document for one in turns[:2]}
        assert [(one.role, one.content) for one in turns] == TALK
        assert [one.position for one in turns] == [0, 1, 2, 3]
        shown = other.get_session(bank, "talk")
    assert (shown.agent, shown.turn_count, shown.last_turn) == ("guide", 4, turns[-1].id)
    answer = client.ask_answer(bank, QUESTION, filter='metadata.role = "user"')
    assert "Flensburg" in answer.text
    assert answer.citations[0].document == turns[0].document


def test_a_restart_keeps_every_turn(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as first, MemoryClient(first.target) as client:
        client.create_bank("kept")
        client.session("kept", "talk", agent="guide").extend(TALK)  # Encoding may not have begun.
        client.create_session("kept", "later", agent="guide")
    with serving(tmp_path / "data") as second, MemoryClient(second.target, timeout=120) as client:
        for operation in client.list_operations(bank="kept"):
            assert client.wait_operation(operation, timeout=120).state == "DONE"
        chat = client.session("kept", "talk", create=False)
        assert [(one.role, one.content) for one in chat.turns()] == TALK
        later = client.session("kept", "later", create=False)
        hits = later.recall(QUESTION, scope="other_sessions").hits
        assert hits[0].document_id.startswith("talk~")
        built = later.context(200, QUESTION)
        assert "Flensburg" in built.text
        assert built.memories[0].session == chat.name


@pytest.mark.parametrize("tokenizer", ["", "characters"])
def test_a_context_keeps_its_budget(chat: SessionHandle, tokenizer: str) -> None:
    for budget in (1, 40, 150, 2000):
        built = chat.context(budget, QUESTION, tokenizer=tokenizer, recent_turns=2)
        assert built.tokens <= budget
        if tokenizer == "characters":
            assert len(built.text) == built.tokens
        assert not {one.document for one in built.recent} & {
            one.citation.document for one in built.memories
        }
    assert "Flensburg" in built.text
    assert [one.content for one in built.recent] == [content for _, content in TALK[2:]]
    assert built.text.endswith(TALK[3][1])
    assert {one.role for one in built.memories} <= {"user", "assistant"}
    none = chat.context(2000, QUESTION, recent_turns=0)
    assert none.recent == ()
    short = chat.context(2000, QUESTION, template="Know this.\n{memories}\nSo:\n{recent}")
    assert short.text.startswith("Know this.\n")
    with pytest.raises(InvalidArgument) as caught:
        chat.context(100, tokenizer="nobody's")
    assert caught.value.reason == "UNKNOWN_TOKENIZER"


def test_scopes_keep_agents_apart(client: MemoryClient, bank: str, chat: SessionHandle) -> None:
    client.add(bank, FACTS)
    other = client.session(bank, "other", agent="guide")
    other.append("user", "The boat of my neighbour Ottokar lies in Kiel.", wait=True)
    stranger = client.session(bank, "strange", agent="stranger")
    stranger.append("user", "My boat lies in Rostock.", wait=True)
    for operation in client.list_operations(bank=bank):
        client.wait_operation(operation, timeout=120)

    def found(scope: str) -> set[str]:
        hits = chat.recall("Where does the boat lie?", scope=scope).hits  # type: ignore[arg-type]
        return {one.document_id.partition("~")[0] for one in hits}

    assert found("session") == {"talk"}
    assert found("other_sessions") == {"other"}
    assert found("agent") == {"talk", "other"}
    assert "strange" in found("bank")
    assert found("bank") & {one.document_id for one in FACTS}


def test_a_fork_goes_its_own_way(client: MemoryClient, bank: str, chat: SessionHandle) -> None:
    turns = list(chat.turns())
    fork = chat.fork(turns[1].id, new_session="fork")
    fork.append("user", "She sold it to a man from Husum.", wait=True)
    assert [one.content for one in fork.turns()] == [
        TALK[0][1],
        TALK[1][1],
        "She sold it to a man from Husum.",
    ]
    assert [one.name for one in fork.turns()][:2] == [one.name for one in turns[:2]]
    shown = fork.get()
    assert (shown.forked_from, shown.forked_at, shown.agent) == (chat.name, turns[1].id, "guide")
    assert [one.content for one in chat.turns()] == [content for _, content in TALK]
    (first, *_) = fork.recall(QUESTION, scope="session").hits
    assert first.document in {one.document for one in turns[:2]}
    soup = fork.recall("What was for lunch?", scope="session").hits
    assert turns[2].document not in {one.document for one in soup}
    with pytest.raises(NotFound) as caught:
        chat.fork("nowhere")
    assert caught.value.reason == "TURN_NOT_FOUND"
    assert chat.delete() == 4
    assert [one.content for one in fork.turns()] == ["She sold it to a man from Husum."]
    assert [one.id for one in client.list_sessions(bank, agent="guide")] == ["fork"]


def test_an_ended_session_stays_memory(chat: SessionHandle) -> None:
    assert chat.end().end_time is not None
    assert chat.end().end_time == chat.get().end_time
    with pytest.raises(FailedPrecondition) as caught:
        chat.append("user", "One more thing.")
    assert caught.value.reason == "SESSION_ENDED"
    assert chat.recall(QUESTION).hits


def test_time_decides_what_was_known_and_what_counts(client: MemoryClient, bank: str) -> None:
    chat = client.session(bank, "moves", agent="guide")
    now = datetime.now(UTC)
    places = [("Lisbon", 900), ("Oslo", 400), ("Vienna", 1)]
    chat.extend(
        [
            NewTurn("user", f"I have moved to {place}.", time=now - timedelta(days=days))
            for place, days in places
        ],
        wait=True,
    )
    documents = [one.document for one in chat.turns()]
    question = "To which city have I moved?"
    early = chat.recall(question, as_of=now - timedelta(days=500))
    assert {one.document for one in early.hits} == {documents[0]}
    built = chat.context(300, question, as_of=now - timedelta(days=300), recent_turns=0)
    assert "Vienna" not in built.text
    assert "Oslo" in built.text
    recent = chat.recall(question, recency=Recency(timedelta(days=30), 5.0))
    assert recent.hits[0].document == documents[2]
    before = client.recall(
        bank, question, as_of=now - timedelta(days=300), recency=Recency(timedelta(days=30), 5.0)
    )
    assert before.hits[0].document == documents[1]
    with pytest.raises(InvalidArgument):
        chat.recall(question, recency=Recency(0))


def test_appending_twice_and_out_of_turn(
    client: MemoryClient, bank: str, chat: SessionHandle
) -> None:
    last = chat.append("user", "Fifth.", turn_id="fifth", after=chat.get().last_turn)
    assert last.position == 4
    again = chat.extend(NewTurn("user", "Fifth.", turn_id="fifth"))
    assert (again.turns[0].position, again.operation, again.session.turn_count) == (4, None, 5)
    with pytest.raises(AlreadyExists) as taken:
        chat.append("user", "Something else.", turn_id="fifth")
    with pytest.raises(Aborted) as late:
        chat.append("user", "Sixth.", after="")
    with pytest.raises(AlreadyExists) as made:
        client.create_session(bank, "talk")
    reasons = [one.value.reason for one in (taken, late, made)]
    assert reasons == ["TURN_EXISTS", "TURN_OUT_OF_ORDER", "SESSION_EXISTS"]
    assert not any(one.value.retryable for one in (taken, late, made))
    with pytest.raises(InvalidArgument) as bad:
        chat.extend([("user", "Good."), ("", "No role.")])
    assert "role" in bad.value.field_violations[0].field
    assert chat.get().turn_count == 5


def test_a_session_ends_with_its_time(client: MemoryClient, bank: str) -> None:
    client.add(bank, FACTS)
    soon = client.session(bank, "soon", ttl=timedelta(seconds=1.5))
    turn = soon.append("user", "A word that is soon forgotten.")
    assert turn.document_id.startswith("soon~")
    for operation in client.list_operations(bank=bank):
        client.wait_operation(operation, timeout=120)
    deadline = time.monotonic() + 30
    while any(one.id == "soon" for one in client.list_sessions(bank)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(NotFound):
        soon.get()
    hits = client.recall(bank, "Which word is soon forgotten?").hits
    assert turn.document not in {one.document for one in hits}


async def test_the_story_by_asyncio(served: Served) -> None:
    async with AsyncMemoryClient(served.target, timeout=120) as client:
        bank = (await client.create_bank(f"bank-{next(_numbers)}")).id
        chat = await client.session(bank, agent="guide")
        await chat.extend(TALK, wait=True)
        assert [one.position async for one in chat.turns(newest_first=True)] == [3, 2, 1, 0]
        recall = await chat.recall(QUESTION, recency=Recency(3600), as_of=datetime.now(UTC))
        assert recall.hits
        assert (await client.feedback(recall, True)).relevant
        built = await chat.context(120, QUESTION)
        assert built.tokens <= 120
        fork = await chat.fork(new_session="fork")
        assert (await fork.append("user", "And then hyssop-4720?", wait=True)).position == 4
        assert files_with("hyssop-4720", served.data)
        assert (await fork.end()).end_time is not None
        assert [one.id async for one in client.list_sessions(bank)] == [chat.id, "fork"]
        receipt = await client.forget_documents(bank, agent="guide", compact=True)
        assert (receipt.document_count, receipt.session_count, receipt.compacted) == (5, 2, True)
    assert files_with("hyssop-4720", served.data) == []
