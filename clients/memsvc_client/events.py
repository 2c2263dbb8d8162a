"""What a question brings back: the events of `ask`, and the results of recall and context.

`Hop…, Citation…, Token…, Done` is the order of a stream. Documents are full resource names; `start`
and `end` count characters (code points) in a document's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from memsvc_client.names import last_id


@dataclass(frozen=True)
class Hit:
    """A document that was routed to, with its best chunk. `title` and `quote` only from recall."""

    document: str
    score: float
    chunk: int
    start: int
    end: int
    hop: int
    read: bool
    title: str = ""
    quote: str = ""

    @property
    def document_id(self) -> str:
        """The last part of the document's name."""
        return last_id(self.document)


@dataclass(frozen=True)
class LayerRoute:
    """What one router layer (by its number in the model) chose: documents, best first, and its
    scores for them."""

    layer: int
    documents: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Hop:
    """One round of routing: what was given, what it was routed to (best first), what was read.

    `layers` is empty for models that route by all their layers together.
    """

    index: int
    given: tuple[str, ...]
    routed: tuple[Hit, ...]
    read: tuple[str, ...]
    milliseconds: float
    layers: tuple[LayerRoute, ...] = ()


@dataclass(frozen=True)
class Citation:
    """A verbatim source: `quote` is exactly the text from `start` to before `end`."""

    document: str
    title: str
    quote: str
    start: int
    end: int
    chunk: int
    score: float
    hop: int
    layer: int

    @property
    def document_id(self) -> str:
        """The last part of the document's name."""
        return last_id(self.document)


@dataclass(frozen=True)
class Token:
    """A piece of the answer, in order."""

    text: str


@dataclass(frozen=True)
class Usage:
    """What a question cost: the model's tokens, wall milliseconds. `answer_tokens`: written by the
    model; 0 for models that point at their answers."""

    question_tokens: int = 0
    read_tokens: int = 0
    documents_read: int = 0
    hops: int = 0
    forward_ms: float = 0.0
    total_ms: float = 0.0
    answer_tokens: int = 0


@dataclass(frozen=True)
class Done:
    """The end of an answer. `found` is False when memory holds none; then `answer` is ""."""

    answer: str
    found: bool
    confidence: float
    usage: Usage = field(default_factory=Usage)


Event = Hop | Citation | Token | Done


@dataclass(frozen=True)
class Sampling:
    """How a model that writes its answer picks tokens; None takes the server's default.

    `temperature` 0: always the likeliest; `top_p` and `top_k` (0: all) narrow the choice; a `seed`
    makes it repeatable; the answer ends before the first of the `stop` strings.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: Sequence[str] = ()


@dataclass(frozen=True)
class AskOptions:
    """Budgets of one question; None takes the server's default. `k`: documents routed to;
    `max_hops`: rounds of routing; `max_documents`: texts read; `min_confidence`: below it the
    answer is "not in memory"; `max_read_tokens`: tokens of texts read; `max_seconds`: after it no
    further round begins, and the answer is given from what was read. Models that point at their
    answers ignore `sampling`. `exact`: the keys of every document are compared as exactly as they
    are kept, not at 8 bits first, nor after a coarse pass (`Bank.routing`): slower, and misses
    nothing."""

    k: int | None = None
    max_hops: int | None = None
    max_documents: int | None = None
    min_confidence: float | None = None
    max_read_tokens: int | None = None
    max_seconds: float | None = None
    sampling: Sampling = Sampling()
    exact: bool = False


@dataclass(frozen=True)
class Recency:
    """What is recent counts for more: a positive score is multiplied by
    1 + weight · 2^(-age / half_life). `half_life`: a timedelta or seconds; `weight` None: 0.5."""

    half_life: timedelta | float
    weight: float | None = None


@dataclass(frozen=True)
class Recall:
    """Which documents a question needs, best first. `bank` (a name) and `question`: what was asked,
    so that feedback can be given of it."""

    hits: tuple[Hit, ...]
    hops: tuple[Hop, ...]
    usage: Usage
    bank: str = ""
    question: str = ""


@dataclass(frozen=True)
class Context:
    """Text for a prompt, of `tokens` tokens; `citations[n - 1]` is the source of `[n]` in it."""

    text: str
    citations: tuple[Citation, ...]
    tokens: int


@dataclass(frozen=True)
class Answer:
    """A whole answer. Believe `text` only if `found`. `bank` (a name) and `question`: what was
    asked, so that feedback can be given of it."""

    text: str
    found: bool
    confidence: float
    citations: tuple[Citation, ...]
    hops: tuple[Hop, ...]
    usage: Usage
    bank: str = ""
    question: str = ""


class AnswerBuilder:
    """Gathers the events of one question, `question` to `bank` (a name)."""

    def __init__(self, bank: str = "", question: str = "") -> None:
        self._bank = bank
        self._question = question
        self._hops: list[Hop] = []
        self._citations: list[Citation] = []
        self._done: Done | None = None

    def add(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case Hop():
                self._hops.append(event)
            case Citation():
                self._citations.append(event)
            case Done():
                self._done = event
            case Token():
                pass  # `Done` repeats the whole answer.

    def answer(self) -> Answer:
        """The answer. Raises ValueError if the stream has not ended with Done."""
        if self._done is None:
            raise ValueError("the stream of events has not ended with Done")
        done = self._done
        return Answer(
            done.answer,
            done.found,
            done.confidence,
            tuple(self._citations),
            tuple(self._hops),
            done.usage,
            self._bank,
            self._question,
        )

    @classmethod
    def collect(cls, events: Iterable[Event]) -> Answer:
        """The answer of a whole stream. Raises ValueError if it does not end with Done."""
        builder = cls()
        for event in events:
            builder.add(event)
        return builder.answer()
