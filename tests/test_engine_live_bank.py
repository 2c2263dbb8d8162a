"""The live bank against a plain dictionary that holds the same documents."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce

import numpy as np
import pytest
from memsvc_kernels import eight_bits, four_more, full_width, route_codes
from memsvc_kernels.scan import Routed
from memsvc_storage import BlockRow, Document
from numpy.typing import NDArray

from memsvc.engine import DocumentFilter, Keyed, both
from memsvc.engine.live import LiveBank, LiveDocument, Snapshot

WIDTH = 8
NOW = datetime.now(UTC)


def document(row_id: int, rng: np.random.Generator, revision: int = 1) -> LiveDocument:
    chunks = int(rng.integers(1, 4))
    facts = Document(
        row_id=row_id,
        bank="b",
        document_id=f"d{row_id}",
        title="",
        text="",
        metadata={"odd": bool(row_id % 2)},
        event_time=None,
        expire_time=None,
        create_time=NOW,
        update_time=NOW,
        revision=revision,
        etag="",
        state="READY",
    )
    block = BlockRow(row_id, facts.document_id, revision, "s", 0, chunks, {}, 9, "d")
    wide = rng.standard_normal((chunks, 1, WIDTH))
    keys = eight_bits(wide)
    spans = np.stack([np.arange(chunks), np.arange(chunks) + row_id], 1).astype(np.int32)
    return LiveDocument(facts, block, *keys, four_more(wide, *keys), spans)


def routed(shot: Snapshot, query: NDArray[np.float32], k: int) -> Routed:
    rest = (shot.chunk_slot, shot.allowed, k, shot.columns.precedence.rows)
    return route_codes(query.reshape(1, 1, WIDTH), shot.keys, *rest)


def best(live: LiveBank, query: NDArray[np.float32], k: int) -> list[int]:
    """Rows of the k best documents by way of a snapshot; checks the winning chunk's span."""
    shot = live.snapshot()
    assert shot is not None
    slots, _, chunks = routed(shot, query, k)
    rows = [shot.columns.facts[slot].row_id for slot in slots[0] if slot >= 0]
    for row_id, chunk in zip(rows, chunks[0], strict=False):
        start, end = shot.columns.spans.rows[chunk]
        assert end - start == row_id
    return rows


def expected(held: dict[int, LiveDocument], query: NDArray[np.float32], k: int) -> list[int]:
    scores = {
        row_id: float((full_width(d.keys, d.scales, d.finer)[:, 0] @ query).max())
        for row_id, d in held.items()
    }
    return sorted(scores, key=lambda row_id: -scores[row_id])[:k]


@pytest.mark.parametrize("seed", range(3))
def test_it_holds_what_was_added_and_not_discarded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    live, held, next_row = LiveBank("b"), dict[int, LiveDocument](), 1
    for _ in range(40):
        new = [document(row, rng) for row in range(next_row, next_row + 100)]
        next_row += 100
        live.add(new)
        held |= {d.facts.row_id: d for d in new}
        gone = [int(row) for row in rng.choice(sorted(held), size=80, replace=False)]
        live.align(gone, {})
        held = {row: d for row, d in held.items() if row not in gone}
        again = [document(int(row), rng, 2) for row in rng.choice(sorted(held), 5, replace=False)]
        live.add(again)
        held |= {d.facts.row_id: d for d in again}
        query = rng.standard_normal(WIDTH).astype(np.float32)
        assert best(live, query, 7) == expected(held, query, 7)
    assert len(live) == len(held)


def test_a_snapshot_is_not_moved_by_what_comes_after() -> None:
    rng = np.random.default_rng(0)
    live = LiveBank("b")
    live.add([document(row, rng) for row in range(1, 3001)])
    shot = live.snapshot()
    assert shot is not None
    query = rng.standard_normal((1, WIDTH)).astype(np.float32)
    before = routed(shot, query, 5)
    live.align(range(1, 2500), {})
    live.add([document(row, rng) for row in range(4000, 9000)])
    after = routed(shot, query, 5)
    for was, now_is in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.asarray(was), np.asarray(now_is))


def test_the_memory_it_says_it_takes_is_what_it_takes() -> None:
    rng = np.random.default_rng(5)
    documents = [document(row, rng) for row in range(1, 1301)]  # 1,300: far from a power of two
    live = LiveBank("b")
    tracemalloc.start()
    for at in range(0, 1300, 100):
        live.add(documents[at : at + 100])
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    objects = 2500 * len(documents)  # they were there before
    assert used <= live.near_bytes <= used + objects


def test_facts_decide_who_stays() -> None:
    rng = np.random.default_rng(1)
    live = LiveBank("b")
    documents = [document(row, rng) for row in range(1, 6)]
    live.add(documents)
    now = {d.facts.row_id: d.facts for d in documents}
    now[2] = replace(now[2], revision=2)
    now[3] = replace(now[3], state="PENDING")
    now[4] = replace(now[4], expire_time=NOW - timedelta(seconds=1))
    del now[5]
    live.align([1, 2, 3, 4, 5], now)
    assert best(live, np.ones(WIDTH, np.float32), 5) == [1]


def test_a_block_of_another_revision_does_not_take_a_documents_place() -> None:
    rng = np.random.default_rng(3)
    live = LiveBank("b")
    old = document(1, rng)
    live.add([old])
    live.move([replace(old.block, revision=2, segment="new")])
    live.align([1], {1: replace(old.facts, revision=2)})
    assert best(live, np.ones(WIDTH, np.float32), 1) == []


def test_a_filter_sees_the_facts_of_living_documents_only() -> None:
    rng = np.random.default_rng(2)
    live = LiveBank("b")
    live.add([document(row, rng) for row in range(1, 11)])
    live.align([2, 4], {})
    asked: list[int] = []

    def odd(facts: Document) -> bool:
        asked.append(facts.row_id)
        return bool(facts.metadata["odd"])

    shot = live.snapshot(odd)
    assert shot is not None
    assert sorted(asked) == [1, 3, 5, 6, 7, 8, 9, 10]
    assert int(shot.allowed.sum()) == 5


def test_a_filter_is_asked_once_of_a_document_and_again_when_facts_change() -> None:
    rng = np.random.default_rng(4)
    live = LiveBank("b")
    documents = [document(row, rng) for row in range(1, 8)]
    live.add(documents)
    asked: list[int] = []

    def odd(facts: Document) -> bool:
        asked.append(facts.row_id)
        return bool(facts.metadata["odd"])

    def seen(*filters: DocumentFilter | None) -> list[int]:
        shot = live.snapshot(reduce(both, filters, None))
        assert shot is not None
        return [shot.columns.facts[slot].row_id for slot in np.flatnonzero(shot.allowed)]

    keyed = Keyed("odd", odd)
    assert seen(keyed) == seen(keyed) == [1, 3, 5, 7]
    assert asked == [1, 2, 3, 4, 5, 6, 7]
    live.add([document(9, rng)])
    assert seen(keyed, lambda facts: facts.row_id != 3) == [1, 5, 7, 9]
    assert asked == [1, 2, 3, 4, 5, 6, 7, 9]
    live.align([2], {2: replace(documents[1].facts, metadata={"odd": True})})
    live.align([1], {})
    assert seen(keyed) == [2, 3, 5, 7, 9]
    assert seen(Keyed("even", lambda facts: not facts.metadata["odd"])) == [4, 6]
