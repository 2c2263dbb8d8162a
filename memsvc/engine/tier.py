"""How a large bank is routed over: by a scan of all keys, or of those that a coarse pass names.

The pass is taken only where it was measured to pay: on the bank's own keys and the last questions
asked, it must keep what a scan finds, and be faster. Until then, and for `exact` questions, all
keys are scanned. Knows arrays; nothing of documents or stores.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from memsvc_kernels import CoarseCodes, Codes, coarse_serves, route_codes
from numpy.typing import NDArray

_LOG = logging.getLogger("memsvc.engine")
_QUERIES = 64  # of the last questions, to measure by
_LEAST_QUERIES = 32
_AT_ONCE = (
    8  # of them in a scan: scores of all chunks for all would take a tenth of a bank's memory
)
_DEPTH, _RECALL = 16, 0.999  # documents, and the share of them that must be kept
_COUNTS = (512, 1024, 2048, 4096, 8192, 16384)  # chunks that a pass names
_LEARNT = 16384  # keys that codes are learnt from
_STEP = 1024  # keys coded while no question can be routed
_GROWN = 1.5  # times as many chunks: measured anew
_FASTER = 0.8  # of the scan's time, at most
_SLOTS_ALIVE = 0.25  # at least, by which more is named where much is dead


@dataclass(frozen=True)
class Routing:
    """How a bank's questions are routed. coarse: with a coarse pass; recall: share of the 16
    documents of an exact scan that it kept, over `questions` of the last ones; speedup: of the
    scan's time. None where nothing was measured."""

    coarse: bool = False
    recall: float | None = None
    questions: int = 0
    speedup: float | None = None


@dataclass(frozen=True)
class Keys:
    """What a moment of a bank has to be routed over; `numbering` of its slots, alive bool [N]."""

    numbering: int
    codes: Codes
    chunk_slot: NDArray[np.int64]
    alive: NDArray[np.bool_]
    precedence: NDArray[np.int64]


@dataclass(frozen=True)
class _Pass:
    """A coarse pass that pays for up to `most_queries` at once; `chunks` it was measured with."""

    numbering: int
    codes: CoarseCodes
    count: int
    most_queries: int
    chunks: int


