"""A bank in memory: routing keys, spans and facts of its READY documents, in growing arrays.

Documents have slots, numbered upwards and never reused; a slot is a view's handle. Snapshots keep
the arrays of their moment: adding appends beyond them, discarding flips a flag that they copied.
Knows nothing of stores, models or questions.  Legend: C chunks, N slots, L router layers,
R routing width.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from memsvc_kernels import Codes, ResidentKeys
from memsvc_storage import BlockRow, Document
from numpy.typing import NDArray

from memsvc.engine.filtering import Masks
from memsvc.engine.growing import Growing
from memsvc.engine.keys import KeyTable
from memsvc.engine.tier import Keys, Tier

_NUMBERINGS = itertools.count()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DOCUMENT_BYTES = 2200  # of its facts, its block and their places in lists, as measured
_REPACK_SLOTS = 1024  # fewer dead slots than this are not worth copying the keys


@dataclass(frozen=True)
class LiveDocument:
    """What the live bank takes in of one document: `keys` [C, L, R] at 8 bits, their `scales`
    [C, L] and four more bits [C, L, ceil(R/2)], `spans` [C, 2]."""

    facts: Document
    block: BlockRow
    keys: NDArray[np.int8]
    scales: NDArray[np.float32]
    finer: NDArray[np.uint8]
    spans: NDArray[np.int32]


class Columns:
    """The columns behind one numbering of slots. Chunks of a slot are contiguous and ascending."""

    def __init__(self, keys: KeyTable) -> None:
        self.keys = keys  # [C, L, R]
        self.resident = ResidentKeys()  # the same on a GPU, once a question was asked there
        self.numbering = next(_NUMBERINGS)
        self.rows = Growing(np.int64, (3,))  # [N] row id, revision, created (microseconds)
        self.chunk_slot = Growing(np.int64)  # [C]
        self.spans = Growing(np.int32, (2,))  # [C, 2]
        self.first_chunk = Growing(np.int64)  # [N]
        self.chunks = Growing(np.int64)  # [N]
        self.precedence = Growing(np.int64)  # [N] settles equal scores
        self.alive = Growing(np.bool_)  # [N]
        self.expires = Growing(np.float64)  # [N] seconds since the epoch, inf: never
        self.facts: list[Document] = []  # [N]
        self.masks = Masks()
        self.blocks: list[BlockRow] = []  # [N]

    @property
    def nbytes(self) -> int:
        """Memory that all of it takes, with the arrays' room to grow; on a GPU, too."""
        by_chunk = (self.keys, self.resident, self.chunk_slot, self.spans)
        by_slot = (self.rows, self.first_chunk, self.chunks, self.precedence)
        rest = (self.alive, self.expires)
        arrays = sum(one.nbytes for one in (*by_chunk, *by_slot, *rest))
        return arrays + _DOCUMENT_BYTES * len(self.facts)

    def append(self, documents: Sequence[LiveDocument]) -> None:
        counts = np.array([len(d.keys) for d in documents], np.int64)
        slots = np.arange(len(self.facts), len(self.facts) + len(documents))
        self.rows.extend(np.array([_row(d.facts) for d in documents], np.int64))
        self.first_chunk.extend(len(self.keys) + np.cumsum(counts) - counts)
        self.chunks.extend(counts)
        parts = [(d.keys, d.scales, d.finer) for d in documents]
        self.keys.extend(*(np.concatenate(own) for own in zip(*parts, strict=True)))
        self.spans.extend(np.concatenate([d.spans for d in documents]))
        self.chunk_slot.extend(np.repeat(slots, counts))
        self.precedence.extend(np.array([_precedence(d.facts) for d in documents], np.int64))
        self.alive.extend(np.ones(len(documents), np.bool_))
        self.expires.extend(np.array([_expires(d.facts) for d in documents]))
        self.facts += [d.facts for d in documents]
        self.blocks += [d.block for d in documents]

    def living(self) -> Columns:
        """A copy without the dead slots, numbered anew."""
        alive = self.alive.rows
        slots = np.flatnonzero(alive)
        chunk_slot = self.chunk_slot.rows
        kept = alive[chunk_slot]
        counts = self.chunks.rows[slots]
        copy = Columns(self.keys.kept(kept))
        copy.rows.extend(self.rows.rows[slots])
        copy.spans.extend(self.spans.rows[kept])
        copy.chunk_slot.extend(np.repeat(np.arange(len(slots)), counts))
        copy.first_chunk.extend(np.cumsum(counts) - counts)
        copy.chunks.extend(counts)
        copy.precedence.extend(self.precedence.rows[slots])
        copy.alive.extend(np.ones(len(slots), np.bool_))
        copy.expires.extend(self.expires.rows[slots])
        copy.facts = [self.facts[slot] for slot in slots]
        copy.blocks = [self.blocks[slot] for slot in slots]
        return copy


