"""Gathering by slots: the small model reads what it is routed to and points.

A beam of paths (MODEL.md, fact 6): each of the best first documents is continued by itself, and
paths are ranked by the mean of their routing scores. Knows a `Reader` and a `MemoryView`; the
rounds themselves are those of `interleave`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memsvc_router.api import Hit, LayerRoute, MemoryView, Retriever, Step
from memsvc_router.interleave import Budget
from memsvc_router.reading import Path, Reader, Reading

_BEAM = 5
_FOUND_LOGIT = 1.0  # a path this sure of its answer is not continued
_MEMORY_DOCUMENTS = 16


@dataclass(frozen=True)
class Candidate:
    """A document routed to from a path. `own`: its routing score; `chunk`: the winning one."""

    parent: Path
    handle: int
    own: float
    chunk: int

    @property
    def score(self) -> float:
        """Mean routing score of the path that reading it would make."""
        read = len(self.parent.sources)
        return (self.parent.score * read + self.own) / (read + 1)


@dataclass
class Gathering:
    """State of one question: what was routed to, what was read, what it cost."""

    first: list[Candidate] = field(default_factory=list)
    last: list[Candidate] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    question_tokens: int = 0
    read_tokens: int = 0
    forward_seconds: float = 0.0

    def documents_read(self) -> list[int]:
        """Handles of the documents whose text was read, in the order of reading."""
        return list(dict.fromkeys(h for r in self.readings for h in r.path.handles))


class BeamGatherer:
    """A `Gatherer` of one question over one view. Its forwards run at once: it waits for none."""

    def __init__(
        self,
        reader: Reader,
        view: MemoryView,
        budget: Budget,
        k: int,
        retriever: Retriever | None,
    ) -> None:
        self.reader, self.view, self.budget, self.k = reader, view, budget, k
        self.retriever = retriever
        self.state = Gathering()
        self._unsure: list[Reading] = []
        self._settled = False

    @property
    def settled(self) -> bool:
        """See `Gatherer`: one path at least is sure of its answer."""
        return self._settled

    def look(self) -> Generator[Step, None, None]:
        """See `Gatherer`."""
        yield from ()
        state = self.state
        began = time.perf_counter()
        query = None
        if self.retriever is None:
            query, state.question_tokens = self.reader.look()
            state.forward_seconds += time.perf_counter() - began
        state.first = state.last = self._find([Path()], query)

    def read(self) -> Generator[Step, None, Sequence[int]]:
        """See `Gatherer`."""
        yield from ()
        readings = self._read(self._choose())
        self._unsure = [r for r in readings if r.complete < _FOUND_LOGIT]
        self._settled = len(self._unsure) < len(readings)
        return list(dict.fromkeys(r.path.handles[-1] for r in readings))

    def again(self) -> Generator[Step, None, None]:
        """See `Gatherer`."""
        yield from ()
        queries = np.concatenate([r.query for r in self._unsure])
        self.state.last = self._find([r.path for r in self._unsure], queries)

    def documents_read(self) -> Sequence[int]:
        """See `Gatherer`."""
        return self.state.documents_read()

    def routed(self, hop: int) -> Sequence[Hit]:
        """See `Gatherer`."""
        return self.hits(self.state.last, hop)

    def layers(self) -> Sequence[LayerRoute]:
        """See `Gatherer`: its layers route together."""
        return ()

    def _choose(self) -> list[Path]:
        """The best candidates that make a new set of documents, as paths to read."""
        known = {frozenset(r.path.handles) for r in self.state.readings}
        room = self.budget.documents(len(self.state.documents_read()))
        if not self.budget.tokens(self.state.read_tokens):
            room = 0
        chosen: list[Candidate] = []
        for candidate in self.state.last:
            made = frozenset((*candidate.parent.handles, candidate.handle))
            if made not in known and len(chosen) < min(_BEAM, room):
                known.add(made)
                chosen.append(candidate)
        sources = self.reader.sources(
            self.view,
            [c.handle for c in chosen],
            [c.own for c in chosen],
            [c.chunk for c in chosen],
        )
        return [Path((*c.parent.sources, s)) for c, s in zip(chosen, sources, strict=True)]

    def _read(self, paths: Sequence[Path]) -> list[Reading]:
        state = self.state
        near = list(dict.fromkeys(c.handle for c in state.last))[:_MEMORY_DOCUMENTS]
        began = time.perf_counter()
        seen = [] if self.retriever else near
        readings = self.reader.read(self.view, paths, [seen] * len(paths))
        state.forward_seconds += time.perf_counter() - began
        state.read_tokens += sum(r.tokens for r in readings)
        state.readings += readings
        return readings

    def _find(self, paths: Sequence[Path], queries: NDArray[np.float32] | None) -> list[Candidate]:
        """Candidates from all paths, best path first; documents on their own path are left out.
        A retriever searches by words and needs no queries."""
        most = self.k + max(len(p.handles) for p in paths)
        if self.retriever is not None:
            rows = [self._retrieve(path, most) for path in paths]
        else:
            assert queries is not None
            routes = self.view.route(queries, most)
            columns = (routes.documents.tolist(), routes.scores.tolist(), routes.chunks.tolist())
            rows = [list(zip(*row, strict=True)) for row in zip(*columns, strict=True)]
        found = [
            Candidate(path, handle, score, chunk)
            for path, row in zip(paths, rows, strict=True)
            for handle, score, chunk in row
            if handle >= 0 and handle not in path.handles
        ]
        return sorted(found, key=lambda c: -c.score)

    def _retrieve(self, path: Path, k: int) -> list[tuple[int, float, int]]:
        assert self.retriever is not None
        words = " ".join([self.reader.words, *(s.document.text for s in path.sources)])
        return [(handle, score, 0) for handle, score in self.retriever.retrieve(words, k)]

    def hits(self, candidates: Sequence[Candidate], hop: int) -> list[Hit]:
        """The k best distinct documents among candidates, with their winning chunk's characters."""
        best: dict[int, Candidate] = {}
        for candidate in candidates:
            best.setdefault(candidate.handle, candidate)
        found = []
        for handle, one in list(best.items())[: self.k]:
            spans = self.view.spans(handle)
            start, end = (int(x) for x in spans[min(max(one.chunk, 0), len(spans) - 1)])
            name = self.view.document_id(handle)
            found.append(Hit(name, float(one.score), one.chunk, start, end, hop))
        return found
