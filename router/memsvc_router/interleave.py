"""Memory Interleave: route, read, route again with what was read, until the answer is found.

A beam of paths (MODEL.md, fact 6): each of the best first documents is continued by itself, paths
are ranked by their routing scores. Knows a `Reader` and a `MemoryView`; says nothing of how
events reach a user.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from memsvc_router.api import AskOptions, Hit, Hop, MemoryView, Retriever
from memsvc_router.reading import Path, Reader, Reading, Source

_BEAM = 5
_FOUND_LOGIT = 1.0  # a path this sure of its answer is not continued
_MEMORY_DOCUMENTS = 16


@dataclass(frozen=True)
class Routed:
    """The documents routed to from one path, best first."""

    handles: list[int]
    scores: list[float]
    chunks: list[int]


@dataclass
class Gathering:
    """State of one question: what was routed to, what was read, what it cost."""

    first: Routed | None = None
    last: Routed | None = None
    readings: list[Reading] = field(default_factory=list)
    hops: list[Hop] = field(default_factory=list)
    question_tokens: int = 0
    read_tokens: int = 0
    forward_seconds: float = 0.0

    def documents_read(self) -> list[int]:
        """Handles of the documents whose text was read, in the order of reading."""
        return list(dict.fromkeys(h for r in self.readings for h in r.path.handles))


class Interleaver:
    """Runs the rounds of one question over one view."""

    def __init__(
        self,
        reader: Reader,
        view: MemoryView,
        options: AskOptions,
        question: str,
        retriever: Retriever | None,
    ) -> None:
        self.reader, self.view, self.options = reader, view, options
        self.question, self.retriever = question, retriever
        self.state = Gathering()

    def route(self) -> Hop:
        """The first round: the question alone."""
        began = time.perf_counter()
        query, tokens = self.reader.look()
        self.state.question_tokens = tokens
        self.state.forward_seconds += time.perf_counter() - began
        routed = self._find([Path()], query[None])[0]
        self.state.first = self.state.last = routed
        return self._hop((), routed, (), began)

    def gather(self, read_all: bool) -> Iterator[Hop]:
        """All rounds. `read_all`: the texts of the last round are read too (to answer)."""
        hop = self.route()
        options, state = self.options, self.state
        assert state.first is not None
        paths = self._extend(Path(), state.first, self._width(0))
        for index in range(options.max_hops):
            last = index + 1 == options.max_hops
            if not paths or (last and not read_all):
                yield self._keep(hop, ())
                return
            began = time.perf_counter()
            readings = self._read(paths)
            yield self._keep(hop, tuple(dict.fromkeys(p.handles[-1] for p in paths)))
            open_paths = [r for r in readings if r.found < _FOUND_LOGIT]
            if last or not self._open(readings) or not open_paths:
                return
            routed = self._find(
                [r.path for r in open_paths], np.stack([r.query for r in open_paths])
            )
            paths = self._next(open_paths, routed)
            best = max(range(len(routed)), key=lambda i: open_paths[i].path.score)
            state.last = routed[best]
            hop = self._hop(open_paths[best].path.handles, routed[best], (), began)

    def _width(self, depth: int) -> int:
        """How many paths are read in a round: more in the first, where reading also ranks."""
        left = self.options.max_documents - len(self.state.documents_read())
        return max(0, min(_BEAM, left))

    @staticmethod
    def _open(readings: Sequence[Reading]) -> bool:
        """Go on while no path is sure that it holds the answer."""
        return all(r.found < _FOUND_LOGIT for r in readings)

    def _next(self, readings: Sequence[Reading], routed: Sequence[Routed]) -> list[Path]:
        """The best continuations of all open paths, by mean routing score."""
        every = [
            path
            for reading, found in zip(readings, routed, strict=True)
            for path in self._extend(reading.path, found, _BEAM)
        ]
        unique: dict[frozenset[int], Path] = {}
        for path in sorted(every, key=lambda p: -p.score):
            unique.setdefault(frozenset(path.handles), path)
        return list(unique.values())[: self._width(1)]

    def _extend(self, path: Path, routed: Routed, width: int) -> list[Path]:
        """A path continued by each of the first documents it has not read."""
        chosen = [
            i for i, handle in enumerate(routed.handles) if handle not in path.handles
        ][:width]
        sources: list[Source] = self.reader.sources(
            self.view,
            [routed.handles[i] for i in chosen],
            [routed.scores[i] for i in chosen],
            [routed.chunks[i] for i in chosen],
        )
        return [Path((*path.sources, source)) for source in sources]

    def _read(self, paths: Sequence[Path]) -> list[Reading]:
        assert self.state.last is not None
        began = time.perf_counter()
        near = [] if self.retriever else self.state.last.handles[:_MEMORY_DOCUMENTS]
        readings = self.reader.read(self.view, paths, [near] * len(paths))
        self.state.forward_seconds += time.perf_counter() - began
        self.state.read_tokens += sum(r.tokens for r in readings)
        self.state.readings += readings
        return readings

    def _find(self, paths: Sequence[Path], queries: np.ndarray) -> list[Routed]:
        """Route each path; documents already on it are passed over."""
        k = self.options.k
        if self.retriever is not None:
            found = [self.retriever.retrieve(self._words(p), k + len(p.handles)) for p in paths]
            rows = [([h for h, _ in f], [s for _, s in f], [0] * len(f)) for f in found]
        else:
            most = max(len(p.handles) for p in paths)
            routes = self.view.route(queries.astype(np.float32), k + most)
            rows = list(
                zip(routes.documents.tolist(), routes.scores.tolist(), routes.chunks.tolist(),
                    strict=True)
            )  # fmt: skip
        return [_without(row, path.handles, k) for row, path in zip(rows, paths, strict=True)]

    def _words(self, path: Path) -> str:
        return " ".join([self.question, *(s.characters for s in path.sources)])

    def _hop(
        self, given: tuple[int, ...], routed: Routed, read: tuple[int, ...], began: float
    ) -> Hop:
        name = self.view.document_id
        index = len(self.state.hops)
        hop = Hop(
            index=index,
            given=tuple(name(h) for h in given),
            routed=tuple(hits(self.view, routed, index)),
            read=tuple(name(h) for h in read),
            milliseconds=(time.perf_counter() - began) * 1e3,
        )
        return hop

    def _keep(self, hop: Hop, read: tuple[int, ...]) -> Hop:
        name = self.view.document_id
        kept = Hop(hop.index, hop.given, hop.routed, tuple(name(h) for h in read), hop.milliseconds)
        self.state.hops.append(kept)
        return kept


def _without(
    row: tuple[list[int], list[float], list[int]], passed: tuple[int, ...], k: int
) -> Routed:
    keep = [i for i, h in enumerate(row[0]) if h >= 0 and h not in passed][:k]
    return Routed(*([column[i] for i in keep] for column in row))  # type: ignore[arg-type]


def hits(view: MemoryView, routed: Routed, hop: int) -> list[Hit]:
    """Routed documents as users see them, with the winning chunk's characters."""
    found = []
    for handle, score, chunk in zip(routed.handles, routed.scores, routed.chunks, strict=True):
        spans = view.spans(handle)
        start, end = (int(x) for x in spans[min(max(chunk, 0), len(spans) - 1)])
        found.append(Hit(view.document_id(handle), float(score), chunk, start, end, hop))
    return found
