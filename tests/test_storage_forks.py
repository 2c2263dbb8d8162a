"""Forks: turns are shared up to one of them, forgotten together, and each goes its own way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from memsvc_storage import (
    NewSession,
    SessionExists,
    SessionNotFound,
    Store,
    TurnExists,
    TurnNotFound,
)

from tests.storage_session_support import append, ids, listed, turn
from tests.storage_support import Place

pytest_plugins = ["tests.storage_support", "tests.storage_session_support"]


def _positions(store: Store, session: str) -> list[tuple[str, str, int]]:
    return [(one.session_id, one.turn_id, one.position) for one in listed(store, session)]


def test_a_fork_shares_turns_and_goes_its_own_way(chat: Store, place: Place) -> None:
    append(chat, "s", "t0", "t1", "t2")
    fork = chat.fork_session("b", "s", "t1", NewSession("fork"))
    assert (fork.forked_from, fork.forked_at, fork.lineage) == ("s", "t1", (("s", 1),))
    assert (fork.turn_count, fork.last_turn) == (2, "t1")
    append(chat, "s", "t3")
    append(chat, "fork", "t2")
    append(chat, "fork", "f3", after="t2")
    shared = [("s", "t0", 0), ("s", "t1", 1)]
    assert _positions(chat, "s") == [*shared, ("s", "t2", 2), ("s", "t3", 3)]
    assert _positions(chat, "fork") == [*shared, ("fork", "t2", 2), ("fork", "f3", 3)]
    assert chat.get_bank("b").document_count == 6
    store = place.open()
    assert _positions(store, "fork")[2:] == [("fork", "t2", 2), ("fork", "f3", 3)]
    assert store.get_session("b", "fork").turn_count == 4


def test_a_fork_of_a_fork_shares_with_both(chat: Store) -> None:
    append(chat, "s", "t0", "t1", "t2")
    chat.fork_session("b", "s", "t1", NewSession("f"))
    append(chat, "f", "f2", "f3", "f4")
    deep = chat.fork_session("b", "f", "f3", NewSession("g"))
    append(chat, "g", "g4")
    assert deep.lineage == (("s", 1), ("f", 3))
    expected = [("s", "t0", 0), ("s", "t1", 1), ("f", "f2", 2), ("f", "f3", 3), ("g", "g4", 4)]
    assert _positions(chat, "g") == expected
    early = chat.fork_session("b", "g", "t0", NewSession("h"))
    assert (early.forked_from, early.lineage, early.last_turn) == ("g", (("s", 0),), "t0")
    append(chat, "h", "t1")
    assert _positions(chat, "h") == [("s", "t0", 0), ("h", "t1", 1)]


def test_an_id_stands_for_one_turn_of_the_whole_lineage(chat: Store) -> None:
    append(chat, "s", "t0", "t1")
    chat.fork_session("b", "s", "t0", NewSession("fork"))
    with pytest.raises(TurnExists):
        append(chat, "fork", turn("t0", "another"))
    assert append(chat, "fork", "t0").turns[0].document_id == "s~t0"
    assert append(chat, "fork", turn("t1", "another")).turns[0].document_id == "fork~t1"


def test_what_a_fork_leaves_unset_is_as_it_was(chat: Store) -> None:
    later = datetime.now(UTC) + timedelta(days=2)
    chat.create_session("b", NewSession("t", "bob", {"k": 1}, later))
    same = chat.fork_session("b", "t", "", NewSession())
    assert (same.agent, same.metadata, same.expire_time) == ("bob", {"k": 1}, later)
    assert (same.forked_from, same.forked_at, same.lineage) == ("t", "", ())
    other = NewSession("u", "eve", {"k": 2}, later + timedelta(days=1))
    made = chat.fork_session("b", "t", "", other)
    assert (made.agent, made.metadata, made.expire_time) == ("eve", {"k": 2}, other.expire_time)


def test_what_is_not_there_cannot_be_forked(chat: Store) -> None:
    append(chat, "s", "t0", "t1")
    chat.fork_session("b", "s", "t0", NewSession("fork"))
    for name in ("s", "fork"):
        with pytest.raises(TurnNotFound):
            chat.fork_session("b", name, "t9", NewSession())
    with pytest.raises(TurnNotFound):
        chat.fork_session("b", "fork", "t1", NewSession())
    with pytest.raises(SessionNotFound):
        chat.fork_session("b", "unknown", "", NewSession())
    with pytest.raises(SessionExists):
        chat.fork_session("b", "s", "t0", NewSession("fork"))


def test_a_forgotten_turn_leaves_a_gap_in_every_fork(chat: Store) -> None:
    append(chat, "s", "t0", "t1", "t2")
    chat.fork_session("b", "s", "", NewSession("fork"))
    chat.delete_document("b", "s~t2")
    chat.delete_document("b", "s~t0")
    append(chat, "s", "t3")
    append(chat, "fork", "f3")
    assert _positions(chat, "s") == [("s", "t1", 1), ("s", "t3", 3)]
    assert _positions(chat, "fork") == [("s", "t1", 1), ("fork", "f3", 3)]
    assert chat.get_session("b", "s").turn_count == 2
    again = chat.fork_session("b", "s", "t1", NewSession("again"))
    assert (again.turn_count, again.last_turn) == (1, "t1")


def test_forks_lose_what_they_shared_with_a_deleted_session(chat: Store) -> None:
    append(chat, "s", "t0", "t1")
    chat.fork_session("b", "s", "", NewSession("f"))
    append(chat, "f", "f2")
    chat.fork_session("b", "f", "", NewSession("g"))
    append(chat, "g", "g3")
    gone = chat.delete_session("b", "s")
    assert (gone.document_ids, gone.sessions) == (["s~t0", "s~t1"], 1)
    assert _positions(chat, "g") == [("f", "f2", 2), ("g", "g3", 3)]
    assert chat.get_session("b", "g").lineage == (("f", 2),)
    # Another session of that id is none of theirs.
    chat.create_session("b", NewSession("s"))
    append(chat, "s", "t0", "t1")
    assert ids(listed(chat, "f")) == ["f2"]
    assert chat.get_session("b", "f").turn_count == 1
    append(chat, "f", "t0")
    assert _positions(chat, "f")[-1] == ("f", "t0", 3)


def test_a_session_can_be_forked_under_the_id_of_an_expired_one(chat: Store) -> None:
    append(chat, "s", "t0")
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    chat.fork_session("b", "s", "", NewSession("brief", expire_time=soon))
    append(chat, "brief", "t1")
    later = datetime.now(UTC) + timedelta(days=1)
    chat.fork_session("b", "brief", "", NewSession("long", expire_time=later))
    while datetime.now(UTC) < soon:
        pass
    made = chat.fork_session("b", "long", "", NewSession("brief"))
    assert (made.lineage, made.last_turn) == ((("s", 0),), "t0")


def test_turns_are_listed_by_pages_in_both_directions(chat: Store) -> None:
    names = [f"t{number:02}" for number in range(11)]
    append(chat, "s", *names)
    chat.fork_session("b", "s", "t04", NewSession("fork"))
    append(chat, "fork", "own0", "own1")
    both = [*names[:5], "own0", "own1"]
    for page in (1, 3, 5, 100):
        assert ids(listed(chat, "s", page)) == names
        assert ids(listed(chat, "s", page, newest_first=True)) == names[::-1]
        assert ids(listed(chat, "fork", page)) == both
        assert ids(listed(chat, "fork", page, newest_first=True)) == both[::-1]
