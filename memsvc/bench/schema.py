"""What a measurement leaves behind: the dataclasses of results.json, schema 1.

Knows names and types; nothing of how a figure is made, of engines or of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

SCHEMA = 1

Facts = dict[str, Any]


class ResultsError(ValueError):
    """A mapping that is not schema 1; the message names the first field that is wrong."""


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` questions and its 95 % interval."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class HopFacts:
    """One round: document ids routed to (best first) and read; milliseconds."""

    index: int
    routed: list[str]
    read: list[str]
    ms: float


@dataclass(frozen=True)
class QuoteFacts:
    """A citation: the document's id and title, and the words."""

    document: str
    title: str
    quote: str


@dataclass(frozen=True)
class QuestionResult:
    """Everything that came of one question on one path.

    `em` and `f1` are None where nobody said what is right; for a question that memory cannot answer
    (no `answers`, `em` not None) both are 1 for an abstention. `hits`: ids best first.
    `grades`: how relevant each evidence document is, where that is graded. `scores`: further
    measures by name (`match` of needles, `judge`). `error`: "" where there was none.
    """

    id: str
    question: str
    answers: list[str]
    evidence: list[str]
    answer: str
    found: bool
    confidence: float
    em: float | None
    f1: float | None
    hits: list[str]
    hops: list[HopFacts]
    citations: list[QuoteFacts]
    latency_ms: float
    read_tokens: int
    error: str = ""
    grades: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PathResult:
    """All questions of one path. `index`: `bytes` and `build_seconds` of what finds documents."""

    path: str
    settings: Facts
    index: Facts
    metrics: dict[str, Estimate]
    latency_ms: dict[str, float]
    read_tokens: dict[str, float]
    questions: list[QuestionResult]


@dataclass(frozen=True)
class Pair:
    """Path `a` less path `b` in one metric over the same questions."""

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Curve:
    """A line for each series over the same x."""

    title: str
    x_label: str
    y_label: str
    x: list[float]
    series: dict[str, list[float | None]]


@dataclass(frozen=True)
class Grid:
    """A value for each cell: `values[row of y][column of x]`, None where nothing was measured."""

    title: str
    x_label: str
    y_label: str
    x: list[float | str]
    y: list[float | str]
    values: list[list[float | None]]
    path: str


@dataclass(frozen=True)
class Skipped:
    """A path that was not run, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Results:
    """One measurement. `to_dict` and `from_dict` are inverse; keys as in docs/bench.md."""

    title: str
    created: str
    command: str
    machine: Facts
    model: Facts
    bank: Facts
    settings: Facts
    paths: list[PathResult]
    pairs: list[Pair] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    schema: int = SCHEMA

    def to_dict(self) -> Facts:
        """Plain dicts and lists, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Results:
        """Raises ResultsError naming the field. Unknown keys are passed over."""
        if body.get("schema") != SCHEMA:
            raise ResultsError(f"'schema' must be {SCHEMA}, got {body.get('schema')!r}")
        try:
            return TypeAdapter(cls).validate_python(dict(body))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ResultsError(f"{place!r}: {first['msg']}") from None
