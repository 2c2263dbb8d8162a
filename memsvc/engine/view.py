"""What one question sees of a bank: a `MemoryView` over a snapshot. Knows nothing of models.

A handle is a slot of the snapshot. Blocks and texts that changed since are never returned: reading
them raises `DocumentsLost`, upon which the question starts over with a new view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from memsvc_kernels import route_codes, route_exactly, route_layer_codes, route_layer_exactly
from memsvc_router.api import DocumentText, RouteRule, Routes
from memsvc_storage import BlockRow, Document
from numpy.typing import NDArray

from memsvc.engine.banks import Banks
from memsvc.engine.live import Columns, Snapshot
from memsvc.engine.recency import Prior
from memsvc.engine.types import DocumentFilter, ViewRows

_Routed = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]


class BankView:
    """One question's view of a bank. Used by one thread."""

    def __init__(
        self,
        banks: Banks,
        bank: str,
        filter: DocumentFilter | None,
        exact: bool = False,
        prior: Prior | None = None,
    ) -> None:
        """exact: every document's keys are compared, as exactly as they are kept; `prior` weighs
        what is routed to. Raises BankNotFound."""
        self._banks = banks
        self._bank = bank
        self._prior = prior
        self._exact = exact
        live = banks.live(bank)
        self._tier = live.tier
        self._snapshot: Snapshot | None = live.snapshot(filter)
        allowed = self._snapshot.allowed if self._snapshot is not None else np.zeros(0, np.bool_)
        self._allowed: NDArray[np.bool_] = allowed
        self._named: dict[str, int] = {}

    def __len__(self) -> int:
        return int(self._allowed.sum())

    def route(self, queries: NDArray[np.float32], k: int) -> Routes:
        """Route [M, L, R] queries, whose layers the model has weighed."""
        shot = self._snapshot
        if shot is None:
            return _nothing(len(queries), k)
        given = (queries, shot.keys, shot.chunk_slot, self._allowed)
        order, resident = shot.columns.precedence.rows, shot.columns.resident
        if self._exact:
            left = self._left(shot)
            return self._ranked(k, lambda most: route_exactly(*given, most, order, left))
        rows = None if resident.serves else self._rows(shot, queries)
        return self._ranked(k, lambda most: route_codes(*given, most, order, rows, resident))

    def _rows(self, shot: Snapshot, queries: NDArray[np.float32]) -> NDArray[np.int64] | None:
        """The chunks to scan on the CPU; None: all of them."""
        left = self._left(shot)
        return self._tier.rows(shot.for_tier(), queries) if left is None else left

    def _left(self, shot: Snapshot) -> NDArray[np.int64] | None:
        """The chunks that a filter leaves, where it leaves few."""
        if 2 * len(self) < len(self._allowed):
            return np.flatnonzero(self._allowed[shot.chunk_slot])
        return None

    def route_layer(
        self, layer: int, queries: NDArray[np.float32], k: int, rule: RouteRule
    ) -> Routes:
        """Route one query [M, J, R] by one router layer."""
        shot = self._snapshot
        if shot is None:
            return _nothing(1, k)
        given = (queries, shot.keys, layer, shot.chunk_slot, self._allowed)
        rest = (rule.query, rule.chunk, shot.columns.precedence.rows)
        if self._exact:
            rows = self._left(shot)
            return self._ranked(k, lambda most: route_layer_exactly(*given, most, *rest, rows))
        resident = shot.columns.resident
        return self._ranked(k, lambda most: route_layer_codes(*given, most, *rest, resident))

    def _ranked(self, k: int, find: Callable[[int], _Routed]) -> Routes:
        """The best k of what is found, chunks counted within their documents."""
        if self._prior is None:
            documents, scores, chunks = find(k)
        else:
            documents, scores, chunks = find(self._prior.candidates(k))
            scores = self._prior.weighed(documents, scores, self._columns.facts)
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            documents, scores, chunks = (
                np.take_along_axis(documents, best, 1),
                np.take_along_axis(scores, best, 1),
                np.take_along_axis(chunks, best, 1),
            )
        first = self._columns.first_chunk.rows[documents]  # -1 reads the last one; masked below
        return Routes(documents, scores, np.where(documents < 0, -1, chunks - first))

    def content(self, handles: Sequence[int], layer: int = 0) -> list[NDArray[np.floating]]:
        return self._banks.content(self._bank, self._blocks(handles), layer)

    def spans(self, handle: int) -> NDArray[np.int32]:
        columns = self._columns
        first = int(columns.first_chunk.rows[handle])
        return columns.spans.rows[first : first + int(columns.chunks.rows[handle])]

    def texts(self, handles: Sequence[int]) -> list[DocumentText]:
        return self._banks.texts(self._bank, self._blocks(handles))

    def document_id(self, handle: int) -> str:
        document_id = self._columns.facts[handle].document_id
        self._named[document_id] = handle  # so that `handle_of` what was found needs no search
        return document_id

    def facts(self, handle: int) -> Document:
        """A document without its text."""
        return self._columns.facts[handle]

    def handles(self) -> list[int]:
        """Every handle that can be routed to."""
        return [int(handle) for handle in np.flatnonzero(self._allowed)]

    def rows(self) -> ViewRows:
        """What every handle stands for."""
        shot = self._snapshot
        if shot is None:
            none, nothing = np.zeros(0, np.int64), np.zeros(0, np.bool_)
            return ViewRows(-1, none.reshape(0, 3), none, nothing, nothing)
        columns, slots = shot.columns, len(shot.alive)
        keys, order = columns.rows.rows[:slots], columns.precedence.rows[:slots]
        return ViewRows(columns.numbering, keys, order, shot.alive, shot.allowed)

    def tokens(self, handle: int) -> int:
        """The model's tokens of a document."""
        return self._columns.blocks[handle].tokens

    def handle_of(self, document_id: str) -> int | None:
        """The handle of a document, or None where the view does not hold it."""
        if document_id not in self._named:
            for handle in self.handles():
                self.document_id(handle)
        return self._named.get(document_id)

    @property
    def _columns(self) -> Columns:
        if self._snapshot is None:
            raise IndexError("the view is empty: it has no handles")
        return self._snapshot.columns

    def _blocks(self, handles: Sequence[int]) -> list[BlockRow]:
        # Looked up at the time of reading: compaction may have moved them since the snapshot.
        return [self._columns.blocks[handle] for handle in handles] if handles else []


def _nothing(rows: int, k: int) -> Routes:
    nothing = np.full((rows, k), -1, np.int64)
    return Routes(nothing, np.full((rows, k), -np.inf, np.float32), nothing)
