"""Repeated requests: the same result, nothing done twice, no content kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from memsvc_storage import (
    DocumentChanges,
    DocumentExists,
    Idempotency,
    NewDocument,
    QuotaExceeded,
    RequestConflict,
    Store,
)

from tests.storage_support import Place, add, commit, documents

pytest_plugins = ["tests.storage_support"]

REQUEST = Idempotency("11111111-aaaa", "AddDocuments", "digest-1")


def test_a_repeated_add_returns_what_the_first_did(store: Store, place: Place) -> None:
    store.update_bank("b", quota_bytes=20)
    items = [
        NewDocument("text", "t", "a"),
        NewDocument("x", document_id="a"),
        NewDocument("y" * 50),
    ]
    first = store.add_documents("b", items, REQUEST)
    assert isinstance(first.documents[1], DocumentExists)
    assert isinstance(first.documents[2], QuotaExceeded)
    commit(store, documents(first.documents[:1]))
    store = place.open()
    again = store.add_documents("b", items, REQUEST)
    assert again.documents[0] == first.documents[0]
    assert list(map(repr, again.documents)) == list(map(repr, first.documents))
    assert again.operation.operation_id == first.operation.operation_id
    assert again.operation.state == "DONE"
    assert store.get_bank("b").document_count == 1


def test_the_same_id_for_another_request_is_a_conflict(store: Store) -> None:
    store.add_documents("b", [NewDocument("text")], REQUEST)
    for other in (
        Idempotency(REQUEST.request_id, "AddDocuments", "digest-2"),
        Idempotency(REQUEST.request_id, "DeleteDocument", "digest-1"),
    ):
        with pytest.raises(RequestConflict) as caught:
            store.add_documents("b", [NewDocument("other")], other)
        assert caught.value.request_id == REQUEST.request_id
    assert store.get_bank("b").document_count == 1


def test_a_request_that_failed_may_be_repeated(store: Store) -> None:
    with pytest.raises(LookupError):
        _fail_once(store)
    assert store.get_bank("b").document_count == 0
    assert documents(store.add_documents("b", [NewDocument("text")], REQUEST).documents)


def _fail_once(store: Store) -> None:
    """A bank that comes into being only after the first try."""
    try:
        store.add_documents("later", [NewDocument("text")], REQUEST)
    except Exception as error:
        raise LookupError from error


def test_a_repeated_update_changes_nothing_more(store: Store) -> None:
    (doc,) = add(store, "old")
    changes = DocumentChanges(text="new")
    first = store.update_document("b", doc.document_id, changes, doc.etag, REQUEST)
    again = store.update_document("b", doc.document_id, changes, doc.etag, REQUEST)
    assert again == first
    assert again[0].revision == 2
    store.update_document("b", doc.document_id, DocumentChanges(text="newest"))
    late, _ = store.update_document("b", doc.document_id, changes, doc.etag, REQUEST)
    assert (late.revision, late.etag, late.text) == (2, first[0].etag, "")
    assert store.get_document("b", doc.document_id).text == "newest"


def test_a_repeated_delete_is_no_error_and_hits_no_successor(store: Store) -> None:
    store.add_documents("b", [NewDocument("one", "t", "a", {"k": 1})])
    first = store.delete_document("b", "a", idempotency=REQUEST)
    store.add_documents("b", [NewDocument("two", document_id="a")])
    assert store.delete_document("b", "a", idempotency=REQUEST) == first
    assert store.get_document("b", "a").text == "two"


def test_many_at_once_with_one_id_add_once(store: Store) -> None:
    start = threading.Barrier(8)

    def call(_: int) -> list[str]:
        start.wait()
        result = store.add_documents("b", [NewDocument("text"), NewDocument("more")], REQUEST)
        return [doc.document_id for doc in documents(result.documents)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(call, range(8)))
    assert all(result == results[0] for result in results)
    assert store.get_bank("b").document_count == 2


def test_pruning_forgets_old_requests_and_finished_operations(store: Store) -> None:
    first = store.add_documents("b", [NewDocument("text")], REQUEST)
    waiting = store.add_documents("b", [NewDocument("waits")]).operation
    commit(store, documents(first.documents))
    assert store.prune(datetime.now(UTC) - timedelta(minutes=5)) == 0
    assert store.prune(datetime.now(UTC) + timedelta(minutes=5)) == 2
    assert [op.operation_id for op in store.list_operations("b", None, 10).items] == [
        waiting.operation_id
    ]
    assert store.add_documents("b", [NewDocument("text")], REQUEST).operation.total == 1
