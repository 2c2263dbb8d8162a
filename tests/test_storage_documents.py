"""Documents: adding, reading, changing, deleting, and what waits to be encoded."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from memsvc_storage import (
    DocumentChanges,
    DocumentExists,
    DocumentNotFound,
    EtagMismatch,
    InvalidDocument,
    NewDocument,
    QuotaExceeded,
    Store,
)

from tests.storage_support import Place, add, commit, documents

pytest_plugins = ["tests.storage_support"]

TEXT = 'Ünïcode — 漢字 🙂\nnew line "quotes" \\ backslash\ttab %s :name'
TIME = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
LATER = TIME + timedelta(days=36_500)


def test_a_document_is_read_as_it_was_given(store: Store) -> None:
    metadata: dict[str, str | int | float | bool] = {"s": "é", "i": 2**60, "f": 0.1, "b": False}
    new = NewDocument(TEXT, "Títle", "my-id", metadata, TIME, LATER)
    (given,) = documents(store.add_documents("b", [new]).documents)
    read = store.get_document("b", "my-id")
    assert read == given
    assert (read.title, read.text, read.metadata) == ("Títle", TEXT, metadata)
    assert (read.event_time, read.expire_time) == (TIME, LATER)
    assert read.event_time is not None
    assert read.event_time.tzinfo is UTC
    assert (read.state, read.revision) == ("PENDING", 1)


def test_made_up_ids_sort_in_the_order_of_adding(store: Store) -> None:
    docs = add(store, *(f"text {i}" for i in range(50))) + add(store, "last")
    assert [doc.document_id for doc in docs] == sorted(doc.document_id for doc in docs)
    assert [doc.row_id for doc in docs] == sorted(doc.row_id for doc in docs)


def test_a_refused_item_does_not_stop_the_others(store: Store) -> None:
    add_ids = [NewDocument(f"t{i}", document_id=name) for i, name in enumerate("abac")]
    result = store.add_documents("b", add_ids)
    kinds = [type(item).__name__ for item in result.documents]
    assert kinds == ["Document", "Document", "DocumentExists", "Document"]
    assert result.operation.total == 3
    again = store.add_documents("b", [NewDocument("x", document_id="b"), NewDocument("new")])
    assert isinstance(again.documents[0], DocumentExists)
    assert again.documents[0].document_id == "b"
    assert store.get_document("b", "b").text == "t1"
    assert store.get_bank("b").document_count == 4


def test_nothing_taken_means_an_operation_that_is_done(store: Store) -> None:
    add_one = [NewDocument("x", document_id="a")]
    store.add_documents("b", add_one)
    operation = store.add_documents("b", add_one).operation
    assert (operation.state, operation.total) == ("DONE", 0)
    assert store.add_documents("b", []).operation.finished


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewDocument("a\0b"), "text"),
        (NewDocument("a", title="\ud800"), "title"),
        (NewDocument("a", document_id=""), "document_id"),
        (NewDocument("a", document_id="\udfff"), "document_id"),
        (NewDocument("a", metadata={"k": float("nan")}), "metadata"),
        (NewDocument("a", metadata={"k": [1]}), "metadata"),  # type: ignore[dict-item]
        (NewDocument("a", event_time=datetime(2024, 1, 1)), "event_time"),
    ],
)
def test_what_no_database_can_hold_is_refused(store: Store, new: NewDocument, field: str) -> None:
    good, bad = store.add_documents("b", [NewDocument("good"), new]).documents
    assert not isinstance(good, Exception)
    assert isinstance(bad, InvalidDocument)
    assert bad.field == field


def test_a_thousand_documents_go_in_at_once(store: Store) -> None:
    news = [NewDocument(f"text {i} " * 20, document_id=f"d{i}") for i in range(2500)]
    docs = documents(store.add_documents("b", news).documents)
    assert [doc.document_id for doc in docs] == [f"d{i}" for i in range(2500)]
    listed = store.list_documents("b", 5000, with_text=True).items
    assert listed == docs
    assert len(store.facts("b", [doc.row_id for doc in docs])) == 2500
    assert len(store.texts("b", [doc.row_id for doc in docs])) == 2500


def test_pages_run_over_all_matches_without_text(store: Store) -> None:
    store.add_documents("b", [NewDocument(f"text {i}", metadata={"n": i}) for i in range(25)])
    found: list[int] = []
    key = None
    while True:
        page = store.list_documents("b", 4, key, predicate=lambda doc: doc.metadata["n"] % 2 == 0)
        assert all(doc.text == "" for doc in page.items)
        found += [int(doc.metadata["n"]) for doc in page.items]
        key = page.next_key
        if key is None:
            break
    assert found == list(range(0, 25, 2))
    assert store.list_documents("b", 25).next_key is None
    assert store.list_documents("b", 24).next_key is not None


def test_facts_and_texts_leave_out_other_banks(store: Store) -> None:
    store.create_bank("c")
    (mine,), (other,) = add(store, "mine"), add(store, "other", bank="c")
    rows = [mine.row_id, other.row_id, 999]
    assert store.texts("b", rows) == {mine.row_id: ("A title", "mine", 1)}
    assert [doc.document_id for doc in store.facts("b", rows)] == [mine.document_id]
    assert [doc.text for doc in store.facts("b", None)] == [""]


def test_a_change_of_text_waits_for_encoding_at_the_next_revision(store: Store) -> None:
    (doc,) = add(store, "old")
    commit(store, [doc])
    changed, operation = store.update_document(
        "b", doc.document_id, DocumentChanges(text="new"), etag=doc.etag
    )
    assert (changed.text, changed.revision, changed.state) == ("new", 2, "PENDING")
    assert (changed.row_id, changed.tokens, changed.chunks) == (doc.row_id, None, None)
    assert operation is not None
    assert operation.total == 1
    assert store.get_document("b", doc.document_id) == changed
    assert store.block_rows("b", [doc.row_id]) == []
    assert store.get_bank("b").kv_bytes == 0
    commit(store, [changed])
    assert store.get_operation(operation.operation_id).state == "DONE"


def test_a_change_of_metadata_keeps_the_block(store: Store) -> None:
    (doc,) = add(store, "text")
    rows = commit(store, [doc])
    changes = DocumentChanges(metadata={"k": 1}, expire_time=LATER, title="A title")
    changed, operation = store.update_document("b", doc.document_id, changes)
    assert operation is None
    assert (changed.metadata, changed.expire_time) == ({"k": 1}, LATER)
    assert (changed.state, changed.revision) == ("READY", 1)
    assert changed.etag != doc.etag
    assert store.block_rows("b", [doc.row_id]) == rows
    cleared, _ = store.update_document("b", doc.document_id, DocumentChanges(expire_time=None))
    assert (cleared.expire_time, cleared.metadata) == (None, {"k": 1})


def test_a_failed_document_given_its_text_again_is_tried_again(store: Store) -> None:
    (doc,) = add(store, "text")
    store.fail_document(doc.row_id, doc.revision, "no memory")
    failed = store.get_document("b", doc.document_id)
    assert (failed.state, failed.error) == ("FAILED", "no memory")
    retried, operation = store.update_document("b", doc.document_id, DocumentChanges(text="text"))
    assert operation is not None
    assert (retried.state, retried.error) == ("PENDING", "")


def test_an_etag_guards_changes_and_encoding_does_not_move_it(store: Store) -> None:
    (doc,) = add(store, "text")
    commit(store, [doc])
    assert store.get_document("b", doc.document_id).etag == doc.etag
    store.update_document("b", doc.document_id, DocumentChanges(metadata={"k": 1}))
    with pytest.raises(EtagMismatch):
        store.update_document("b", doc.document_id, DocumentChanges(text="x"), etag=doc.etag)
    with pytest.raises(EtagMismatch):
        store.delete_document("b", doc.document_id, etag=doc.etag)
    assert store.get_document("b", doc.document_id).text == "text"


def test_a_deleted_document_is_gone_and_its_row_is_never_given_again(store: Store) -> None:
    first, last = add(store, "first", "last")
    gone = store.delete_document("b", last.document_id)
    assert (gone.document_id, gone.row_id, gone.text, gone.title) == (
        last.document_id,
        last.row_id,
        "",
        "",
    )
    for call in (store.get_document, store.delete_document):
        with pytest.raises(DocumentNotFound):
            call("b", last.document_id)
    (third,) = add(store, "third")
    assert third.row_id > last.row_id
    assert store.get_bank("b").document_count == 2
    assert [doc.row_id for doc in store.facts("b", None)] == [first.row_id, third.row_id]


def test_a_quota_counts_titles_and_texts_in_bytes(store: Store) -> None:
    store.create_bank("q", quota_bytes=10)
    items = [NewDocument("ééé", title="t"), NewDocument("12345"), NewDocument("123")]
    results = store.add_documents("q", items).documents
    assert [type(item).__name__ for item in results] == ["Document", "QuotaExceeded", "Document"]
    refused = results[1]
    assert isinstance(refused, QuotaExceeded)
    assert (refused.quota, refused.would_be) == (10, 12)
    doc = documents(results[2:])[0]
    with pytest.raises(QuotaExceeded):
        store.update_document("q", doc.document_id, DocumentChanges(text="1234"))
    store.update_document("q", doc.document_id, DocumentChanges(text="12"))
    assert store.get_bank("q").text_bytes == 9
    store.delete_document("q", doc.document_id)
    assert store.get_bank("q").text_bytes == 7


def test_expired_documents_of_all_banks_are_found(store: Store) -> None:
    store.create_bank("c")
    past, future = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    for bank in "bc":
        store.add_documents(
            bank,
            [
                NewDocument("x", document_id=f"{bank}-old", expire_time=past),
                NewDocument("x", document_id=f"{bank}-new", expire_time=future),
                NewDocument("x", document_id=f"{bank}-none"),
            ],
        )
    assert store.expired(datetime.now(UTC), 10) == [("b", "b-old"), ("c", "c-old")]
    assert len(store.expired(datetime.now(UTC), 1)) == 1


def test_pending_gives_the_oldest_of_one_bank_within_limits(store: Store) -> None:
    store.create_bank("c")
    first = add(store, "aaaa", "bbbb", bank="c")
    add(store, "other bank")
    third = add(store, "cccc", bank="c")
    assert store.pending(10, 1000) == first + third
    assert store.pending(2, 1000) == first
    assert store.pending(10, 8) == first
    assert store.pending(10, 1) == first[:1]
    commit(store, first + third, bank="c")
    assert [doc.text for doc in store.pending(10, 1000)] == ["other bank"]


def test_everything_is_there_after_a_restart(place: Place) -> None:
    store = place.open()
    store.create_bank("b", metadata={"k": 1})
    docs = add(store, "one", "two", "three")
    commit(store, docs[:1])
    store.delete_document("b", docs[1].document_id)
    before: list[Any] = [store.list_documents("b", 10, with_text=True), store.get_bank("b")]
    place.close()
    store = place.open()
    assert [store.list_documents("b", 10, with_text=True), store.get_bank("b")] == before
    assert [doc.document_id for doc in store.pending(10, 100)] == [docs[2].document_id]


def test_what_has_expired_is_gone_before_it_is_swept(store: Store) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    added = store.add_documents("b", [NewDocument("short-lived", "t", "gone", expire_time=soon)])
    assert store.get_document("b", "gone").text == "short-lived"
    time.sleep(1.6)
    with pytest.raises(DocumentNotFound):
        store.get_document("b", "gone")
    with pytest.raises(DocumentNotFound):
        store.update_document("b", "gone", DocumentChanges(expire_time=None))
    assert store.list_documents("b", 10).items == []
    assert [name for _, name in store.expired(datetime.now(UTC), 10)] == ["gone"]
    again = store.add_documents("b", [NewDocument("new", "t", "gone")])  # its name is free
    (made,) = documents(again.documents)
    (was,) = documents(added.documents)
    assert made.row_id != was.row_id
    assert store.expired(datetime.now(UTC), 10) == []
    bank = store.get_bank("b")
    assert (bank.document_count, bank.text_bytes) == (1, len("t" + "new"))
