"""Titles that quote the turn before: true to it, and without it once it is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from memsvc_storage import DocumentChanges, NewSession, Store

from tests.storage_session_support import append, turn
from tests.storage_support import Place, commit, texts_held

pytest_plugins = ["tests.storage_support", "tests.storage_session_support"]


def _quoting(title: str, before: str) -> str:
    return f"{title}, after: {before}" if before else title


def _titles(store: Store) -> dict[str, str]:
    return {one.document_id: one.title for one in store.list_documents("b", 99).items}


@pytest.fixture
def quoted(chat: Store) -> Store:
    """Turns t0 to t2, encoded, each of which quotes the one before; and u in a fork at t1."""
    append(chat, "s", turn("t0", "zero"), quoting=_quoting)
    append(chat, "s", turn("t1", "one"), turn("t2", "two"), quoting=_quoting)
    chat.fork_session("b", "s", "t1", NewSession("f"))
    append(chat, "f", turn("u", "other"), quoting=_quoting)
    commit(chat, chat.pending(99, 9999))
    return chat


def test_each_turn_quotes_the_one_before(quoted: Store) -> None:
    assert _titles(quoted) == {
        "s~t0": "user",
        "s~t1": "user, after: zero",
        "s~t2": "user, after: one",
        "f~u": "user, after: one",
    }


def test_nothing_is_quoted_beyond_its_own_time(quoted: Store) -> None:
    soon, later = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))
    quoted.create_session("b", NewSession("x", expire_time=soon))
    append(quoted, "x", turn("t0", "gone soon"), turn("t1", "as soon"), quoting=_quoting)
    quoted.fork_session("b", "x", "", NewSession("y", expire_time=later))
    append(quoted, "y", turn("u", "later"), quoting=_quoting)
    titles = _titles(quoted)
    assert (titles["x~t1"], titles["y~u"]) == ("user, after: gone soon", "user")
    quoted.update_document("b", "s~t0", DocumentChanges(expire_time=soon))
    assert _titles(quoted)["s~t1"] == "user"


def test_who_quotes_what_is_forgotten_is_encoded_anew_without_it(quoted: Store) -> None:
    rows = {one.document_id: one.row_id for one in quoted.facts("b", None)}
    receipt = quoted.forget_documents("b", ["s~t1"])
    assert receipt.document_ids == ["s~t1"]
    assert sorted(quoted.quoting(receipt.row_ids)) == sorted([rows["s~t2"], rows["f~u"]])
    assert _titles(quoted) == {"s~t0": "user", "s~t2": "user", "f~u": "user"}
    waiting = quoted.pending(99, 9999)
    assert {(one.document_id, one.title, one.revision) for one in waiting} == {
        ("s~t2", "user", 2),
        ("f~u", "user", 2),
    }
    texts = quoted.list_documents("b", 99, with_text=True).items
    assert quoted.get_bank("b").text_bytes == sum(len(one.title + one.text) for one in texts)
    commit(quoted, waiting)
    assert quoted.verify("b").corrupt == []
    assert quoted.stats("b").ready == 3


def test_a_session_forgotten_leaves_its_forks_nothing_to_quote(quoted: Store) -> None:
    receipt = quoted.forget_documents("b", session_id="s")
    assert len(receipt.document_ids) == 3
    assert _titles(quoted) == {"f~u": "user"}


def test_a_turn_reworded_is_quoted_no_more(quoted: Store) -> None:
    quoted.update_document("b", "s~t0", DocumentChanges(text="[withheld]"))
    assert _titles(quoted)["s~t1"] == "user"
    append(quoted, "s", turn("t3", "three"), quoting=_quoting)
    quoted.update_document("b", "s~t2", DocumentChanges(metadata={"kind": "note"}))
    assert _titles(quoted)["s~t3"] == "user, after: two"


def test_a_title_given_since_stays_and_former_ones_quote_no_more(quoted: Store) -> None:
    changes = DocumentChanges(title="My own")
    quoted.update_document("b", "s~t1", changes, keep_version=True)
    quoted.delete_document("b", "s~t0")
    assert _titles(quoted)["s~t1"] == "My own"
    assert [one.title for one in quoted.list_versions("b", "s~t1", 9).items] == ["user"]
    texts = quoted.list_documents("b", 99, with_text=True).items
    size = sum(len(one.title + one.text) for one in texts) + len("user" + "one")
    assert quoted.get_bank("b").text_bytes == size


def test_what_was_quoted_leaves_no_byte(chat: Store, place: Place) -> None:
    secret = "zebra-quoted-secret"
    append(chat, "s", turn("t0", secret), turn("t1", "one"), quoting=_quoting)
    chat.update_document("b", "s~t1", DocumentChanges(text="two"), keep_version=True)
    commit(chat, chat.pending(99, 9999))
    folders: list[Path] = [place.data_dir]
    if place.cluster is not None:
        folders.append(place.cluster.folder / "base")
        place.cluster.execute("ANALYZE")
        place.cluster.execute("CHECKPOINT")
    assert texts_held([secret], *folders) == [secret], "the test must be able to find it"
    chat.forget_documents("b", ["s~t0"])
    chat.compact("b")
    if place.cluster is not None:
        place.cluster.execute("CHECKPOINT")
    assert texts_held([secret], *folders) == []
