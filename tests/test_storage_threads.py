"""Many threads on one store: every write counts once, every read sees a whole."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from memsvc_storage import (
    BankNotFound,
    DocumentChanges,
    DocumentNotFound,
    EtagMismatch,
    NewDocument,
    Store,
)
from memsvc_storage import handles as handles_module

from tests.storage_support import DIGEST, add, block, commit, documents

pytest_plugins = ["tests.storage_support"]


def test_mixed_traffic_keeps_the_books_straight(store: Store) -> None:
    def work(seed: int) -> None:
        dice = random.Random(seed)
        mine = documents(
            store.add_documents("b", [NewDocument(f"{seed}-{i}") for i in range(10)]).documents
        )
        for doc in mine:
            match dice.randrange(4):
                case 0:
                    store.delete_document("b", doc.document_id)
                case 1:
                    store.update_document("b", doc.document_id, DocumentChanges(text="changed"))
                case 2:
                    commit(store, [doc])
                case _:
                    assert store.get_document("b", doc.document_id).text == doc.text
        store.list_documents("b", 50, with_text=True)
        store.stats("b")

    with ThreadPoolExecutor(16) as pool:
        for result in [pool.submit(work, seed) for seed in range(24)]:
            result.result()
    while waiting := store.pending(64, 10_000):
        commit(store, waiting)
    bank = store.get_bank("b")
    everything = store.list_documents("b", 1000, with_text=True).items
    assert bank.document_count == len(everything)
    assert bank.text_bytes == sum(len(doc.title) + len(doc.text) for doc in everything)
    assert all(doc.state == "READY" for doc in everything)
    assert all(op.state == "DONE" for op in store.list_operations("b", None, 1000).items)
    rows = store.live_blocks("b", DIGEST)
    sizes = [sum(t.nbytes for t in block(row.row_id, row.rows).values()) for row in rows]
    assert bank.kv_bytes == sum(sizes)
    report = store.verify("b")
    assert (report.blocks, report.corrupt, report.missing) == (len(everything), [], [])


def test_of_many_changes_with_one_etag_one_wins(store: Store) -> None:
    (doc,) = add(store, "text")

    def change(number: int) -> bool:
        changes = DocumentChanges(metadata={"winner": number})
        try:
            store.update_document("b", doc.document_id, changes, etag=doc.etag)
        except EtagMismatch:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, won in enumerate(pool.map(change, range(8))) if won]
    assert len(won) == 1
    assert store.get_document("b", doc.document_id).metadata == {"winner": won[0]}


def test_a_bank_deleted_under_its_writers_stops_them_cleanly(store: Store) -> None:
    """Whoever comes too late hears that the bank is gone, whatever it was doing."""

    def work(number: int) -> None:
        with suppress(BankNotFound):
            for _ in range(10):
                docs = add(store, f"text {number}", "more", bank="doomed")
                commit(store, docs, bank="doomed")
                store.delete_document("doomed", docs[0].document_id)
                if number == 0:
                    store.compact("doomed")

    store.create_bank("doomed")
    with ThreadPoolExecutor(5) as pool:
        workers = [pool.submit(work, number) for number in range(4)]
        while store.get_bank("doomed").document_count < 10:
            pass
        store.delete_bank("doomed")
        for worker in workers:
            worker.result()
    assert store.pending(9, 999) == []
    assert store.list_operations("doomed", "PENDING", 99).items == []


def test_a_document_is_deleted_once(store: Store) -> None:
    (doc,) = add(store, "text")

    def remove(_: int) -> bool:
        try:
            store.delete_document("b", doc.document_id)
        except DocumentNotFound:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(remove, range(8))) == 1
    assert store.get_bank("b").document_count == 0


def test_more_segments_than_open_files_are_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = add(store, *(f"text {i}" for i in range(40)))
    for doc in docs:
        commit(store, [doc])
    rows = store.live_blocks("b", DIGEST)
    assert len({row.segment for row in rows}) == 40
    monkeypatch.setattr(handles_module, "MAX_OPEN", 3)

    def read(seed: int) -> None:
        some = random.Random(seed).sample(rows, 20)
        for row, array in zip(some, store.read_rows("b", some, "routing"), strict=True):
            np.testing.assert_array_equal(array, block(row.row_id, row.rows)["routing"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(40)))
    assert len(list(Path("/proc/self/fd").iterdir())) < 200
