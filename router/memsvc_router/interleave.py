"""Memory Interleave (MSA §4): route, read, route again with what was read, until it is enough.

The loop, its budgets and its events, for every way of referring to documents: a `Gatherer` names
and reads them, by slots (`beam`) or by numbers in text (`decoder.gathering`).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Protocol

from memsvc_router.api import AskOptions, Hit, Hop, LayerRoute, MemoryView, Step

_READ_TOKENS = 8192  # of texts, where the options set no bound


class Budget:
    """What one question may still spend. Starts its clock when made."""

    def __init__(self, options: AskOptions) -> None:
        """Raises ValueError for a budget below 1 (or a time that is not positive)."""
        for name in ("k", "max_hops", "max_documents", "max_read_tokens"):
            value = getattr(options, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if options.max_seconds is not None and options.max_seconds <= 0:
            raise ValueError(f"max_seconds must be positive, got {options.max_seconds}")
        self._options = options
        self._began = time.monotonic()

    def documents(self, read: int) -> int:
        """Documents that may still be read."""
        return max(0, self._options.max_documents - read)

    def tokens(self, read: int) -> int:
        """Tokens of text that may still be read."""
        return max(0, (self._options.max_read_tokens or _READ_TOKENS) - read)

    @property
    def expired(self) -> bool:
        """Whether time is up for another round."""
        most = self._options.max_seconds
        return most is not None and time.monotonic() - self._began > most


class Gatherer(Protocol):
    """One question's way of gathering documents. Generators yield the forwards they wait for."""

    @property
    def view(self) -> MemoryView: ...

    @property
    def settled(self) -> bool:
        """Whether no further round is wanted."""
        ...

    def look(self) -> Generator[Step, None, None]:
        """Route by the question alone."""
        ...

    def read(self) -> Generator[Step, None, Sequence[int]]:
        """Choose among what was routed to, and read it. Returns handles; none: nothing to read."""
        ...

    def again(self) -> Generator[Step, None, None]:
        """Route by the question and everything read."""
        ...

    def documents_read(self) -> Sequence[int]:
        """Handles of all documents read, in order."""
        ...

    def routed(self, hop: int) -> Sequence[Hit]:
        """What the last routing found, best first."""
        ...

    def layers(self) -> Sequence[LayerRoute]:
        """The same by router layer, where layers route by themselves."""
        ...


def interleave(
    work: Gatherer, budget: Budget, max_hops: int, read_last: bool
) -> Generator[Hop | Step, None, None]:
    """All rounds, a `Hop` after each. `read_last`: the last round is read too (to answer)."""
    began = time.perf_counter()
    yield from work.look()
    for index in range(max_hops):
        last = index + 1 == max_hops
        given = list(work.documents_read())
        read = (yield from work.read()) if read_last or not last else ()
        name = work.view.document_id
        yield Hop(
            index=index,
            given=tuple(name(h) for h in given),
            routed=tuple(work.routed(index)),
            read=tuple(name(h) for h in read),
            milliseconds=(time.perf_counter() - began) * 1e3,
            layers=tuple(work.layers()),
        )
        if last or not read or work.settled or budget.expired:
            return
        began = time.perf_counter()
        yield from work.again()
