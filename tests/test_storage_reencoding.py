"""From one identity to another: old blocks serve until the new ones do, and nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from memsvc_storage import (
    Document,
    DocumentChanges,
    Fenced,
    Operation,
    OperationFinished,
    Store,
    identity_digest,
)

from tests.storage_support import (
    DIGEST,
    OTHER_IDENTITY,
    Place,
    add,
    block,
    commit,
    encoded,
    segment_files,
    subprocess_environment,
)

pytest_plugins = ["tests.storage_support"]

NEXT = identity_digest(OTHER_IDENTITY)
THIRD = {"model": "third"}


def _filled(store: Store, *texts: str) -> list[Document]:
    docs = add(store, *texts)
    commit(store, docs)
    return docs


def _operation(store: Store) -> Operation:
    operation = store.reencoding("b")
    assert operation is not None
    return operation


def _served(store: Store, digest: str) -> list[int]:
    return [row.row_id for row in store.live_blocks("b", digest)]


def test_old_blocks_serve_until_every_document_has_a_new_one(store: Store) -> None:
    docs = _filled(store, *"abcde")
    rows = [doc.row_id for doc in docs]
    (fenced,) = store.fence(NEXT, DIGEST)
    assert fenced == Fenced("b", _operation(store).operation_id, True)
    assert (_operation(store).kind, _operation(store).total) == ("REENCODE", 5)
    first = store.unmatched("b", 3, 999)
    assert [(doc.row_id, doc.text) for doc in first] == list(zip(rows[:3], "abc", strict=True))
    assert store.commit_next("b", OTHER_IDENTITY, encoded(first)) == 3
    assert not store.promote("b", NEXT, {})
    assert (_served(store, DIGEST), _served(store, NEXT)) == (rows, [])
    assert (_operation(store).state, _operation(store).done) == ("RUNNING", 3)
    assert store.unmatched("b", 9, 1, after=rows[3])[0].row_id == rows[4]
    store.commit_next("b", OTHER_IDENTITY, encoded(store.unmatched("b", 9, 999)))
    assert store.promote("b", NEXT, {})
    assert (_served(store, DIGEST), _served(store, NEXT)) == ([], rows)
    ended = store.get_operation(fenced.operation_id)
    assert (ended.state, ended.total, ended.done, ended.failed) == ("DONE", 5, 5, 0)
    assert store.reencoding("b") is None
    assert store.get_bank("b").identity == NEXT
    assert store.stats("b").dead_fraction == pytest.approx(0.5, abs=0.1)
    assert store.fence(NEXT) == []
    assert not store.promote("b", NEXT, {})


def test_after_the_change_facts_and_bytes_are_those_of_the_new_blocks(store: Store) -> None:
    docs = _filled(store, "a", "b")
    store.fence(NEXT, DIGEST)
    wider = [(doc.row_id, doc.revision, block(7, chunks=6), 99) for doc in docs]
    store.commit_next("b", OTHER_IDENTITY, wider)
    assert store.get_bank("b").kv_bytes < 2 * sum(t.nbytes for t in block(7, 6).values())
    store.promote("b", NEXT, {})
    assert [(d.tokens, d.chunks) for d in store.facts("b", None)] == [(99, 6), (99, 6)]
    assert store.get_bank("b").kv_bytes == 2 * sum(t.nbytes for t in block(7, 6).values())
    rows = store.live_blocks("b", NEXT)
    np.testing.assert_array_equal(store.read_rows("b", rows, "routing")[1], block(7, 6)["routing"])
    report = store.compact("b", 1.0)
    assert (report.segments_after, report.documents) == (1, 0)
    assert (store.verify("b").blocks, store.verify("b").missing) == (2, [])


def test_what_changes_meanwhile_needs_another_new_block(store: Store) -> None:
    kept, changed, deleted, damaged = docs = _filled(store, "kept", "changed", "deleted", "damaged")
    store.fence(NEXT, DIGEST)
    blocks = encoded(docs)
    store.commit_next("b", OTHER_IDENTITY, blocks)
    store.update_document("b", changed.document_id, DocumentChanges(text="new"))
    store.delete_document("b", deleted.document_id)
    store.requeue([damaged.row_id], "damaged")
    assert store.commit_next("b", OTHER_IDENTITY, blocks[1:]) == 0
    commit(store, store.pending(9, 999))  # by what serves
    (more,) = add(store, "more")
    commit(store, [more])
    lacking = store.unmatched("b", 9, 999)
    assert [doc.row_id for doc in lacking] == [changed.row_id, damaged.row_id, more.row_id]
    assert not store.promote("b", NEXT, {})
    store.commit_next("b", OTHER_IDENTITY, encoded(lacking))
    (waits,) = add(store, "waits")
    operation = _operation(store)
    assert store.promote("b", NEXT, {})
    assert _served(store, NEXT) == [kept.row_id, changed.row_id, damaged.row_id, more.row_id]
    assert store.get_operation(operation.operation_id).state == "DONE"
    assert commit(store, [waits]) == []  # the old model has come too late
    assert len(commit(store, [waits], identity=OTHER_IDENTITY)) == 1


def test_documents_that_the_new_model_refuses_fail_at_the_change(store: Store) -> None:
    good, bad, healed = _filled(store, "good", "bad", "healed")
    store.fence(NEXT, DIGEST)
    store.commit_next("b", OTHER_IDENTITY, encoded([good]))
    failed = {bad.row_id: (1, "too long"), healed.row_id: (1, "too long")}
    store.update_document("b", healed.document_id, DocumentChanges(text="short"))
    commit(store, store.pending(9, 99))
    assert store.unmatched("b", 9, 99, but={bad.row_id: 1})[0].row_id == healed.row_id
    assert not store.promote("b", NEXT, failed)
    store.commit_next(
        "b", OTHER_IDENTITY, encoded(store.unmatched("b", 9, 99, but={bad.row_id: 1}))
    )
    assert store.get_document("b", bad.document_id).state == "READY"
    operation = _operation(store)
    assert store.promote("b", NEXT, failed)
    assert _served(store, NEXT) == [good.row_id, healed.row_id]
    gone = store.get_document("b", bad.document_id)
    assert (gone.state, gone.error, gone.tokens) == ("FAILED", "too long", None)
    ended = store.get_operation(operation.operation_id)
    assert (ended.state, ended.done, ended.failed) == ("DONE", ended.total - 1, 1)


def test_without_the_old_model_the_documents_wait_under_an_operation(
    store: Store, place: Place
) -> None:
    docs = _filled(store, *"abc")
    (fenced,) = store.fence(NEXT)
    assert not fenced.serving
    assert (_served(store, DIGEST), store.get_bank("b").identity) == ([], NEXT)
    commit(store, store.pending(1, 99), identity=OTHER_IDENTITY)
    for _ in range(2):  # a restart with the same model does not begin again
        store = place.open()
        assert store.fence(NEXT) == [fenced]
    assert (_operation(store).total, _operation(store).done) == (3, 1)
    with pytest.raises(OperationFinished):
        store.cancel_operation(fenced.operation_id)
    store.delete_document("b", docs[1].document_id)
    commit(store, store.pending(9, 99), identity=OTHER_IDENTITY)
    assert store.reencoding("b") is None
    assert store.get_operation(fenced.operation_id).state == "DONE"
    assert store.fence(NEXT) == []


def test_a_restart_goes_on_with_what_was_collected(store: Store, place: Place) -> None:
    docs = _filled(store, *"abcd")
    (fenced,) = store.fence(NEXT, DIGEST)
    store.commit_next("b", OTHER_IDENTITY, encoded(docs[:2]))
    store = place.open()
    assert store.fence(NEXT, DIGEST) == [fenced]
    assert [doc.row_id for doc in store.unmatched("b", 9, 99)] == [d.row_id for d in docs[2:]]
    store = place.open()  # now without the old model
    assert store.fence(NEXT) == [Fenced("b", fenced.operation_id, False)]
    assert _served(store, NEXT) == [doc.row_id for doc in docs[:2]]
    assert (_operation(store).total, _operation(store).done) == (4, 2)
    commit(store, store.pending(9, 99), identity=OTHER_IDENTITY)
    ended = store.get_operation(fenced.operation_id)
    assert (ended.state, ended.done) == ("DONE", 4)


def test_all_collected_but_not_yet_changed_is_changed_at_once(store: Store, place: Place) -> None:
    docs = _filled(store, *"ab")
    (fenced,) = store.fence(NEXT, DIGEST)
    store.commit_next("b", OTHER_IDENTITY, encoded(docs))
    store = place.open()
    store.fence(NEXT)
    assert _served(store, NEXT) == [doc.row_id for doc in docs]
    assert store.get_operation(fenced.operation_id).state == "DONE"


def test_back_to_the_old_model_drops_what_was_collected(store: Store) -> None:
    docs = _filled(store, *"ab")
    (fenced,) = store.fence(NEXT, DIGEST)
    store.commit_next("b", OTHER_IDENTITY, encoded(docs))
    assert store.fence(DIGEST) == []
    assert store.get_operation(fenced.operation_id).state == "CANCELLED"
    assert _served(store, DIGEST) == [doc.row_id for doc in docs]
    assert store.stats("b").dead_fraction == pytest.approx(0.5, abs=0.1)


def test_a_third_model_keeps_nothing_of_the_second(store: Store) -> None:
    docs = _filled(store, *"ab")
    store.fence(NEXT, DIGEST)
    store.commit_next("b", OTHER_IDENTITY, encoded(docs))
    third = identity_digest(THIRD)
    assert store.fence(third, DIGEST)[0].serving
    assert len(store.unmatched("b", 9, 99)) == 2
    assert not store.promote("b", third, {})


def test_a_bank_half_encoded_cannot_serve_while_it_changes_again(store: Store) -> None:
    docs = _filled(store, *"abc")
    store.fence(NEXT)
    commit(store, store.pending(1, 99), identity=OTHER_IDENTITY)
    (fenced,) = store.fence(identity_digest(THIRD), NEXT)
    assert not fenced.serving
    assert [doc.row_id for doc in store.pending(9, 99)] == [doc.row_id for doc in docs]
    commit(store, store.pending(9, 99), identity=THIRD)
    assert store.reencoding("b") is None


def test_banks_without_documents_just_change(store: Store) -> None:
    (doc,) = _filled(store, "a")
    store.create_bank("empty")
    store.delete_document("b", doc.document_id)
    assert store.fence(NEXT) == []
    assert store.get_bank("b").identity == NEXT
    assert len(commit(store, add(store, "new"), identity=OTHER_IDENTITY)) == 1


def test_a_deleted_bank_ends_its_re_encoding(store: Store, place: Place) -> None:
    docs = _filled(store, "a")
    (fenced,) = store.fence(NEXT, DIGEST)
    store.commit_next("b", OTHER_IDENTITY, encoded(docs))
    store.delete_bank("b")
    assert store.get_operation(fenced.operation_id).state == "CANCELLED"
    assert segment_files(place) == []


def test_a_lost_or_damaged_new_segment_is_made_again(store: Store, place: Place) -> None:
    docs = _filled(store, *"ab")
    (old,) = segment_files(place)
    store.fence(NEXT, DIGEST)
    store.commit_next("b", OTHER_IDENTITY, encoded(docs))
    (new,) = set(segment_files(place)) - {old}
    body = bytearray(new.read_bytes())
    body[-3] ^= 1
    new.write_bytes(body)
    report = store.verify("b")
    assert (report.blocks, len(report.corrupt)) == (2, 1)
    new.unlink()
    store = place.open()
    assert len(store.unmatched("b", 9, 99)) == 2
    assert store.verify("b").missing == []
    assert len(_served(store, DIGEST)) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from memsvc_storage import Store, reencoding
from tests.storage_support import DIGEST, OTHER_IDENTITY, encoded
from memsvc_storage import identity_digest

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

store = Store.open(Path(sys.argv[1]), sys.argv[2] or None)
store.fence(identity_digest(OTHER_IDENTITY), DIGEST)
store.commit_next("b", OTHER_IDENTITY, encoded(store.unmatched("b", 2, 999)))
{arm}
store.commit_next("b", OTHER_IDENTITY, encoded(store.unmatched("b", 9, 999)))
store.promote("b", identity_digest(OTHER_IDENTITY), dict())
"""


@pytest.mark.parametrize(
    "arm",
    ["reencoding._attach_next = die", "reencoding.count_kv_bytes = die", "store.promote = die"],
)
def test_killed_at_any_point_nothing_is_lost(store: Store, place: Place, arm: str) -> None:
    docs = _filled(store, *"abcd")
    rows = [doc.row_id for doc in docs]
    place.close()
    body = KILLED.format(arm=arm)
    command = [sys.executable, "-c", body, str(place.data_dir), place.database_url or ""]
    child = subprocess.run(
        command, env=subprocess_environment(), capture_output=True, check=False, timeout=240
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    store = place.open()
    assert _served(store, DIGEST) == rows
    (fenced,) = store.fence(NEXT, DIGEST)
    lacking = store.unmatched("b", 9, 999)
    assert [doc.row_id for doc in lacking] == ([] if len(lacking) == 0 else rows[2:])
    store.commit_next("b", OTHER_IDENTITY, encoded(lacking))
    assert store.promote("b", NEXT, {})
    assert _served(store, NEXT) == rows
    assert store.verify("b").corrupt == []
    assert store.get_operation(fenced.operation_id).done == 4
