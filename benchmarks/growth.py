"""A live bank that grows by copies of a real one's keys: a route by scan and by coarse pass, the
memory of the process, and FAISS over as many vectors. Each size in a process of its own.

Copies have the signs of a quarter of the dimensions turned (cosine one half to the real keys), and
as many chunks in each document as the real bank. Knows engines and FAISS; nothing of texts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from memsvc_kernels import eight_bits, four_more, route_codes
from memsvc_storage import BlockRow, Document
from numpy.typing import NDArray

from benchmarks import rag
from benchmarks.processes import alone, resident
from benchmarks.timing import Row, in_turns
from memsvc.bench.metrics import percentiles
from memsvc.engine.live import LiveBank, LiveDocument, Snapshot
from memsvc.engine.tier import Tier

_TURNED = 0.25  # of a copy's dimensions
_FOUND, _QUERIES = 16, 64
GIB = 1 << 30
_TIME = datetime(2026, 1, 1, tzinfo=UTC)
Keys = tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.uint8]]
"""Codes [C, L, R], scales [C, L] and four more bits [C, L, R/2]."""
Part = tuple[int, slice, Keys]
"""A document's number in the real bank, and its chunks among the keys of a tile."""


@dataclass(frozen=True)
class Tiles:
    """Keys at rest of a real bank, and with their signs changed; chunks of each document [N]; and
    64 queries [Q, L, R]."""

    keys: Keys
    changed: Keys
    counts: NDArray[np.int64]
    queries: NDArray[np.float32]

    @classmethod
    def of(
        cls, keys: NDArray[np.float32], counts: NDArray[np.int64], queries: NDArray[np.float32]
    ) -> Tiles:
        """Of keys [C, L, R], R even, and queries to choose from."""
        short = keys.astype(np.float16)  # as blocks have them
        some = np.linspace(0, len(queries) - 1, _QUERIES).astype(np.int64)
        return cls(_at_rest(short), _at_rest(-short), counts, queries[some])

    def tile(self, number: int) -> Keys:
        """The real keys (0), or a copy of them. Signs turn in pairs, as four more bits lie."""
        if not number:
            return self.keys
        rng = np.random.default_rng(number)
        pairs = rng.random(self.keys[2].shape[1:]) < _TURNED
        codes, finer = (
            np.where(mask, turned, own)
            for mask, own, turned in (
                (np.repeat(pairs, 2, -1), self.keys[0], self.changed[0]),
                (pairs, self.keys[2], self.changed[2]),
            )
        )
        return codes, self.keys[1], finer

    def documents(self, chunks: int) -> Iterator[list[Part]]:
        """Of so many chunks, by tiles; the last one may lack some."""
        ends = np.cumsum(self.counts)
        for number, at in enumerate(range(0, chunks, int(ends[-1]))):
            keys, most = self.tile(number), chunks - at
            spans = enumerate(zip(ends - self.counts, ends, strict=True))
            yield [(n, slice(a, min(b, most)), keys) for n, (a, b) in spans if a < most]


def _at_rest(values: NDArray[np.float16]) -> Keys:
    codes, scales = eight_bits(values)
    return codes, scales, four_more(values, codes, scales)


def grown(tiles: Tiles, chunks: int) -> Row:
    """All figures of one size."""
    row = alone(routed, tiles, chunks)
    for name in ("flat", "ivf"):
        row |= {f"faiss_{name}_{of}": value for of, value in alone(searched, name, chunks).items()}
    return row


def routed(tiles: Tiles, chunks: int) -> Row:
    """A live bank of so many chunks; run by a process of its own."""
    before, live = resident("VmRSS"), LiveBank("grown", Tier(0))
    for some in tiles.documents(chunks):
        live.add(list(_taken_in(some, len(live))))
    return {
        "chunks": float(chunks),
        "documents": float(len(live)),
        **measured(live, tiles.queries),
        "before_gib": before / GIB,
    }


def _taken_in(some: Sequence[Part], first: int) -> Iterator[LiveDocument]:
    for row_id, (_, span, keys) in enumerate(some, first):
        name, chunks = f"d{row_id}", span.stop - span.start
        times = (None, None, _TIME, _TIME)
        facts = Document(row_id, "grown", name, name, "", {}, *times, 1, f"{row_id}", "READY")
        block = BlockRow(row_id, name, 1, "grown", 0, chunks, {"routing": row_id}, 64 * chunks, "x")
        spans = np.zeros((chunks, 2), np.int32)
        codes, scales, finer = keys
        yield LiveDocument(facts, block, codes[span], scales[span], finer[span], spans)


def measured(live: LiveBank, queries: NDArray[np.float32]) -> Row:
    """Milliseconds of a route of one query, before and after the bank's tier was tended, in turns;
    what the coarse pass keeps (`recall`), and memory."""
    shot = live.snapshot()
    assert shot is not None
    keys, began = shot.for_tier(), time.perf_counter()
    for query in queries[:, None]:
        live.tier.rows(keys, query)
    live.tier.tend(keys)
    spent, told = time.perf_counter() - began, live.tier.told
    del shot, keys
    gc.collect()
    ways: list[Callable[[NDArray[np.float32]], object]] = [
        lambda query: route(live, query, coarse=False)
    ]
    ways += [lambda query: route(live, query, coarse=True)] if told.coarse else []
    scan, *coarse = in_turns(ways, list(queries[:, None]))
    row: Row = {f"scan_{name}": value for name, value in percentiles(scan).items()}
    row |= {f"coarse_{name}": value for one in coarse for name, value in percentiles(one).items()}
    return row | {
        "queries": float(len(queries)),
        "recall": told.recall if told.coarse else None,
        "bank_gib": (live.near_bytes - live.tier.nbytes) / GIB,
        "coarse_gib": live.tier.nbytes / GIB,
        "coarse_seconds": spent,
        "peak_gib": resident("VmHWM") / GIB,
    }


def route(live: LiveBank, query: NDArray[np.float32], coarse: bool) -> object:
    """As a question's view has it: a moment of the bank, then the route."""
    shot = live.snapshot()
    assert isinstance(shot, Snapshot)
    rows = live.tier.rows(shot.for_tier(), query) if coarse else None
    order = shot.columns.precedence.rows
    return route_codes(query, shot.keys, shot.chunk_slot, shot.allowed, _FOUND, order, rows)


def searched(kind: str, count: int) -> Row:
    """A FAISS index of so many vectors, one query at a time; run by a process of its own."""
    index = {"flat": rag.flat, "ivf": rag.cells}[kind](count)
    asked = list(rag.vectors(_QUERIES, 1)[:, None])
    [times] = in_turns([lambda vector: index.search(vector, _FOUND)], asked)
    return {**percentiles(times), "gib": resident("VmRSS") / GIB}  # its arrays doubled: no peak
