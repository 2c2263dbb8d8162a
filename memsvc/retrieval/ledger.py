"""Keeps an index in line with a bank: which entry of the index holds which document.

Entries are numbered upwards in the order of indexing. Nothing is walked in Python but what is new:
a view numbers its documents for good, so what a handle stands for is looked up once. Knows views;
nothing of embeddings or words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memsvc.engine import IndexedView, ViewRows

_GROUP = 512  # texts fetched at once
_FEW_DEAD = 256  # fewer dead entries than this are not worth making an index anew


@dataclass(frozen=True)
class Placed:
    """A view's documents as entries 0…M of an index. `handles` is -1 where the view lacks one."""

    handles: NDArray[np.int64]  # [M]
    precedence: NDArray[np.int64]  # [M] settles equal scores; 0 where the view lacks one
    allowed: NDArray[np.bool_]  # [M] may be found by the question

    @property
    def all_allowed(self) -> bool:
        return bool(self.allowed.all())

    def found(
        self, entries: NDArray[np.int64], scores: NDArray[np.floating]
    ) -> list[tuple[int, float]]:
        """Entries as handles, best first."""
        order = np.lexsort((self.precedence[entries], -scores))
        return [(int(self.handles[entries[i]]), float(scores[i])) for i in order]


class Ledger:
    """The entries of one index. Not thread-safe."""

    def __init__(self, keys: NDArray[np.int64] | None = None) -> None:
        """`keys` [M, 3]: the documents of an index that exists already, in its order."""
        self._entry_of: dict[tuple[int, ...], int] = {}
        for key in keys if keys is not None else ():
            self._entry_of[tuple(key.tolist())] = len(self._entry_of)
        self._numbering = -1
        self._entries = np.zeros(0, np.int64)  # of the handles seen in this numbering

    def __len__(self) -> int:
        return len(self._entry_of)

    def keys(self) -> NDArray[np.int64]:
        """The documents of the entries, in their order: [M, 3]."""
        return np.array(list(self._entry_of), np.int64).reshape(-1, 3)

    def missing(self, rows: ViewRows) -> list[int]:
        """Handles of the bank's documents that have no entry yet, in the bank's order."""
        entries = self._look_up(rows)
        return [int(handle) for handle in np.flatnonzero(rows.alive & (entries < 0))]

    def add(self, rows: ViewRows, handles: list[int]) -> None:
        """Documents that were indexed, in this order."""
        entries = self._look_up(rows)
        for handle in handles:
            entry = self._entry_of.setdefault(tuple(rows.keys[handle].tolist()), len(self))
            entries[handle] = entry

    def dead(self, rows: ViewRows) -> int:
        """Entries whose document is gone."""
        return len(self) - int((self._look_up(rows)[rows.alive] >= 0).sum())

    def wasteful(self, rows: ViewRows) -> bool:
        """Whether so many entries are dead that the index should be made without them."""
        dead = self.dead(rows)
        return dead >= _FEW_DEAD and 2 * dead > len(self)

    def kept(self, rows: ViewRows) -> NDArray[np.int64]:
        """The entries whose documents are in the bank, ascending."""
        entries = self._look_up(rows)[rows.alive]
        return np.sort(entries[entries >= 0])

    def place(self, rows: ViewRows) -> Placed:
        """The view's documents by entry; those not indexed yet are in none."""
        entries = self._look_up(rows)
        handles = np.full(len(self), -1, np.int64)
        shown = np.flatnonzero(rows.allowed & (entries >= 0))
        handles[entries[shown]] = shown
        precedence = np.zeros(len(self), np.int64)
        precedence[entries[shown]] = rows.precedence[shown]
        return Placed(handles, precedence, handles >= 0)

    def _look_up(self, rows: ViewRows) -> NDArray[np.int64]:
        """The entry of each handle, -1 for none. The array may be written to."""
        if rows.numbering != self._numbering:
            self._numbering, self._entries = rows.numbering, np.zeros(0, np.int64)
        known, total = len(self._entries), len(rows.keys)
        if known < total:
            news = (self._entry_of.get(tuple(key), -1) for key in rows.keys[known:].tolist())
            fresh = np.fromiter(news, np.int64, total - known)
            self._entries = np.concatenate([self._entries, fresh])
        return self._entries[:total]


def texts_of(view: IndexedView, handles: list[int]) -> Iterator[tuple[list[int], list[str]]]:
    """Handles and their `title. text`, in groups. Raises what `view.texts` raises."""
    for at in range(0, len(handles), _GROUP):
        some = handles[at : at + _GROUP]
        yield some, [f"{t.title}. {t.text}" if t.title else t.text for t in view.texts(some)]


def shown(view: IndexedView) -> list[int]:
    """Handles of all documents that the question may see, in the bank's order."""
    return [int(handle) for handle in np.flatnonzero(view.rows().allowed)]
