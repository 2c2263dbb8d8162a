"""Filters that are asked again and again: what one let through is remembered, slot by slot.

A large bank asks a filter of every document for every question, and a session asks the same one
each time. Knows documents' facts and how filters are joined; nothing of banks' life.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from memsvc_storage import Document
from numpy.typing import NDArray

from memsvc.engine.types import DocumentFilter

_REMEMBERED = 16  # filters of a bank; each takes a byte for a document


@dataclass(frozen=True)
class Keyed:
    """A filter that decides alike wherever `key` is the same."""

    key: Hashable
    decide: DocumentFilter

    def __call__(self, document: Document) -> bool:
        return self.decide(document)


@dataclass(frozen=True)
class _Joint:
    parts: tuple[DocumentFilter, ...]

    def __call__(self, document: Document) -> bool:
        return all(part(document) for part in self.parts)


def both(one: DocumentFilter | None, other: DocumentFilter | None) -> DocumentFilter | None:
    """What two filters let through; None lets everything through."""
    if one is None or other is None:
        return one or other
    return _Joint((*_parts(one), *_parts(other)))


def _parts(filter: DocumentFilter) -> tuple[DocumentFilter, ...]:
    return filter.parts if isinstance(filter, _Joint) else (filter,)


class Masks:
    """What filters let through of the documents behind one numbering of slots. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, NDArray[np.bool_]] = OrderedDict()
        self._changes = 0

    def forget(self) -> None:
        """Facts have changed: what was decided by them counts no more."""
        with self._lock:
            self._found.clear()
            self._changes += 1

    def allowed(
        self, filter: DocumentFilter, facts: Sequence[Document], alive: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Which of the slots [N] that are `alive` the filter lets through."""
        left = alive.copy()
        once: list[DocumentFilter] = []
        for part in _parts(filter):
            if isinstance(part, Keyed):
                left &= self._decided(part, facts, len(alive))
            else:
                once.append(part)
        for decide in once:
            for slot in np.flatnonzero(left).tolist():
                left[slot] = decide(facts[slot])
        return left

    def _decided(self, filter: Keyed, facts: Sequence[Document], count: int) -> NDArray[np.bool_]:
        """What is remembered for the first `count` slots, and the rest decided now."""
        with self._lock:
            changes, known = self._changes, self._found.get(filter.key, np.zeros(0, np.bool_))
        if len(known) < count:
            fresh = [filter(facts[slot]) for slot in range(len(known), count)]
            known = np.concatenate((known, np.array(fresh, np.bool_)))
        with self._lock:
            if changes == self._changes:
                self._found[filter.key] = known
                self._found.move_to_end(filter.key)
                while len(self._found) > _REMEMBERED:
                    self._found.popitem(last=False)
        return known[:count]
