"""Blocks: what is read is what was written, or an error that names the document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memsvc_storage import (
    BankNotFound,
    BlockGone,
    CorruptBlock,
    DocumentChanges,
    Store,
    identity_digest,
)
from memsvc_storage.segments import SegmentDamaged, SegmentFile, write_segment
from safetensors.numpy import load_file

from tests.storage_support import (
    DIGEST,
    IDENTITY,
    OTHER_IDENTITY,
    Place,
    add,
    block,
    commit,
    encoded,
    segment_files,
)

pytest_plugins = ["tests.storage_support"]
NAMES = ("content", "routing", "spans")


def test_blocks_are_read_as_they_were_written(store: Store) -> None:
    docs = add(store, *"abcdefgh")
    commit(store, docs[:5])
    commit(store, docs[5:])
    rows = store.live_blocks("b", DIGEST)
    assert [row.row_id for row in rows] == [doc.row_id for doc in docs]
    assert [row.document_id for row in rows] == [doc.document_id for doc in docs]
    shuffled = [rows[i] for i in (7, 1, 2, 0, 5, 2, 6)]
    for name in NAMES:
        for row, read in zip(shuffled, store.read_rows("b", shuffled, name), strict=True):
            written = block(row.row_id, 1 + row.row_id % 4)[name]
            assert read.dtype == written.dtype
            np.testing.assert_array_equal(read, written)
    assert store.read_rows("b", [], "content") == []


def test_a_committed_document_is_ready_and_metered(store: Store) -> None:
    (doc,) = add(store, "text")
    (row,) = commit(store, [doc])
    ready = store.get_document("b", doc.document_id)
    assert (ready.state, ready.tokens, ready.chunks) == ("READY", 10 * doc.row_id, row.rows)
    size = sum(tensor.nbytes for tensor in block(doc.row_id, row.rows).values())
    assert store.get_bank("b").kv_bytes == size
    stats = store.stats("b")
    assert (stats.ready, stats.pending, stats.segments, stats.dead_fraction) == (1, 0, 1, 0.0)
    assert stats.disk_bytes > size


def test_other_tools_read_the_segments(store: Store, place: Place) -> None:
    docs = add(store, "a", "b", "c")
    commit(store, docs)
    (path,) = segment_files(place)
    loaded = load_file(path)
    for name in NAMES:
        parts = [block(doc.row_id, 1 + doc.row_id % 4)[name] for doc in docs]
        np.testing.assert_array_equal(loaded[name], np.concatenate(parts))


def test_documents_changed_or_deleted_meanwhile_are_skipped(store: Store, place: Place) -> None:
    kept, changed, deleted = add(store, "kept", "changed", "deleted")
    blocks = encoded([kept, changed, deleted])
    store.update_document("b", changed.document_id, DocumentChanges(text="new"))
    store.delete_document("b", deleted.document_id)
    assert [row.row_id for row in store.commit_blocks("b", IDENTITY, blocks)] == [kept.row_id]
    assert store.get_document("b", changed.document_id).state == "PENDING"
    assert store.commit_blocks("b", IDENTITY, blocks) == []
    assert len(segment_files(place)) == 1


def test_a_bank_that_is_gone_takes_no_blocks(store: Store, place: Place) -> None:
    docs = add(store, "text")
    store.delete_bank("b")
    with pytest.raises(BankNotFound):
        commit(store, docs)
    assert segment_files(place) == []


def test_a_bank_takes_blocks_of_one_identity_only(store: Store, place: Place) -> None:
    mine, other = add(store, "mine", "other")
    assert [row.identity for row in commit(store, [mine])] == [DIGEST]
    assert commit(store, [other], identity=OTHER_IDENTITY) == []
    assert [row.row_id for row in store.live_blocks("b", DIGEST)] == [mine.row_id]
    assert store.live_blocks("b", identity_digest(OTHER_IDENTITY)) == []
    assert store.get_bank("b").identity == DIGEST
    assert store.identity(DIGEST) == IDENTITY
    assert store.identity(identity_digest(OTHER_IDENTITY)) is None
    assert len(segment_files(place)) == 1


def test_pending_documents_are_handed_to_who_serves_their_bank(store: Store) -> None:
    store.create_bank("new")
    (known,) = add(store, "known")
    commit(store, [known])
    (next_one,), (first,) = add(store, "more"), add(store, "first", bank="new")
    assert store.pending(9, 99, [DIGEST]) == [next_one]
    assert store.pending(9, 99, [None, "another"]) == [first]
    assert store.pending(9, 99, ["another"]) == []


def test_tensors_that_do_not_fit_together_are_refused(store: Store, place: Place) -> None:
    one, two = add(store, "one", "two")
    good = block(1)
    for bad in (
        {**good, "spans": good["spans"][:2]},
        {**good, "routing": good["routing"].astype(np.float64)},
        {"content": good["content"]},
        {},
    ):
        with pytest.raises(ValueError, match=r"block|tensors"):
            store.commit_blocks("b", IDENTITY, [(one.row_id, 1, good, 1), (two.row_id, 1, bad, 1)])
    assert segment_files(place) == []
    assert len(store.pending(9, 99)) == 2


@pytest.mark.parametrize("place_in_file", ["first", "middle", "last"])
def test_a_flipped_byte_is_found_and_named(store: Store, place: Place, place_in_file: str) -> None:
    docs = add(store, *"abcdef")
    rows = commit(store, docs)
    (path,) = segment_files(place)
    victim, name = {"first": (0, "spans"), "middle": (2, "content"), "last": (5, "routing")}[
        place_in_file
    ]
    _flip(path, block(docs[victim].row_id, rows[victim].rows)[name])
    with pytest.raises(CorruptBlock) as caught:
        store.read_rows("b", rows, name)
    assert (caught.value.row_id, caught.value.name) == (docs[victim].row_id, name)
    report = store.verify("b")
    assert (report.corrupt, report.missing) == ([docs[victim].row_id], [])
    assert (report.documents, report.blocks) == (6, 6)
    others = [row for row in rows if row.row_id != docs[victim].row_id]
    assert len(store.read_rows("b", others, name)) == 5

    store.requeue([docs[victim].row_id], "its checksum was wrong")
    waiting = store.pending(9, 99)
    assert [(doc.row_id, doc.error) for doc in waiting] == [
        (docs[victim].row_id, "its checksum was wrong")
    ]
    commit(store, waiting)
    assert store.verify("b").corrupt == []
    assert store.get_document("b", waiting[0].document_id).error == ""


def test_a_damaged_header_condemns_every_block_of_the_file(store: Store, place: Place) -> None:
    docs = add(store, "a", "b")
    rows = commit(store, docs)
    place.close()
    (path,) = segment_files(place)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"F16"', b'"I16"', 1))
    store = place.open()
    for row in rows:
        with pytest.raises(CorruptBlock) as caught:
            store.read_rows("b", [row], "spans")
        assert caught.value.row_id == row.row_id
    assert store.verify("b").corrupt == [doc.row_id for doc in docs]


def test_a_truncated_file_condemns_what_is_cut_off(store: Store, place: Place) -> None:
    docs = add(store, "a", "b", "c")
    rows = commit(store, docs)
    (path,) = segment_files(place)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert store.verify("b").corrupt == [docs[-1].row_id]
    assert len(store.read_rows("b", rows, "spans")) == 3


def test_a_lost_file_is_missing_not_corrupt(store: Store, place: Place) -> None:
    docs = add(store, "a", "b")
    commit(store, docs)
    place.close()
    (path,) = segment_files(place)
    kept = path.rename(place.data_dir / "elsewhere")
    store = place.open()
    assert [doc.row_id for doc in store.pending(9, 99)] == [doc.row_id for doc in docs]
    commit(store, docs)
    (path,) = segment_files(place)
    path.rename(kept)
    assert store.verify("b").missing == [doc.row_id for doc in docs]


def test_a_deleted_documents_block_row_leads_nowhere_after_compaction(store: Store) -> None:
    rows = commit(store, add(store, "a", "b"))
    store.delete_document("b", rows[0].document_id)
    store.compact("b")
    store.release_retired()
    with pytest.raises(BlockGone) as caught:
        store.read_rows("b", rows, "content")
    assert caught.value.row_id == rows[0].row_id
    assert isinstance(caught.value, FileNotFoundError)


DTYPES = (np.float16, np.float32, ml_dtypes.bfloat16, np.int8, np.uint8, np.int32)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    kinds=st.lists(
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(1, 4), max_size=3)),
        min_size=1,
        max_size=4,
    ),
    order=st.randoms(use_true_random=False),
)
def test_any_blocks_survive_the_file(tmp_path: Path, counts: Any, kinds: Any, order: Any) -> None:
    path = tmp_path / f"{order.getrandbits(64):x}.safetensors"
    random = np.random.default_rng(7)
    blocks = [
        {
            f"t{i}": random.integers(0, 100, (rows, *shape)).astype(dtype)
            for i, (dtype, shape) in enumerate(kinds)
        }
        for rows in counts
    ]
    written = write_segment(path, blocks, {"k": "v"})
    assert written.bytes == path.stat().st_size
    file = SegmentFile(path, written.header_crc)
    indexes = order.choices(range(len(blocks)), k=len(blocks))
    for name in blocks[0]:
        results = file.read([written.spans[i] for i in indexes], name)
        for index, array in zip(indexes, results, strict=True):
            assert not isinstance(array, SegmentDamaged)
            assert array.dtype == blocks[index][name].dtype
            np.testing.assert_array_equal(array, blocks[index][name])
    file.close()
    path.unlink()


def _flip(path: Path, tensor: np.ndarray[Any, Any]) -> None:
    """Flip one bit in the middle of a tensor, found in the file by its bytes."""
    whole, part = bytearray(path.read_bytes()), tensor.tobytes()
    at = whole.index(part) + len(part) // 2
    whole[at] ^= 0x10
    with path.open("r+b") as file:
        file.write(whole)
