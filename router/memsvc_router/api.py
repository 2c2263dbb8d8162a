"""What the rest of memsvc sees of a memory model: identities, blocks, events and two protocols.

Knows nothing of disks, rows or the wire; a bank reaches the model only as a `MemoryView`.
Tensor legend: C chunks, L router layers, R routing width, G key/value heads, D head width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

CONTENT, ROUTING, SPANS = "content", "routing", "spans"


@dataclass(frozen=True)
class Identity:
    """What a block was made by; blocks of another identity are never served, but encoded anew."""

    model: str
    weights_digest: str
    tokenizer_digest: str
    template: str
    pool_size: int
    dtype: str
    router_layers: tuple[int, ...]

    @property
    def digest(self) -> str:
        """16 hex digits over every field."""
        body = json.dumps(asdict(self), sort_keys=True).encode()
        return hashlib.sha256(body).hexdigest()[:16]


@dataclass(frozen=True)
class DocumentText:
    """The original text of a document: what is encoded, read and cited."""

    title: str
    text: str


@dataclass(frozen=True)
class EncodedDocument:
    """The compressed memory of one document.

    `tensors` hold one row per chunk: `content` float16 [C, L, 2, G, D] (keys, then values),
    `routing` float16 [C, L, R], `spans` int32 [C, 2] (character offsets into the text).
    """

    tensors: Mapping[str, NDArray[np.generic]]
    tokens: int


@dataclass(frozen=True)
class Routes:
    """The best documents of M queries, best first; `-1` pads rows that ran out of documents."""

    documents: NDArray[np.int64]  # [M, k] handles
    scores: NDArray[np.float32]  # [M, k]
    chunks: NDArray[np.int64]  # [M, k] the winning chunk, counted within its document


class MemoryView(Protocol):
    """One consistent, filtered view of a bank for the length of one question.

    A *handle* is the bank's number for a document, stable while the view lives.
    """

    def __len__(self) -> int:
        """The number of documents that can be routed to."""
        ...

    def route(self, queries: NDArray[np.float32], k: int) -> Routes:
        """Route M collapsed queries [M, L, R] to k documents each: a score is one inner product
        with a chunk's routing keys (the model has weighed the layers), the best chunk counts."""
        ...

    def content(self, handles: Sequence[int]) -> list[NDArray[np.float16]]:
        """The content blocks [C, L, 2, G, D] of some documents (verified against their CRC)."""
        ...

    def spans(self, handle: int) -> NDArray[np.int32]:
        """Character spans [C, 2] of a document's chunks."""
        ...

    def texts(self, handles: Sequence[int]) -> list[DocumentText]:
        """The original texts."""
        ...

    def document_id(self, handle: int) -> str:
        """The name under which users know the document."""
        ...


@dataclass(frozen=True)
class AskOptions:
    """Budgets of one question. `k`: documents routed to; `max_hops`: rounds of routing;
    `max_documents`: texts read in all; `min_confidence`: below it the answer is "not in memory"."""

    k: int = 16
    max_hops: int = 2
    max_documents: int = 12
    min_confidence: float | None = None  # None: the model's own threshold


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
class Hop:
    """One round: documents in the question already, what was routed to, what was read."""

    index: int
    given: tuple[str, ...]
    routed: tuple[Hit, ...]
    read: tuple[str, ...]
    milliseconds: float


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


@dataclass(frozen=True)
class Done:
    """The end of an answer. `found` is False when memory holds no answer (then `answer` is "")."""

    answer: str
    found: bool
    confidence: float
    usage: Usage = field(default_factory=Usage)


Event = Hop | Citation | Token | Done
Path = Literal["msa", "rag", "bm25"]


@dataclass(frozen=True)
class Recall:
    """The answer to "which documents?". With several hops: documents read first, in the order of
    reading, then the last routed by score."""

    hits: tuple[Hit, ...]
    hops: tuple[Hop, ...]
    usage: Usage


class Retriever(Protocol):
    """Another way to find documents (FAISS, BM25): same reader, same events, no routing."""

    def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:
        """Handles and scores of the k best documents, best first."""
        ...


@runtime_checkable
class MemoryModel(Protocol):
    """A model that encodes documents into blocks, routes, reads and answers. Not thread-safe:
    one thread owns it."""

    @property
    def identity(self) -> Identity: ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without special tokens."""
        ...

    def encode(self, documents: Sequence[DocumentText]) -> list[EncodedDocument]:
        """Encode each document alone (positions from 0) into its blocks."""
        ...

    def recall(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Recall:
        """Find the documents that a question needs. Raises ValueError on an empty question."""
        ...

    def ask(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Iterator[Event]:
        """Answer a question: Hop…, Citation…, Token…, Done. Raises ValueError if it is empty."""
        ...