class Tier:
    """One per live bank. Thread-safe; `tend` is called by one thread at a time."""

    def __init__(self, least_chunks: int | None) -> None:
        """least_chunks: smaller banks are always scanned (None: all are)."""
        self._least = least_chunks
        self._asked: deque[NDArray[np.float32]] = deque(maxlen=_QUERIES)
        self._lock = threading.Lock()  # over the codes
        self._pass: _Pass | None = None
        self._vain = (-1, 0)  # numbering and chunks for which no pass was worth it
        self.told = Routing()

    @property
    def nbytes(self) -> int:
        """Memory of the codes."""
        now = self._pass
        return now.codes.nbytes if now is not None else 0

    def rows(self, keys: Keys, queries: NDArray[np.float32]) -> NDArray[np.int64] | None:
        """The chunks to scan for queries [M, L, R], ascending; None: all of them."""
        chunks, now = len(keys.chunk_slot), self._pass
        if self._least is not None and chunks >= self._least:
            with self._lock:
                self._asked.extend(queries)
        if now is None or now.numbering != keys.numbering or len(queries) > now.most_queries:
            return None
        alive = max(float(keys.alive.mean()), _SLOTS_ALIVE)
        with self._lock:
            found = now.codes.nearest(queries, int(now.count / alive))
            coded = len(now.codes)
        return np.concatenate((found[found < chunks], np.arange(min(coded, chunks), chunks)))

    def tend(self, keys: Keys) -> None:
        """Code what is new, and measure whether it pays, where the bank has grown."""
        chunks, now = len(keys.chunk_slot), self._pass
        if self._least is None or chunks < self._least or not coarse_serves():
            return
        if now is None or now.numbering != keys.numbering:
            self._pass, self.told = None, self.told if now is None else Routing()
            numbering, vain = self._vain
            tried = numbering == keys.numbering and chunks < _GROWN * vain
            if tried or len(self._asked) < _LEAST_QUERIES:
                return
            codes = self._learnt(keys.codes)
        else:
            codes = now.codes
        self._extend(codes, keys.codes)
        if now is None or codes is not now.codes or chunks >= _GROWN * now.chunks:
            self._pass = self._measured(codes, keys)
            self._vain = (keys.numbering, chunks) if self._pass is None else (-1, 0)

    def _last(self) -> NDArray[np.float32]:
        """Queries of the last questions [M, L, R]."""
        with self._lock:
            return np.stack(self._asked)

    def _learnt(self, codes: Codes) -> CoarseCodes:
        some = np.linspace(0, len(codes) - 1, min(len(codes), _LEARNT)).astype(np.int64)
        return CoarseCodes(_wide(codes, some), self._last())

    def _extend(self, codes: CoarseCodes, keys: Codes) -> None:
        for at in range(len(codes), len(keys), _STEP):
            wide = _wide(keys, np.arange(at, min(at + _STEP, len(keys))))
            with self._lock:
                codes.extend(wide)

    def _measured(self, codes: CoarseCodes, keys: Keys) -> _Pass | None:
        queries, chunks = self._last(), len(keys.chunk_slot)

        def scan(some: NDArray[np.float32], rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
            rest = (keys.chunk_slot, keys.alive, _DEPTH, keys.precedence, rows)
            found: NDArray[np.int64] = route_codes(some, keys.codes, *rest)[0]
            return found

        def coarse(at: int, count: int) -> NDArray[np.int64]:
            one = queries[at : at + 1]
            with self._lock:
                rows = codes.nearest(one, count)
            found: NDArray[np.int64] = scan(one, rows)[0]
            return found

        groups = [queries[at : at + _AT_ONCE] for at in range(0, len(queries), _AT_ONCE)]
        wanted, count, recall = np.concatenate([scan(some, None) for some in groups]), 0, 0.0
        for count in (one for one in _COUNTS if 2 * one <= chunks):
            recall = _kept(wanted, [coarse(at, count) for at in range(len(queries))])
            if recall >= _RECALL:
                break
        if recall < _RECALL:
            self._refused(Routing(False, recall, len(queries)), "keeps too little")
            return None
        own, few = _seconds(partial(coarse, 0, count)), groups[0]
        one, many = (_seconds(partial(scan, some, None)) for some in (few[:1], few))
        most = _worthwhile(own, one, (many - one) / max(len(few) - 1, 1), len(queries))
        told = Routing(most > 0, recall, len(queries), one / own)
        if not most:
            self._refused(told, "is no faster")
            return None
        self.told = told
        _LOG.info("routing begins with a coarse pass", extra={"data": vars(told)})
        return _Pass(keys.numbering, codes, count, most, chunks)

    def _refused(self, told: Routing, why: str) -> None:
        self.told = told
        _LOG.info("a coarse pass %s: all keys are scanned", why, extra={"data": vars(told)})


def _wide(codes: Codes, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Keys [n, L, R] in fp32, by their 8 bits: a coarse pass has no use for more."""
    return Codes(codes.codes, codes.scales).keys(rows)


def _kept(wanted: NDArray[np.int64], found: list[NDArray[np.int64]]) -> float:
    """Share of the documents wanted [M, k] (-1 pads) that were found."""
    pairs = [(set(own[own >= 0]), set(got)) for own, got in zip(wanted, found, strict=True)]
    return sum(len(own & got) for own, got in pairs) / max(sum(len(own) for own, _ in pairs), 1)


def _worthwhile(own: float, scan: float, more: float, most: int) -> int:
    """Up to how many queries at once a pass (of one after the other) beats a scan (of all)."""
    paying = [n for n in range(1, most + 1) if n * own < _FASTER * (scan + (n - 1) * more)]
    return max(paying, default=0)


def _seconds(work: Callable[[], object]) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
