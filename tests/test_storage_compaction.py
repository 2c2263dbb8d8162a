"""Compaction: space comes back, live blocks stay, readers never notice."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from memsvc_storage import BlockRow, DocumentChanges, Store, identity_digest
from memsvc_storage import compaction as compaction_module
from memsvc_storage.segments import Tensors, WrittenSegment, write_segment

from tests.storage_support import (
    DIGEST,
    OTHER_IDENTITY,
    Place,
    add,
    block,
    commit,
    encoded,
    segment_files,
)

pytest_plugins = ["tests.storage_support"]


def _check(store: Store, rows: list[BlockRow]) -> None:
    for row, read in zip(rows, store.read_rows("b", rows, "content"), strict=True):
        np.testing.assert_array_equal(read, block(row.row_id, 1 + row.row_id % 4)["content"])


def test_space_comes_back_and_live_blocks_stay(store: Store, place: Place) -> None:
    docs = add(store, *(f"text {i}" for i in range(40)))
    for start in range(0, 40, 10):
        commit(store, docs[start : start + 10])
    for doc in docs[:25]:
        store.delete_document("b", doc.document_id)
    before = store.stats("b")
    assert 0.5 < before.dead_fraction < 0.75
    report = store.compact("b")
    assert (report.segments_before, report.segments_after) == (4, 2)
    assert report.documents == 5
    assert report.bytes_before == before.disk_bytes
    assert report.bytes_after == sum(path.stat().st_size for path in segment_files(place))
    rows = store.live_blocks("b", DIGEST)
    assert [row.row_id for row in rows] == [doc.row_id for doc in docs[25:]]
    _check(store, rows)
    assert store.verify("b").corrupt == []
    assert store.stats("b").dead_fraction == 0.0
    assert store.compact("b").documents == 0


def test_only_worn_segments_are_rewritten(store: Store) -> None:
    worn, fresh = add(store, *"abcd"), add(store, *"efgh")
    commit(store, worn)
    (fresh_segment,) = {row.segment for row in commit(store, fresh)}
    for doc in (*worn[:3], fresh[0]):
        store.delete_document("b", doc.document_id)
    assert store.compact("b", min_dead_fraction=0.5).documents == 1
    assert fresh_segment in {row.segment for row in store.live_blocks("b", DIGEST)}
    assert store.stats("b").dead_fraction > 0


def test_a_bank_emptied_keeps_no_segment(store: Store, place: Place) -> None:
    docs = add(store, "a", "b")
    commit(store, docs)
    for doc in docs:
        store.delete_document("b", doc.document_id)
    report = store.compact("b")
    assert (report.segments_after, report.bytes_after) == (0, 0)
    assert segment_files(place) == []


def test_blocks_of_two_identities_are_kept_apart(store: Store) -> None:
    docs = add(store, *"abcd")
    commit(store, docs)
    store.fence(identity_digest(OTHER_IDENTITY), DIGEST)
    assert store.commit_next("b", OTHER_IDENTITY, encoded(docs[:3])) == 3
    store.delete_document("b", docs[0].document_id)
    report = store.compact("b")
    assert (report.documents, report.segments_after) == (5, 2)
    assert store.stats("b").dead_fraction == 0.0
    assert [row.row_id for row in store.live_blocks("b", DIGEST)] == [d.row_id for d in docs[1:]]
    assert [doc.row_id for doc in store.unmatched("b", 9, 99)] == [docs[3].row_id]
    store.commit_next("b", OTHER_IDENTITY, encoded(docs[3:]))
    assert store.promote("b", identity_digest(OTHER_IDENTITY), {})
    _check(store, store.live_blocks("b", identity_digest(OTHER_IDENTITY)))
    assert store.verify("b").corrupt == []


def test_what_is_too_much_for_one_file_goes_to_several(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = add(store, *(f"text {i}" for i in range(9)))
    commit(store, docs)
    store.delete_document("b", docs[0].document_id)
    monkeypatch.setattr(compaction_module, "MAX_SEGMENT_BYTES", 1000)
    report = store.compact("b")
    assert report.documents == 8
    assert report.segments_after > 2
    _check(store, store.live_blocks("b", DIGEST))


def test_a_corrupt_block_is_requeued_not_copied(store: Store, place: Place) -> None:
    docs = add(store, *"abc")
    commit(store, docs)
    (path,) = segment_files(place)
    content = bytearray(path.read_bytes())
    part = block(docs[1].row_id, 1 + docs[1].row_id % 4)["content"].tobytes()
    content[content.index(part) + 5] ^= 1
    path.write_bytes(content)
    store.delete_document("b", docs[0].document_id)
    assert store.compact("b").documents == 1
    assert [doc.row_id for doc in store.pending(9, 99)] == [docs[1].row_id]
    assert store.verify("b").corrupt == []


@pytest.mark.parametrize("release", [False, True])
def test_who_holds_old_block_rows_reads_on(store: Store, place: Place, release: bool) -> None:
    docs = add(store, *(f"text {i}" for i in range(10)))
    rows = commit(store, docs)
    (old,) = segment_files(place)
    store.delete_document("b", docs[0].document_id)
    store.compact("b")
    assert not old.exists()
    if release:
        store.release_retired()
        rows = rows[1:]  # the deleted document's block is gone now, the others have moved
    _check(store, rows)


def test_readers_and_writers_go_on_while_compaction_runs(store: Store) -> None:
    docs = add(store, *(f"text {i}" for i in range(120)))
    for start in range(0, 120, 10):
        commit(store, docs[start : start + 10])
    kept = [row for row in store.live_blocks("b", DIGEST) if row.row_id % 2]
    stop = threading.Event()

    def read() -> int:
        rounds = 0
        while not stop.is_set():
            _check(store, kept)
            assert len(store.texts("b", [row.row_id for row in kept])) == len(kept)
            rounds += 1
        return rounds

    def write() -> None:
        for number in range(20):
            commit(store, add(store, f"new {number}"))

    with ThreadPoolExecutor(4) as pool:
        readers, writer = [pool.submit(read) for _ in range(3)], pool.submit(write)
        try:
            for doc in docs:
                if doc.row_id % 2 == 0:
                    store.delete_document("b", doc.document_id)
                if doc.row_id % 30 == 0:
                    store.compact("b")
                    store.release_retired()
            writer.result()
        finally:
            stop.set()
        assert all(reader.result() > 0 for reader in readers)
    report = store.verify("b")
    assert (report.documents, report.blocks) == (80, 80)
    assert (report.corrupt, report.missing) == ([], [])


def test_what_is_deleted_or_changed_during_the_copying_is_not_brought_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = add(store, *"abcd")
    commit(store, docs)
    store.delete_document("b", docs[0].document_id)

    def write_while_others_write(
        path: Path, blocks: Sequence[Tensors], metadata: Mapping[str, str]
    ) -> WrittenSegment:
        written = write_segment(path, blocks, metadata)
        store.delete_document("b", docs[1].document_id)
        store.update_document("b", docs[2].document_id, DocumentChanges(text="new"))
        commit(store, store.pending(1, 99))
        return written

    monkeypatch.setattr(compaction_module, "write_segment", write_while_others_write)
    assert store.compact("b").documents == 1
    rows = store.live_blocks("b", DIGEST)
    assert [(row.row_id, row.revision) for row in rows] == [
        (docs[2].row_id, 2),
        (docs[3].row_id, 1),
    ]
    assert store.verify("b").missing == []
