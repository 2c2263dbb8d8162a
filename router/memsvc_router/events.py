"""What a question may ask for and what comes of it: options and events, without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Sampling:
    """How a model that writes its answer picks tokens. `temperature` 0: always the likeliest.

    `top_p`, `top_k` (0: off) narrow the choice; a seed makes it repeatable; the answer ends before
    the first of the `stop` strings.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class AskOptions:
    """Budgets of one question. `k`: documents routed to; `max_hops`: rounds of routing at most
    (the model stops as soon as it has what it needs);
    `max_documents`: texts read in all; `max_read_tokens`: tokens of texts read in all;
    `max_seconds`: after it no further round begins and the answer is given from what was read;
    `min_confidence`: below it the answer is "not in memory".

    A `k` of None is the model's own. Models that point at answers ignore `sampling`. With
    `exact`, a bank compares the keys of every document, however large it is.
    """

    k: int | None = None
    max_hops: int = 4
    max_documents: int = 20
    min_confidence: float | None = None  # None: the model's own threshold
    max_read_tokens: int | None = None
    max_seconds: float | None = None
    sampling: Sampling = Sampling()
    exact: bool = False


@dataclass(frozen=True)
class Hit:
    """A document that was routed to. `start`/`end`: the winning chunk's characters in its text."""

    document_id: str
    score: float
    chunk: int
    start: int
    end: int
    hop: int
    read: bool = False


@dataclass(frozen=True)
class LayerRoute:
    """What one router layer (by its number in the model) chose: document ids and scores, best
    first."""

    layer: int
    documents: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Hop:
    """One round: documents in the question already, what was routed to, what was read. `layers` is
    empty where the model routes by all its layers together."""

    index: int
    given: tuple[str, ...]
    routed: tuple[Hit, ...]
    read: tuple[str, ...]
    milliseconds: float
    layers: tuple[LayerRoute, ...] = ()


@dataclass(frozen=True)
class Citation:
    """A verbatim source. `start`/`end` are character offsets of `quote` in the document's text."""

    document_id: str
    title: str
    quote: str
    start: int
    end: int
    chunk: int
    score: float
    hop: int
    layer: int


@dataclass(frozen=True)
class Token:
    """A piece of the answer, in order."""

    text: str


@dataclass(frozen=True)
class Usage:
    """What the answer cost. Tokens are the model's own; milliseconds are wall time."""

    question_tokens: int = 0
    read_tokens: int = 0
    documents_read: int = 0
    hops: int = 0
    forward_ms: float = 0.0
    total_ms: float = 0.0
    answer_tokens: int = 0


@dataclass(frozen=True)
class Done:
    """The end of an answer. `found` is False when memory holds no answer (then `answer` is "").

    `hits`: every document that was seen, best first, where the model has such an order.
    """

    answer: str
    found: bool
    confidence: float
    usage: Usage = field(default_factory=Usage)
    hits: tuple[Hit, ...] = ()


Event = Hop | Citation | Token | Done
Path = Literal["msa", "rag", "bm25"]


class Step:
    """A forward that a question waits for. `MemoryModel.run` does many at once, of whichever
    questions and banks; who gets a `Step` out of `ask` has it run before asking for more."""


@dataclass(frozen=True)
class Recall:
    """The answer to "which documents?", best first. With several hops what was read has a say in
    the order."""

    hits: tuple[Hit, ...]
    hops: tuple[Hop, ...]
    usage: Usage
