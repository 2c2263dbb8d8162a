"""Operations: they count, they end, and only some can be cancelled."""

from __future__ import annotations

import pytest
from memsvc_storage import (
    BankNotFound,
    DocumentChanges,
    NewDocument,
    OperationFinished,
    OperationNotFound,
    Store,
)

from tests.storage_support import Place, add, commit, documents

pytest_plugins = ["tests.storage_support"]


def test_an_operation_runs_with_its_documents_and_ends(store: Store) -> None:
    result = store.add_documents("b", [NewDocument(f"text {i}") for i in range(5)])
    docs, name = documents(result.documents), result.operation.operation_id
    assert (result.operation.kind, result.operation.state) == ("ENCODE", "PENDING")
    commit(store, docs[:1])
    assert (store.get_operation(name).state, store.get_operation(name).done) == ("RUNNING", 1)
    store.fail_document(docs[1].row_id, 1, "too long")
    store.delete_document("b", docs[2].document_id)
    store.update_document("b", docs[3].document_id, DocumentChanges(text="other"))
    commit(store, docs[4:])
    ended = store.get_operation(name)
    assert (ended.state, ended.done, ended.failed, ended.error) == ("DONE", 4, 1, "too long")
    assert ended.finished


def test_an_operation_whose_documents_all_fail_has_failed(store: Store) -> None:
    result = store.add_documents("b", [NewDocument("one"), NewDocument("two")])
    for doc in documents(result.documents):
        store.fail_document(doc.row_id, doc.revision, "no")
    ended = store.get_operation(result.operation.operation_id)
    assert (ended.state, ended.done, ended.failed) == ("FAILED", 0, 2)


def test_a_failure_of_an_older_revision_is_ignored(store: Store) -> None:
    (doc,) = add(store, "old")
    store.update_document("b", doc.document_id, DocumentChanges(text="new"))
    store.fail_document(doc.row_id, 1, "late")
    assert store.get_document("b", doc.document_id).state == "PENDING"


def test_encoding_cannot_be_cancelled_but_compaction_can(store: Store) -> None:
    encode = store.add_documents("b", [NewDocument("text")]).operation
    with pytest.raises(OperationFinished):
        store.cancel_operation(encode.operation_id)
    compact = store.create_operation("b", "COMPACT", 3)
    store.update_operation(compact.operation_id, state="RUNNING", done=1)
    cancelled = store.cancel_operation(compact.operation_id)
    assert (cancelled.state, cancelled.done) == ("CANCELLED", 1)
    with pytest.raises(OperationFinished):
        store.cancel_operation(compact.operation_id)
    with pytest.raises(OperationFinished):
        store.update_operation(compact.operation_id, state="DONE")


def test_unknown_operations_and_banks_are_refused(store: Store) -> None:
    for call in (store.get_operation, store.cancel_operation, store.update_operation):
        with pytest.raises(OperationNotFound):
            call("nothing")
    with pytest.raises(BankNotFound):
        store.create_operation("nowhere", "COMPACT", 1)


def test_operations_are_listed_newest_first(store: Store) -> None:
    store.create_bank("c")
    made = [store.create_operation("c", "COMPACT", 1).operation_id for _ in range(5)]
    store.update_operation(made[2], state="DONE")
    add(store, "text")
    assert len(store.list_operations(None, None, 10).items) == 6
    found: list[str] = []
    key = None
    while True:
        page = store.list_operations("c", None, 2, key)
        found += [op.operation_id for op in page.items]
        key = page.next_key
        if key is None:
            break
    assert found == made[::-1]
    assert [op.operation_id for op in store.list_operations("c", "DONE", 9).items] == [made[2]]


def test_encoding_goes_on_after_a_restart_and_the_rest_ends(place: Place) -> None:
    store = place.open()
    store.create_bank("b")
    result = store.add_documents("b", [NewDocument("one"), NewDocument("two")])
    docs = documents(result.documents)
    commit(store, docs[:1])
    compact = store.create_operation("b", "COMPACT", 1)
    store = place.open()
    assert store.get_operation(result.operation.operation_id).state == "PENDING"
    assert store.get_operation(compact.operation_id).state == "FAILED"
    commit(store, store.pending(10, 1000))
    assert store.get_operation(result.operation.operation_id).state == "DONE"
