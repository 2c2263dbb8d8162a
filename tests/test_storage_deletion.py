"""Deletion that can be proven: after compaction a deleted text is in no file."""

from __future__ import annotations

from pathlib import Path

import pytest
from memsvc_storage import DocumentChanges, Idempotency, NewDocument, Store

from tests.storage_support import Place, add, commit, documents, texts_held

pytest_plugins = ["tests.storage_support"]

# Long texts go to overflow pages (TOAST on PostgreSQL), short ones stay within their row.
SHORT = "zebra-quartz-{n}-secret"
FILLER = "Plain filler that stands beside what is to be forgotten. "


def _long(secret: str) -> str:
    # Not compressible to nothing: PostgreSQL would hide the bytes by compressing them.
    noise = "".join(chr(33 + (i * i * 7919 + i) % 90) for i in range(6000))
    return f"{secret} {noise} {secret}"


def _folders(place: Place) -> list[Path]:
    """Every folder that may hold content; the server's own log of changes is not ours."""
    if place.cluster is None:
        return [place.data_dir]
    place.cluster.execute("CHECKPOINT")
    return [place.data_dir, place.cluster.folder / "base"]


def _holding(place: Place, secrets: list[str]) -> list[str]:
    return texts_held(secrets, *_folders(place))


@pytest.fixture
def secrets(store: Store, place: Place) -> list[str]:
    """Secrets in the titles, texts and metadata of half of the bank's documents, encoded."""
    secrets = [SHORT.format(n=n) for n in range(40)]
    news = []
    for number, secret in enumerate(secrets):
        text = _long(secret) if number % 2 else f"{FILLER} {secret}"
        metadata = {"note": f"{secret}-meta"}
        news.append(NewDocument(text, f"{secret}-title", f"s{number}", metadata))
        news.append(NewDocument(f"{FILLER} kept-{number:03}-kept", "kept", f"k{number}"))
    result = store.add_documents("b", news, Idempotency("add", "AddDocuments", "digest"))
    commit(store, documents(result.documents))
    if place.cluster is not None:
        # Statistics keep samples of values, and autovacuum makes them when it likes.
        place.cluster.execute("ANALYZE")
        place.cluster.execute("CHECKPOINT")
    assert _holding(place, secrets) == secrets, "the test must be able to find what is there"
    return secrets


def _nothing_else_is_lost(store: Store) -> None:
    assert [store.get_document("b", f"k{n}").text for n in range(40)] == [
        f"{FILLER} kept-{n:03}-kept" for n in range(40)
    ]


def test_deleted_documents_leave_no_byte(store: Store, place: Place, secrets: list[str]) -> None:
    for number in range(len(secrets)):
        request = Idempotency(f"delete-{number}", "DeleteDocument", "digest")
        store.delete_document("b", f"s{number}", idempotency=request)
    report = store.compact("b")
    assert report.bytes_after < report.bytes_before
    assert _holding(place, secrets) == []
    _nothing_else_is_lost(store)
    replay = store.add_documents("b", [], Idempotency("add", "AddDocuments", "digest"))
    assert documents(replay.documents)[0].text == ""
    place.close()
    assert _holding(place, secrets) == []


def test_replaced_contents_leave_no_byte(store: Store, place: Place, secrets: list[str]) -> None:
    for number in range(len(secrets)):
        changes = DocumentChanges(title="new", text=f"{FILLER} now-{number:03}-now", metadata={})
        request = Idempotency(f"update-{number}", "UpdateDocument", "digest")
        store.update_document("b", f"s{number}", changes, idempotency=request)
    store.compact("b")
    assert _holding(place, secrets) == []
    assert len(_holding(place, [f"now-{n:03}-now" for n in range(40)])) == 40
    _nothing_else_is_lost(store)


def test_a_deleted_bank_leaves_no_byte(store: Store, place: Place, secrets: list[str]) -> None:
    store.create_bank("c", "c", {"k": "v"})
    add(store, "stays in the other bank", bank="c")
    store.delete_bank("b")
    assert _holding(place, [*secrets, "kept-007-kept"]) == []
    assert _holding(place, ["stays in the other bank"]) != []


def test_deletion_holds_while_others_read_and_write(store: Store, place: Place) -> None:
    secret = SHORT.format(n="busy")
    (doc,) = add(store, _long(secret))
    held = store.list_documents("b", 1)
    add(store, *(FILLER * 3 for _ in range(50)))
    store.delete_document("b", doc.document_id)
    add(store, *(FILLER * 3 for _ in range(50)))
    store.compact("b")
    assert _holding(place, [secret]) == []
    assert held.items[0].document_id == doc.document_id
