"""Former versions: kept when asked, counted, and gone with their document."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from memsvc_storage import (
    DocumentChanges,
    DocumentNotFound,
    Idempotency,
    NewDocument,
    QuotaExceeded,
    Store,
)

from tests.storage_session_support import append, turn
from tests.storage_support import Place

pytest_plugins = ["tests.storage_support", "tests.storage_session_support"]

WHEN = datetime(2025, 1, 2, tzinfo=UTC)


@pytest.fixture
def one(store: Store) -> Store:
    """A store with the document "d"."""
    store.add_documents("b", [NewDocument("first", "title", "d", event_time=WHEN)])
    return store


def _kept(store: Store) -> list[tuple[int, str, str]]:
    found = store.list_versions("b", "d", 99).items
    return [(version.revision, version.title, version.text) for version in found]


def test_versions_are_kept_when_asked(one: Store, place: Place) -> None:
    start = datetime.now(UTC)
    one.update_document("b", "d", DocumentChanges(text="unkept"))
    changes = DocumentChanges(text="third", event_time=datetime.now(UTC))
    one.update_document("b", "d", changes, keep_version=True)
    one.update_document("b", "d", DocumentChanges(title="other"), keep_version=True)
    assert _kept(one) == [(3, "title", "third"), (2, "title", "unkept")]
    newest, oldest = one.list_versions("b", "d", 9).items
    assert (oldest.event_time, newest.event_time) == (WHEN, changes.event_time)
    assert start <= oldest.replace_time <= newest.replace_time <= datetime.now(UTC)
    assert one.get_document("b", "d").text == "third"
    store = place.open()
    assert store.list_versions("b", "d", 9).items == [newest, oldest]


def test_what_changes_no_text_keeps_no_version(one: Store) -> None:
    for changes in (DocumentChanges(metadata={"k": 1}), DocumentChanges(text="first")):
        one.update_document("b", "d", changes, keep_version=True)
    assert _kept(one) == []


def test_a_repeated_request_keeps_one_version(one: Store) -> None:
    for _ in range(2):
        request = Idempotency("r", "UpdateDocument", "digest")
        changes = DocumentChanges(text="second")
        one.update_document("b", "d", changes, idempotency=request, keep_version=True)
    assert _kept(one) == [(1, "title", "first")]


def test_versions_are_listed_by_pages_newest_first(one: Store) -> None:
    for number in range(6):
        changes = DocumentChanges(text=f"text {number}")
        one.update_document("b", "d", changes, keep_version=True)
    first = one.list_versions("b", "d", 4)
    second = one.list_versions("b", "d", 4, first.next_key)
    assert [version.revision for version in first.items] == [6, 5, 4, 3]
    assert [version.revision for version in second.items] == [2, 1]
    assert second.next_key is None
    with pytest.raises(DocumentNotFound):
        one.list_versions("b", "unknown", 4)


def test_versions_count_towards_the_quota(one: Store) -> None:
    one.update_bank("b", quota_bytes=22)
    one.update_document("b", "d", DocumentChanges(text="again"), keep_version=True)
    assert one.get_bank("b").text_bytes == 20
    with pytest.raises(QuotaExceeded):
        one.update_document("b", "d", DocumentChanges(text="more"), keep_version=True)
    one.update_document("b", "d", DocumentChanges(text="more"))
    assert len(_kept(one)) == 1
    one.delete_document("b", "d")
    bank = one.get_bank("b")
    assert (bank.text_bytes, bank.document_count) == (0, 0)


def test_versions_are_gone_with_their_document(one: Store) -> None:
    one.update_document("b", "d", DocumentChanges(text="second"), keep_version=True)
    one.delete_document("b", "d")
    one.add_documents("b", [NewDocument("anew", document_id="d")])
    assert _kept(one) == []


def test_a_turn_says_what_its_document_was_changed_to(chat: Store) -> None:
    append(chat, "s", turn("t0", "my number is 555", text="Ada: my number is 555"))
    changes = DocumentChanges(text="Ada: my number is [withheld]")
    chat.update_document("b", "s~t0", changes)
    (said,) = chat.list_turns("b", "s", 9).items
    assert (said.content, said.role, said.position) == (changes.text, "user", 0)
    chat.update_document("b", "s~t0", DocumentChanges(title="another"))
    assert chat.list_turns("b", "s", 9).items == [said]
