"""Crashes: a killed process loses nothing that was acknowledged and leaves nothing half done."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from memsvc_storage import StorageError, Store, StoreLocked

from tests.storage_support import (
    DIGEST,
    Place,
    add,
    commit,
    segment_files,
    subprocess_environment,
)

pytest_plugins = ["tests.storage_support"]

PRELUDE = """
import os, signal, sys
from pathlib import Path
from memsvc_storage import NewDocument, Store, block_writes, compaction, segments
from tests.storage_support import add, commit

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

store = Store.open(Path(sys.argv[1]), sys.argv[2] or None)
"""

BEFORE_THE_COMMIT = """
real = block_writes.write_segment
def written_then_dead(*args):
    real(*args)
    die()
block_writes.write_segment = written_then_dead
commit(store, store.pending(9, 999))
"""

WITHIN_THE_FILE = """
segments.os.replace = die
commit(store, store.pending(9, 999))
"""

WITHIN_COMPACTION = """
docs = store.pending(9, 999)
commit(store, docs)
store.delete_document("b", docs[0].document_id)
real = compaction.write_segment
def written_then_dead(*args):
    real(*args)
    die()
compaction.write_segment = written_then_dead
store.compact("b")
"""

BEFORE_THE_UNLINKING = """
docs = store.pending(9, 999)
commit(store, docs)
store.delete_document("b", docs[0].document_id)
real = type(store)._segment_path
def dead_when_unlinking(self, number, segment):
    path = real(self, number, segment)
    return type("Fatal", (type(path),), {"unlink": die})(path)
write = compaction.write_segment
def write_then_arm(*args):
    written = write(*args)
    type(store)._segment_path = dead_when_unlinking
    return written
compaction.write_segment = write_then_arm
store.compact("b")
"""

AFTER_AN_ACKNOWLEDGEMENT = """
docs = add(store, "acknowledged")
store.delete_document("b", store.list_documents("b", 1).items[0].document_id)
die()
"""


def _killed(place: Place, body: str) -> None:
    place.close()
    command = [sys.executable, "-c", PRELUDE + body, str(place.data_dir), place.database_url or ""]
    child = subprocess.run(
        command, env=subprocess_environment(), capture_output=True, check=False, timeout=240
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()


@pytest.mark.parametrize("body", [BEFORE_THE_COMMIT, WITHIN_THE_FILE])
def test_killed_before_the_commit_the_documents_still_wait(
    store: Store, place: Place, body: str
) -> None:
    docs = add(store, "one", "two")
    _killed(place, body)
    assert len(segment_files(place)) == 1, "the child was to die with its file written"
    store = place.open()
    assert segment_files(place) == []
    assert store.pending(9, 999) == docs
    assert store.live_blocks("b", DIGEST) == []
    commit(store, store.pending(9, 999))
    report = store.verify("b")
    assert (report.blocks, report.corrupt, report.missing) == (2, [], [])


@pytest.mark.parametrize("body", [WITHIN_COMPACTION, BEFORE_THE_UNLINKING])
def test_killed_within_compaction_the_live_blocks_stay(
    store: Store, place: Place, body: str
) -> None:
    docs = add(store, "one", "two", "three")
    _killed(place, body)
    assert len(segment_files(place)) == 2
    store = place.open()
    assert len(segment_files(place)) == 1
    assert [row.row_id for row in store.live_blocks("b", DIGEST)] == [d.row_id for d in docs[1:]]
    report = store.verify("b")
    assert (report.blocks, report.corrupt, report.missing) == (2, [], [])


def test_what_was_acknowledged_before_the_kill_holds(store: Store, place: Place) -> None:
    (doomed,) = add(store, "doomed")
    _killed(place, AFTER_AN_ACKNOWLEDGEMENT)
    store = place.open()
    items = store.list_documents("b", 9, with_text=True).items
    assert [doc.text for doc in items] == ["acknowledged"]
    assert items[0].row_id > doomed.row_id
    assert store.get_bank("b").document_count == 1


def test_files_that_no_row_names_are_removed_and_others_left(store: Store, place: Place) -> None:
    (row,) = commit(store, add(store, "text"))
    folder = segment_files(place)[0].parent
    strays = [folder / f"{'0' * 32}.safetensors", folder / f"{'1' * 32}.tmp"]
    abandoned = folder.parent / "999" / "x.safetensors"
    abandoned.parent.mkdir()
    foreign = folder.parent / "README"
    for path in (*strays, abandoned, foreign):
        path.write_bytes(b"half a segment")
    place.open()
    assert {path.stem for path in segment_files(place)} == {"README", row.segment}
    assert not abandoned.parent.exists()


def test_a_store_has_one_owner(store: Store, place: Place) -> None:
    with pytest.raises(StoreLocked):
        Store.open(place.data_dir, place.database_url)
    add(store, "still works")
    if place.database_url is not None:
        with pytest.raises(StoreLocked):
            Store.open(place.data_dir.with_name("elsewhere"), place.database_url)


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.get_bank("b")
    with pytest.raises(StorageError, match="closed"):
        add(store, "text")


def test_another_kind_of_database_is_refused(place: Place) -> None:
    with pytest.raises(ValueError, match="mysql"):
        Store.open(place.data_dir, "mysql://localhost/x")
