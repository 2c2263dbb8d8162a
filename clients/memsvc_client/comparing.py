"""What a comparison takes and brings back, and how its events become results of schema 1.

Documents are named by their ids. Knows no channels and no messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from memsvc_client.resources import Identity

SCHEMA = 1


@dataclass(frozen=True)
class CompareQuestion:
    """A question and what is known about it. `answers`: any one of them is right; empty: there is
    none in the bank, and to abstain is right; None: not known. `evidence`: ids of the documents
    that are needed. `id`: "" is its place in the list, from "1"."""

    text: str
    answers: Sequence[str] | None = None
    evidence: Sequence[str] = ()
    id: str = ""


@dataclass(frozen=True)
class CompareSettings:
    """What is the same for all paths; None takes the server's default. `index`: "flat", "ivf" or
    "hnsw"; `embedder`, `reranker`: a directory or hub id as the server sees it."""

    k: int | None = None
    max_hops: int | None = None
    max_read_tokens: int | None = None
    index: str = ""
    embedder: str = ""
    reranker: str = ""
    seed: int = 0


@dataclass(frozen=True)
class CompareProgress:
    """Pairs of question and path that are done; `seconds_left` is None before the first."""

    path: str
    done: int
    total: int
    seconds_left: float | None


@dataclass(frozen=True)
class ComparePathSkipped:
    """A path that was not taken, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class CompareHop:
    """One round: documents routed to, best first, and read."""

    index: int
    routed: tuple[str, ...]
    read: tuple[str, ...]
    milliseconds: float


@dataclass(frozen=True)
class CompareCitation:
    """A source of an answer: the document, its title, and the words."""

    document: str
    title: str
    quote: str


@dataclass(frozen=True)
class CompareResult:
    """What one path made of one question. `em`, `f1`: None where no answer is known. With an
    `error` the other fields tell nothing."""

    path: str
    question: CompareQuestion
    answer: str
    found: bool
    confidence: float
    em: float | None
    f1: float | None
    hits: tuple[str, ...]
    hops: tuple[CompareHop, ...]
    citations: tuple[CompareCitation, ...]
    latency_ms: float
    read_tokens: int
    error: str


@dataclass(frozen=True)
class CompareInterval:
    """A mean over `n` questions and its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class ComparePath:
    """A path's figures. `metrics` by name (em, f1, recall@5, …); those that cannot be taken are
    absent. `latency_ms`: mean, p50, p95, p99. `read_tokens`: mean."""

    path: str
    settings: Mapping[str, Any]
    index_bytes: int
    index_build_seconds: float
    metrics: Mapping[str, CompareInterval]
    latency_ms: Mapping[str, float]
    read_tokens: float


@dataclass(frozen=True)
class ComparePair:
    """Path `a` less path `b` in one metric over the same questions; `p` of no difference."""

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class CompareCurve:
    """A measure of each path along `x`; None where nothing was measured."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    series: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class CompareSummary:
    """Figures of what was asked so far; `complete`: of all there is to ask. `bank`: documents,
    tokens, near_bytes (routing keys in memory), far_bytes (content on disk)."""

    complete: bool
    paths: tuple[ComparePath, ...]
    pairs: tuple[ComparePair, ...]
    curves: tuple[CompareCurve, ...]
    bank: Mapping[str, int]
    model: Identity
    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    warnings: tuple[str, ...]


CompareEvent = CompareProgress | ComparePathSkipped | CompareResult | CompareSummary


@dataclass
class ReportBuilder:
    """Gathers a comparison's events into results of schema 1, at any time."""

    bank: str
    summary: CompareSummary | None = None
    results: dict[str, list[CompareResult]] = field(default_factory=dict)
    skipped: list[ComparePathSkipped] = field(default_factory=list)

    def add(self, event: CompareEvent) -> None:
        """Take in the next event."""
        match event:
            case CompareResult():
                self.results.setdefault(event.path, []).append(event)
            case ComparePathSkipped():
                self.skipped.append(event)
            case CompareSummary():
                self.summary = event
            case CompareProgress():
                pass

    @property
    def complete(self) -> bool:
        """Whether all there is to ask was asked."""
        return self.summary is not None and self.summary.complete

    def report(self, title: str = "", command: str = "") -> dict[str, Any]:
        """Results of schema 1: all raw answers, and figures as far as there are any."""
        summary = self.summary
        figures = {one.path: one for one in summary.paths} if summary else {}
        paths = dict.fromkeys([*figures, *self.results])
        return {
            "schema": SCHEMA,
            "title": title or f"Paths compared on {self.bank}",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "machine": dict(summary.machine) if summary else {},
            "model": asdict(summary.model) if summary else {},
            "bank": dict(summary.bank) if summary else {},
            "settings": dict(summary.settings) if summary else {},
            "paths": [self._path(path, figures.get(path)) for path in paths],
            "pairs": [asdict(one) for one in summary.pairs] if summary else [],
            "curves": [asdict(one) for one in summary.curves] if summary else [],
            "grids": [],
            "skipped": [asdict(one) for one in self.skipped],
            "warnings": [*(summary.warnings if summary else ()), *self._gaps()],
        }

    def _gaps(self) -> list[str]:
        if self.complete:
            return []
        asked = max((len(one) for one in self.results.values()), default=0)
        measured = "no figures were made"
        if self.summary is not None:
            counts = [one.n for path in self.summary.paths for one in path.metrics.values()]
            measured = f"figures are over the first {max(counts, default=0)}"
        return [f"The comparison was interrupted after {asked} questions; {measured}."]

    def _path(self, path: str, figures: ComparePath | None) -> dict[str, Any]:
        raw = [_raw(one) for one in self.results.get(path, [])]
        if figures is None:
            empty: dict[str, Any] = {"settings": {}, "index": {}, "metrics": {}, "latency_ms": {}}
            return {"path": path, **empty, "read_tokens": {}, "questions": raw}
        return {
            "path": path,
            "settings": dict(figures.settings),
            "index": {
                "bytes": figures.index_bytes,
                "build_seconds": figures.index_build_seconds,
            },
            "metrics": {name: asdict(one) for name, one in figures.metrics.items()},
            "latency_ms": dict(figures.latency_ms),
            "read_tokens": {"mean": figures.read_tokens},
            "questions": raw,
        }


def _raw(one: CompareResult) -> dict[str, Any]:
    """A question as schema 1 has it."""
    question = one.question
    return {
        "id": question.id,
        "question": question.text,
        "answers": list(question.answers or ()),
        "evidence": list(question.evidence),
        "answer": one.answer,
        "found": one.found,
        "confidence": one.confidence,
        "em": one.em,
        "f1": one.f1,
        "hits": list(one.hits),
        "hops": [
            {
                "index": hop.index,
                "routed": list(hop.routed),
                "read": list(hop.read),
                "ms": hop.milliseconds,
            }
            for hop in one.hops
        ],
        "citations": [asdict(cited) for cited in one.citations],
        "latency_ms": one.latency_ms,
        "read_tokens": one.read_tokens,
        "error": one.error,
    }
