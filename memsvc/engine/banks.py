"""All live banks: loading them from the store, keeping them in line with it, and reading blocks so
that a corrupt one is never served. Blocking; called from worker threads and the owner thread.

Knows the store and live banks; nothing of models or questions.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from memsvc_router.api import ROUTING, SPANS, DocumentText, content_name
from memsvc_router.hostmem import host_memory
from memsvc_storage import BankNotFound, BlockGone, BlockRow, CorruptBlock, Document, Store
from numpy.typing import NDArray

from memsvc.engine.counters import Counters
from memsvc.engine.live import LiveBank, LiveDocument
from memsvc.engine.rest import FINER, restored, scale_name
from memsvc.engine.tier import Tier

_LOG = logging.getLogger("memsvc.engine")
_LOAD_GROUP = 512  # documents read and taken in at a time: bounds what a load holds twice

_NEAR = (ROUTING, scale_name(ROUTING), FINER, SPANS)  # what a live bank takes in of a block

Tensors = Mapping[str, NDArray[Any]]


class DocumentsLost(Exception):  # noqa: N818
    """Documents that a view showed are gone, changed or corrupt; a new view shows none of them."""


@dataclass
class _Entry:
    live: LiveBank
    loading: threading.Lock = field(default_factory=threading.Lock)
    loaded: bool = False
    asked: int = 0  # when, by a clock that counts questions


class Banks:
    """The live banks by name. Thread-safe. `digest` is the identity of banks without blocks, set
    once known; `on_requeue` hears of documents that wait to be encoded anew."""

    def __init__(
        self,
        store: Store,
        counters: Counters,
        on_requeue: Callable[[], None],
        near_bytes: int | None = None,
        pinned: Sequence[str] = (),
        tier: Callable[[], Tier] = lambda: Tier(None),
    ) -> None:
        """near_bytes: of the open banks' routing keys (None: half of the machine's memory); tier:
        makes what decides how a bank is routed over."""
        self._store = store
        self._counters = counters
        self._on_requeue = on_requeue
        self._near_bytes = host_memory() // 2 if near_bytes is None else near_bytes
        self._pinned = frozenset(pinned)
        self._tier = tier
        self._entries: dict[str, _Entry] = {}
        self._clock = itertools.count(1)
        self._lock = threading.Lock()
        self.digest = ""

    def loaded(self, name: str) -> LiveBank | None:
        """The live bank if it is in memory already."""
        entry = self._entries.get(name)
        return entry.live if entry is not None and entry.loaded else None

    def live(self, name: str) -> LiveBank:
        """The live bank, loaded if need be. Raises BankNotFound."""
        with self._lock:
            entry = self._entries.setdefault(name, _Entry(self._new(name)))
            entry.asked = next(self._clock)
        loads = not entry.loaded
        with entry.loading:
            while not entry.loaded:
                try:
                    entry.loaded = self._load(entry.live)
                except BankNotFound:
                    self.drop(name)
                    raise
                if not entry.loaded:
                    entry.live = self._new(name)
        if loads:
            self._make_room(name)
        return entry.live

    def tend(self) -> None:
        """Let every open bank find out how it is best routed over."""
        entries = dict(self._entries)
        for entry in entries.values():
            shot = entry.live.snapshot() if entry.loaded else None
            if shot is not None:
                entry.live.tier.tend(shot.for_tier())
        if entries:  # questions and codes took memory meanwhile
            self._make_room(max(entries, key=lambda name: entries[name].asked))

    def _new(self, name: str) -> LiveBank:
        return LiveBank(name, self._tier())

    def _make_room(self, name: str) -> None:
        """Close banks that were asked longest ago, until the keys of the others fit; never `name`
        and what is pinned. Questions under way keep what they see."""
        with self._lock:
            opened = {n: e.live.near_bytes for n, e in self._entries.items() if e.loaded}
            taken = sum(opened.values())
            others = [n for n in opened if n != name and n not in self._pinned]
            for one in sorted(others, key=lambda n: self._entries[n].asked):
                if taken <= self._near_bytes:
                    return
                taken -= opened[one]
                del self._entries[one]
                _LOG.info("closed a bank to make room", extra={"data": {"bank": one}})

    def drop(self, name: str) -> None:
        """Forget a bank that was deleted, or that blocks of another identity serve now."""
        with self._lock:
            self._entries.pop(name, None)

    def align(self, name: str, row_ids: Sequence[int]) -> None:
        """Bring rows of the live bank, if there is one, in line with what the store holds now."""
        entry = self._entries.get(name)
        if entry is None:
            return
        try:
            with entry.live.changing:
                entry.live.align(row_ids, self._facts(name, row_ids))
        except Exception:
            self.drop(name)  # out of line with the store: the next question loads it anew
            raise

    def discard(self, name: str, row_ids: Sequence[int]) -> None:
        """Documents were deleted: show them to no new question."""
        entry = self._entries.get(name)
        if entry is not None:
            with entry.live.changing:
                entry.live.align(row_ids, {})

    def take_in(
        self, name: str, blocks: Iterable[BlockRow], tensors: Mapping[int, Tensors]
    ) -> None:
        """Documents just committed, by row; those deleted or changed since stay out."""
        entry = self._entries.get(name)
        if entry is not None:
            digest = entry.live.digest
            ours = [b for b in blocks if b.identity == digest]
            self._add(entry.live, {b.row_id: (b, tensors[b.row_id]) for b in ours})
            self._make_room(name)

    def moved(self, name: str) -> None:
        """Compaction has moved blocks: learn where they lie now."""
        entry = self._entries.get(name)
        if entry is not None:
            row_ids = entry.live.row_ids()
            for at in range(0, len(row_ids), _LOAD_GROUP):
                entry.live.move(self._store.block_rows(name, row_ids[at : at + _LOAD_GROUP]))

    def requeue(self, name: str, row_ids: Sequence[int], reason: str) -> None:
        """Encode documents anew: their blocks are not to be trusted."""
        _LOG.warning("bank %s: rows %s are encoded anew: %s", name, list(row_ids), reason)
        self._counters.add("blocks_corrupt", len(row_ids))
        self._store.requeue(row_ids, reason)
        self.align(name, row_ids)
        self._on_requeue()

    def content(
        self, name: str, blocks: Sequence[BlockRow], layer: int
    ) -> list[NDArray[np.floating]]:
        """Verified content of blocks in one memory layer, in order. Raises DocumentsLost."""
        tensor = content_name(layer)
        read = self._read(name, blocks, (tensor, scale_name(tensor)))
        if len(read) < len({b.row_id for b in blocks}):
            raise DocumentsLost
        return [restored(read[b.row_id][1], tensor) for b in blocks]

    def texts(self, name: str, blocks: Sequence[BlockRow]) -> list[DocumentText]:
        """Texts of exactly the revisions that the blocks are of, in order. Raises DocumentsLost."""
        row_ids = [b.row_id for b in blocks]
        found = self._store.texts(name, row_ids)
        for block in blocks:
            if block.row_id not in found or found[block.row_id][2] != block.revision:
                self.align(name, row_ids)
                raise DocumentsLost
        return [DocumentText(*found[row_id][:2]) for row_id in row_ids]

    def _load(self, live: LiveBank) -> bool:
        """False if another identity has come to serve the bank meanwhile."""
        live.digest = self._identity(live.name)
        blocks = self._store.live_blocks(live.name, live.digest)
        for at in range(0, len(blocks), _LOAD_GROUP):
            group = blocks[at : at + _LOAD_GROUP]
            self._add(live, self._read(live.name, group, _NEAR))
        return self._identity(live.name) == live.digest

    def _identity(self, name: str) -> str:
        return self._store.get_bank(name).identity or self.digest

    def _add(self, live: LiveBank, read: Mapping[int, tuple[BlockRow, Tensors]]) -> None:
        with live.changing:
            facts = self._facts(live.name, list(read))
            live.add(
                [
                    LiveDocument(now, block, *(tensors[one] for one in _NEAR))
                    for row_id, (block, tensors) in read.items()
                    if (now := facts.get(row_id)) is not None
                    and now.state == "READY"
                    and now.revision == block.revision
                ]
            )

    def _facts(self, name: str, row_ids: Sequence[int]) -> dict[int, Document]:
        try:
            return {facts.row_id: facts for facts in self._store.facts(name, row_ids)}
        except BankNotFound:
            return {}

    def _read(
        self, name: str, blocks: Sequence[BlockRow], tensors: Sequence[str]
    ) -> dict[int, tuple[BlockRow, Tensors]]:
        """Blocks and their tensors by row; without those that turn out to be gone or corrupt."""
        left = {b.row_id: b for b in blocks}
        while left:
            order = list(left.values())
            try:
                arrays = {t: self._store.read_rows(name, order, t) for t in tensors}
            except (CorruptBlock, BlockGone) as error:
                self._replace(name, left, error)
                continue
            return {b.row_id: (b, {t: arrays[t][i] for t in tensors}) for i, b in enumerate(order)}
        return {}

    def _replace(
        self, name: str, left: dict[int, BlockRow], error: CorruptBlock | BlockGone
    ) -> None:
        """Follow a block that was moved; requeue one that is where it was and cannot be read."""
        row_id = error.row_id
        used = left.pop(row_id)
        now = {b.row_id: b for b in self._store.block_rows(name, [row_id])}.get(row_id)
        if now is None or (now.revision, now.identity) != (used.revision, used.identity):
            self.align(name, [row_id])
        elif (now.segment, now.row_start) == (used.segment, used.row_start):
            self.requeue(name, [row_id], type(error).__name__)
        else:
            left[row_id] = now
            entry = self._entries.get(name)
            if entry is not None:
                entry.live.move([now])
