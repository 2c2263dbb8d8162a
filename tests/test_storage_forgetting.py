"""Forgetting: all that is meant goes at once, a receipt says what, and no byte of it stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from memsvc_storage import (
    DocumentChanges,
    Forgotten,
    Idempotency,
    NewDocument,
    NewFeedback,
    NewSession,
    NewTurn,
    RequestConflict,
    SessionNotFound,
    Store,
    ToolCall,
)

from tests.storage_session_support import append, ids, listed, turn
from tests.storage_support import Place, add, commit, texts_held

pytest_plugins = ["tests.storage_support", "tests.storage_session_support"]


@pytest.fixture
def two(chat: Store) -> Store:
    """Two sessions of "ada" and one of "bob", with turns t0 and t1; and the document "d"."""
    chat.create_session("b", NewSession("s2", "ada"))
    chat.create_session("b", NewSession("other", "bob"))
    for name in ("s", "s2", "other"):
        append(chat, name, turn("t0", "zero"), turn("t1", "one"))
    chat.add_documents("b", [NewDocument("text", "title", "d")])
    return chat


def _documents(store: Store) -> list[str]:
    return [document.document_id for document in store.list_documents("b", 99).items]


def test_documents_are_forgotten_with_a_receipt(two: Store) -> None:
    commit(two, two.pending(99, 9999))
    two.update_document("b", "d", DocumentChanges(text="newer"), keep_version=True)
    commit(two, two.pending(99, 9999))
    two.record_feedback("b", NewFeedback("which?", ("d",)))
    rows = {document.document_id: document.row_id for document in two.facts("b", None)}
    receipt = two.forget_documents("b", ["d", "unknown", "s~t0"])
    size = len("title" + "newer" + "title" + "text") + len("user" + "zero")
    assert receipt == Forgotten(["s~t0", "d"], [rows["s~t0"], rows["d"]], 1, 0, size)
    assert _documents(two) == ["s~t1", "s2~t0", "s2~t1", "other~t0", "other~t1"]
    assert ids(listed(two, "s")) == ["t1"]
    assert two.list_feedback("b", 9).items == []
    bank = two.get_bank("b")
    texts = two.list_documents("b", 99, with_text=True).items
    assert bank.document_count == len(texts)
    assert bank.text_bytes == sum(len(one.title) + len(one.text) for one in texts)
    report = two.verify("b")
    assert (report.blocks, report.missing, report.corrupt) == (5, [], [])
    two.forget_documents("b", _documents(two))
    bank = two.get_bank("b")
    assert (bank.document_count, bank.text_bytes, bank.kv_bytes) == (0, 0, 0)


def test_nobody_waits_for_the_encoding_of_what_is_forgotten(chat: Store) -> None:
    operation = append(chat, "s", "t0", "t1").operation
    assert operation is not None
    chat.delete_session("b", "s")
    assert chat.get_operation(operation.operation_id).state == "DONE"
    assert chat.pending(9, 999) == []


def test_a_session_is_forgotten_with_its_turns(two: Store) -> None:
    two.fork_session("b", "s", "", NewSession("fork", "bob"))
    append(two, "fork", "t2")
    receipt = two.forget_documents("b", session_id="s")
    assert (receipt.document_ids, receipt.sessions) == (["s~t0", "s~t1"], 1)
    with pytest.raises(SessionNotFound):
        two.get_session("b", "s")
    with pytest.raises(SessionNotFound):
        two.forget_documents("b", session_id="s")
    assert ids(listed(two, "fork")) == ["t2"]
    assert _documents(two) == ["s2~t0", "s2~t1", "other~t0", "other~t1", "d", "fork~t2"]


def test_an_agent_is_forgotten_with_all_its_sessions(two: Store) -> None:
    receipt = two.forget_documents("b", agent="ada")
    assert receipt.document_ids == ["s~t0", "s~t1", "s2~t0", "s2~t1"]
    assert (receipt.sessions, receipt.text_bytes) == (2, 2 * len("userzero" + "userone"))
    assert [one.session_id for one in two.list_sessions("b", 9).items] == ["other"]
    assert _documents(two) == ["other~t0", "other~t1", "d"]
    assert two.forget_documents("b", agent="ada") == Forgotten([], [], 0, 0, 0)


def test_a_dry_run_only_tells(two: Store) -> None:
    before = _documents(two)
    told = two.forget_documents("b", agent="ada", dry_run=True)
    assert _documents(two) == before
    assert len(two.list_sessions("b", 9).items) == 3
    assert two.forget_documents("b", agent="ada") == told


def test_exactly_one_selection_is_taken(two: Store) -> None:
    both: list[dict[str, Any]]
    both = [{}, {"document_ids": ["d"], "agent": "ada"}, {"agent": "", "session_id": "s"}]
    for wrong in both:
        with pytest.raises(ValueError, match="exactly one"):
            two.forget_documents("b", **wrong)
    assert len(_documents(two)) == 7


def test_a_repeated_request_forgets_nothing_more(two: Store) -> None:
    request = Idempotency("r", "ForgetDocuments", "digest")
    first = two.forget_documents("b", ["d"], idempotency=request)
    two.add_documents("b", [NewDocument("again", document_id="d")])
    assert two.forget_documents("b", ["d"], idempotency=request) == first
    assert two.get_document("b", "d").text == "again"
    with pytest.raises(RequestConflict):
        two.forget_documents("b", ["d"], idempotency=Idempotency("r", "ForgetDocuments", "x"))


def test_what_is_forgotten_is_more_than_one_statement_holds(store: Store) -> None:
    docs = add(store, *(f"text {number}" for number in range(2100)))
    receipt = store.forget_documents("b", [doc.document_id for doc in docs[:2050]])
    assert receipt.row_ids == [doc.row_id for doc in docs[:2050]]
    assert [doc.row_id for doc in store.facts("b", None)] == [doc.row_id for doc in docs[2050:]]
    assert store.get_bank("b").document_count == 50


def _secrets(store: Store) -> list[str]:
    """Secrets in all that a session and a document hold, and their requests recorded."""
    secrets = [f"zebra-{what}-secret" for what in ("agent", "note", "role", "said", "title")]
    secrets += [f"zebra-{what}-secret" for what in ("args", "result", "text", "old", "new")]
    agent, note, role, said, title, args, result, text, old, new = secrets
    session = NewSession("x", agent, {"note": note})
    store.create_session("b", session, Idempotency("1", "CreateSession", "digest"))
    call = ToolCall("", "f", args, result)
    turns = [NewTurn(f"t{n}", role, said, (call,), None, title, text) for n in range(20)]
    append(store, "x", *turns, idempotency=Idempotency("2", "AppendTurns", "digest"))
    fork = NewSession("y")
    store.fork_session("b", "x", "t3", fork, Idempotency("3", "ForkSession", "digest"))
    append(store, "y", turn("own", said, text=text))
    store.add_documents("b", [NewDocument(old, old, "v")])
    for number in range(5):
        changes = DocumentChanges(text=f"{new} {number}")
        store.update_document("b", "v", changes, keep_version=True)
    commit(store, store.pending(99, 99_999))
    return secrets


def test_what_was_forgotten_leaves_no_byte(store: Store, place: Place) -> None:
    secrets = _secrets(store)
    add(store, "stays here")
    folders: list[Path] = [place.data_dir]
    if place.cluster is not None:
        place.cluster.execute("ANALYZE")
        place.cluster.execute("CHECKPOINT")
        folders.append(place.cluster.folder / "base")
    assert texts_held(secrets, *folders) == secrets, "the test must be able to find them"
    request = Idempotency("4", "ForgetDocuments", "digest")
    receipt = store.forget_documents("b", agent=secrets[0], idempotency=request)
    assert (receipt.sessions, len(receipt.document_ids)) == (2, 21)
    store.forget_documents("b", ["v"])
    store.compact("b")
    if place.cluster is not None:
        place.cluster.execute("CHECKPOINT")
    assert texts_held(secrets, *folders) == []
    assert texts_held(["stays here"], *folders) != []
    place.close()
    assert texts_held(secrets, *folders) == []


def test_a_reworded_turn_leaves_no_byte(chat: Store, place: Place) -> None:
    secret = "zebra-quartz-secret"
    append(chat, "s", turn("t0", secret, tool_calls=(ToolCall("", "f", secret, ""),)))
    chat.update_document("b", "s~t0", DocumentChanges(text="[withheld]"))
    chat.compact("b")
    folders = [place.data_dir]
    if place.cluster is not None:
        place.cluster.execute("CHECKPOINT")
        folders.append(place.cluster.folder / "base")
    assert texts_held([secret], *folders) == []


def test_sessions_go_with_their_bank(two: Store) -> None:
    two.delete_bank("b")
    two.create_bank("b")
    assert two.list_sessions("b", 9).items == []
    two.create_session("b", NewSession("s"))
    assert listed(two, "s") == []