@dataclass(frozen=True)
class Snapshot:
    """One moment of a live bank. `slots` [N] of `columns` existed; `alive` are the bank's, of which
    the filter lets `allowed` be routed to."""

    columns: Columns
    alive: NDArray[np.bool_]  # [N]
    allowed: NDArray[np.bool_]  # [N]
    keys: Codes  # [C, L, R]
    chunk_slot: NDArray[np.int64]  # [C]

    def for_tier(self) -> Keys:
        """What the bank's tier takes of it."""
        order = self.columns.precedence.rows[: len(self.alive)]
        return Keys(self.columns.numbering, self.keys, self.chunk_slot, self.allowed, order)


class LiveBank:
    """Thread-safe. `changing` is for whoever reads the store and then brings the bank in line:
    held over both, it keeps a slow reader from undoing what a faster one has done since.
    `digest`: the identity of all blocks here, "" until it is known."""

    def __init__(self, name: str, tier: Tier | None = None) -> None:
        self.name = name
        self.tier = tier or Tier(None)
        self.digest = ""
        self.changing = threading.Lock()
        self._lock = threading.Lock()  # held for moments only; never while waiting
        self._columns: Columns | None = None
        self._slot_of: dict[int, int] = {}
        self._dead = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    @property
    def near_bytes(self) -> int:
        """Memory that it takes: routing keys above all."""
        with self._lock:
            columns = self._columns.nbytes if self._columns is not None else 0
        return columns + self.tier.nbytes

    def row_ids(self) -> list[int]:
        with self._lock:
            return list(self._slot_of)

    def add(self, documents: Sequence[LiveDocument]) -> None:
        """Take documents in; one that is here already is replaced."""
        if not documents:
            return
        with self._lock:
            self._discard(d.facts.row_id for d in documents)
            if self._columns is None:
                _, layers, width = documents[0].keys.shape
                self._columns = Columns(KeyTable(layers, width))
            first = len(self._columns.facts)
            self._columns.append(documents)
            for slot, document in enumerate(documents, first):
                self._slot_of[document.facts.row_id] = slot

    def align(self, row_ids: Iterable[int], facts: Mapping[int, Document]) -> None:
        """Bring rows in line with their facts now: what is gone or of another revision goes."""
        with self._lock:
            for row_id in row_ids:
                slot = self._slot_of.get(row_id)
                if slot is None or self._columns is None:
                    continue
                now = facts.get(row_id)
                revision = self._columns.blocks[slot].revision
                if now is None or now.state != "READY" or now.revision != revision:
                    self._discard([row_id])
                else:
                    self._columns.facts[slot] = now
                    self._columns.masks.forget()
                    self._columns.expires.rows[slot] = _expires(now)

    def move(self, blocks: Iterable[BlockRow]) -> None:
        """Blocks that lie elsewhere now (after compaction), of the revisions held here."""
        with self._lock:
            for block in blocks:
                slot = self._slot_of.get(block.row_id)
                if slot is None or self._columns is None:
                    continue
                held = self._columns.blocks[slot]
                if (held.revision, held.identity) == (block.revision, block.identity):
                    self._columns.blocks[slot] = block

    def snapshot(self, filter: Callable[[Document], bool] | None = None) -> Snapshot | None:
        """What a question asked now may see; None while the bank holds nothing."""
        with self._lock:
            columns = self._columns
            if columns is None or not columns.facts:  # repacked after all its documents went
                return None
            alive = columns.alive.rows & (columns.expires.rows > time.time())
            keys, chunk_slot = columns.keys.now(), columns.chunk_slot.rows
        allowed = columns.masks.allowed(filter, columns.facts, alive) if filter else alive
        return Snapshot(columns, alive, allowed, keys, chunk_slot)

    def _discard(self, row_ids: Iterable[int]) -> None:
        columns = self._columns
        if columns is None:
            return
        for row_id in row_ids:
            slot = self._slot_of.pop(row_id, None)
            if slot is not None:
                columns.alive.rows[slot] = False
                self._dead += 1
        if self._dead >= _REPACK_SLOTS and self._dead > len(self._slot_of):
            self._columns = columns.living()
            self._dead = 0
            self._slot_of = {f.row_id: slot for slot, f in enumerate(self._columns.facts)}


def _expires(facts: Document) -> float:
    return facts.expire_time.timestamp() if facts.expire_time else np.inf


def _row(facts: Document) -> tuple[int, int, int]:
    return facts.row_id, facts.revision, (facts.create_time - _EPOCH) // _MICROSECOND


def _precedence(facts: Document) -> int:
    """A number that depends on the document's id alone, never on the order of arrival."""
    digest = hashlib.blake2b(facts.document_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
