"""Gathering by slots: the small model reads what it is routed to and points.

A beam of paths (MODEL.md, fact 6): each of the best first documents is continued by itself. What
a path is worth is `worth`'s to say. Knows a `Reader` and a `MemoryView`; the rounds themselves
are those of `interleave`.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from memsvc_router.api import Hit, LayerRoute, MemoryView, Retriever, Step
from memsvc_router.interleave import Budget
from memsvc_router.reading import Path, Reader, Reading
from memsvc_router.worth import ByScore, Learned, log_sigmoid

_BEAM = 5
_SETTLED = math.log(0.6)  # a path this likely to hold all that is needed ends the search
_MEMORY_DOCUMENTS = 16
_READINGS = 2  # of the same document, after different ones, in one question


@dataclass(frozen=True)
class Candidate:
    """A document routed to from a path. `score`: its routing score; `rank`: among what that path
    routed to, from 0; `chunk`: the winning one; `hope`: what may be expected of reading it."""

    parent: Path
    handle: int
    score: float
    rank: int
    chunk: int
    hope: float


@dataclass(frozen=True)
class Answer:
    """What a reading points at: (source, first, last character), and how sure it is, 0…1."""

    reading: Reading
    span: tuple[int, int, int]
    confidence: float


@dataclass
class Gathering:
    """State of one question: what was routed to, what was read, what it cost."""

    routed: list[list[Candidate]] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    question_tokens: int = 0
    read_tokens: int = 0
    forward_seconds: float = 0.0

    @property
    def last(self) -> list[Candidate]:
        """What the last round routed to, most hopeful first."""
        return self.routed[-1] if self.routed else []

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
        self._worth = Learned() if retriever is None else ByScore()
        self._unsure: list[Reading] = []
        self._settled = False

    @property
    def settled(self) -> bool:
        """See `Gatherer`: a path that speaks for itself lacks nothing."""
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
        state.routed.append(self._find([Path()], query))

    def read(self) -> Generator[Step, None, Sequence[int]]:
        """See `Gatherer`."""
        yield from ()
        readings = self._read(self._choose())
        sure = [r for r in readings if r.path.worth + log_sigmoid(r.complete) > _SETTLED]
        self._unsure = [r for r in readings if r not in sure]
        self._settled = bool(sure)
        return list(dict.fromkeys(r.path.handles[-1] for r in readings))

    def again(self) -> Generator[Step, None, None]:
        """See `Gatherer`."""
        yield from ()
        queries = np.concatenate([r.query for r in self._unsure])
        self.state.routed.append(self._find([r.path for r in self._unsure], queries))

    def documents_read(self) -> Sequence[int]:
        """See `Gatherer`."""
        return self.state.documents_read()

    def routed(self, hop: int) -> Sequence[Hit]:
        """See `Gatherer`."""
        return self._hits([(c.hope, c.handle, c.score, c.chunk, hop) for c in self.state.last])

    def layers(self) -> Sequence[LayerRoute]:
        """See `Gatherer`: its layers route together."""
        return ()

    def best(self) -> Answer | None:
        """The answer that most speaks for, of all that was read."""
        found = [
            Answer(reading, reading.span, math.exp(log_sigmoid(self._worth.answer(reading))))
            for reading in self.state.readings
            if reading.span is not None
        ]
        return max(found, key=lambda one: one.confidence, default=None)

    def ranking(self) -> list[Hit]:
        """Every document seen: by worth where the model routed; where a retriever did, those read
        before the last round in their order, then what was found, the last round first."""
        state, rows = self.state, []
        for reading in state.readings:
            source, depth = reading.path.sources[-1], len(reading.path.sources) - 1
            rows.append((reading.path.worth, source.handle, source.score, source.chunk, depth))
        if self.retriever is not None:
            last = len(state.routed) - 1
            rows = [(1e3 - at, *row[1:]) for at, row in enumerate(rows) if row[4] < last]
        read = {row[1] for row in rows}
        for hop, found in enumerate(state.routed):
            late = 0.0 if self.retriever is None else 2.0 * hop
            rows += [
                (c.hope + late, c.handle, c.score, c.chunk, hop)
                for c in found
                if c.handle not in read
            ]
        marked = set(state.documents_read())
        return [replace(hit, read=handle in marked) for handle, hit in self._best(rows)]

    def _choose(self) -> list[Path]:
        """The most hopeful candidates that make a new set of documents, as paths to read."""
        known = {frozenset(r.path.handles) for r in self.state.readings}
        times = Counter(r.path.handles[-1] for r in self.state.readings)
        room = self.budget.documents(len(self.state.documents_read()))
        if not self.budget.tokens(self.state.read_tokens):
            room = 0
        chosen: list[Candidate] = []
        for candidate in self.state.last:
            made = frozenset((*candidate.parent.handles, candidate.handle))
            again = times[candidate.handle] >= _READINGS
            if made not in known and not again and len(chosen) < min(_BEAM, room):
                known.add(made)
                times[candidate.handle] += 1
                chosen.append(candidate)
        sources = self.reader.sources(
            self.view, [(c.handle, c.score, c.rank, c.chunk) for c in chosen]
        )
        return [
            Path((*c.parent.sources, s), c.parent.worth)
            for c, s in zip(chosen, sources, strict=True)
        ]

    def _read(self, paths: Sequence[Path]) -> list[Reading]:
        state = self.state
        near = list(dict.fromkeys(c.handle for c in state.last))[:_MEMORY_DOCUMENTS]
        began = time.perf_counter()
        seen = [] if self.retriever else near
        readings = self.reader.read(self.view, paths, [seen] * len(paths))
        readings = [replace(r, path=replace(r.path, worth=self._worth.after(r))) for r in readings]
        state.forward_seconds += time.perf_counter() - began
        state.read_tokens += sum(r.tokens for r in readings)
        state.readings += readings
        return readings

    def _find(self, paths: Sequence[Path], queries: NDArray[np.float32] | None) -> list[Candidate]:
        """Candidates from all paths, most hopeful first; documents on their own path are left out.
        A retriever searches by words and needs no queries."""
        most = self.k + max(len(p.handles) for p in paths)
        if self.retriever is not None:
            rows = [self._retrieve(path, most) for path in paths]
        else:
            assert queries is not None
            routes = self.view.route(queries, most)
            columns = (routes.documents.tolist(), routes.scores.tolist(), routes.chunks.tolist())
            rows = [list(zip(*row, strict=True)) for row in zip(*columns, strict=True)]
        found = []
        for path, row in zip(paths, rows, strict=True):
            new = [one for one in row if one[0] >= 0 and one[0] not in path.handles]
            for rank, (handle, score, chunk) in enumerate(new):
                hope = self._worth.hope(path, score, rank)
                found.append(Candidate(path, handle, score, rank, chunk, hope))
        return sorted(found, key=lambda c: -c.hope)

    def _retrieve(self, path: Path, k: int) -> list[tuple[int, float, int]]:
        assert self.retriever is not None
        words = " ".join([self.reader.words, *(s.document.text for s in path.sources)])
        return [(handle, score, 0) for handle, score in self.retriever.retrieve(words, k)]

    def _hits(self, rows: Sequence[tuple[float, int, float, int, int]]) -> list[Hit]:
        """The k best distinct documents of (worth, handle, score, chunk, hop)."""
        return [hit for _, hit in self._best(rows)[: self.k]]

    def _best(self, rows: Sequence[tuple[float, int, float, int, int]]) -> list[tuple[int, Hit]]:
        """Distinct documents of (worth, handle, score, chunk, hop), best first, with handles."""
        best: dict[int, Hit] = {}
        for _, handle, score, chunk, hop in sorted(rows, key=lambda row: -row[0]):
            if handle not in best:
                spans = self.view.spans(handle)
                start, end = (int(x) for x in spans[min(max(chunk, 0), len(spans) - 1)])
                name = self.view.document_id(handle)
                best[handle] = Hit(name, float(score), chunk, start, end, hop)
        return list(best.items())
