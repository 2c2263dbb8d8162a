"""Banks: names, pages, etags, deletion."""

from __future__ import annotations

import pytest
from memsvc_storage import (
    BankExists,
    BankNotFound,
    EtagMismatch,
    Idempotency,
    NewDocument,
    RequestConflict,
    Store,
)

from tests.storage_support import Place, add, commit, segment_files

pytest_plugins = ["tests.storage_support"]


def test_a_bank_is_found_as_it_was_made(store: Store) -> None:
    made = store.create_bank("notes", "Nötes", {"team": "x", "n": 3, "r": 0.5, "on": True}, 1000)
    assert store.get_bank("notes") == made
    assert made.metadata == {"team": "x", "n": 3, "r": 0.5, "on": True}
    assert made.create_time.tzinfo is not None
    assert (made.quota_bytes, made.document_count, made.text_bytes) == (1000, 0, 0)


def test_a_name_is_taken_once(store: Store) -> None:
    with pytest.raises(BankExists):
        store.create_bank("b")


def test_an_unknown_bank_is_named_by_the_error(store: Store) -> None:
    with pytest.raises(BankNotFound, match="'nowhere'") as caught:
        store.get_bank("nowhere")
    assert caught.value.bank == "nowhere"
    for call in (store.delete_bank, store.verify, store.stats, store.compact):
        with pytest.raises(BankNotFound):
            call("nowhere")
    with pytest.raises(BankNotFound):
        store.add_documents("nowhere", [NewDocument("text")])


def test_pages_run_over_all_banks_by_name(store: Store) -> None:
    for name in ("c", "a", "Z", "d-1"):
        store.create_bank(name)
    names: list[str] = []
    key = None
    while True:
        page = store.list_banks(2, key)
        names += [bank.name for bank in page.items]
        key = page.next_key
        if key is None:
            break
    assert names == ["Z", "a", "b", "c", "d-1"]


def test_an_update_changes_what_is_given_and_the_etag(store: Store) -> None:
    before = store.update_bank("b", display_name="B", quota_bytes=10)
    after = store.update_bank("b", metadata={"k": 1}, quota_bytes=None, etag=before.etag)
    assert (after.display_name, after.metadata, after.quota_bytes) == ("B", {"k": 1}, None)
    assert after.etag != before.etag
    assert after.update_time > before.update_time
    with pytest.raises(EtagMismatch):
        store.update_bank("b", display_name="C", etag=before.etag)
    with pytest.raises(EtagMismatch):
        store.delete_bank("b", etag=before.etag)
    assert store.get_bank("b") == after


def test_a_repeated_creation_gives_the_same_bank(store: Store) -> None:
    request = Idempotency("r1", "CreateBank", "digest")
    first = store.create_bank("c", "C", {"k": "v"}, idempotency=request)
    assert store.create_bank("c", "C", {"k": "v"}, idempotency=request) == first
    with pytest.raises(RequestConflict):
        store.create_bank("d", idempotency=Idempotency("r1", "CreateBank", "other"))
    store.delete_bank("c")
    assert store.create_bank("c", "C", {"k": "v"}, idempotency=request).id == first.id
    with pytest.raises(BankNotFound):
        store.get_bank("c")


def test_deleting_a_bank_takes_everything_with_it(store: Store, place: Place) -> None:
    commit(store, add(store, "one", "two"))
    waiting = store.add_documents("b", [NewDocument("three")]).operation
    store.create_bank("other")
    kept = commit(store, add(store, "four", bank="other"), bank="other")
    store.delete_bank("b")
    with pytest.raises(BankNotFound):
        store.list_documents("b", 10)
    assert store.get_operation(waiting.operation_id).state == "DONE"
    assert [path.stem for path in segment_files(place)] == [kept[0].segment]
    assert store.pending(10, 1000) == []
    again = store.create_bank("b")
    assert again.document_count == 0
    assert store.list_documents("b", 10).items == []
