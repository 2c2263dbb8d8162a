"""What the rest of memsvc sees of a memory model: identities, blocks, events and two protocols.

Knows nothing of disks, rows or the wire; a bank reaches the model only as a `MemoryView`.
Tensor legend: C chunks, L router layers, R routing width, G key/value heads, D head width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from memsvc_router.events import (
    AskOptions,
    Citation,
    Done,
    Event,
    Hit,
    Hop,
    LayerRoute,
    Path,
    Recall,
    Sampling,
    Step,
    Token,
    Usage,
)

ROUTING, SPANS = "routing", "spans"
_CONTENT = "content"
_SPAN_BYTES = 8


def content_name(layer: int) -> str:
    """The tensor that holds the content of the `layer`-th memory layer (counted from 0)."""
    return f"{_CONTENT}.{layer}"


def is_content(name: str) -> bool:
    """Whether a block's tensor of this name holds content."""
    return name.startswith(_CONTENT)


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
    block_format: int = 4  # 4: content at 8 bits at rest, keys at 12

    @cached_property
    def digest(self) -> str:
        """16 hex digits over every field."""
        body = json.dumps(asdict(self), sort_keys=True).encode()
        return hashlib.sha256(body).hexdigest()[:16]


@dataclass(frozen=True)
class DocumentText:
    """The original text of a document: what is encoded, read and cited.

    `document_id` is for models that write a reference into the block (MSA §4); others ignore it.
    """

    title: str
    text: str
    document_id: str = ""


@dataclass(frozen=True)
class EncodedDocument:
    """The compressed memory of one document.

    `tensors` hold one row per chunk: for each memory layer `content.{layer}` [C, 2, G, D] (keys,
    then values), `routing` [C, L, R], `spans` int32 [C, 2] (character offsets into the text).
    Floats are in the model's own precision: float16, bfloat16 (ml_dtypes) or float32.
    """

    tensors: Mapping[str, NDArray[np.generic]]
    tokens: int


@dataclass(frozen=True)
class Routes:
    """The best documents of M queries, best first; `-1` pads rows that ran out of documents."""

    documents: NDArray[np.int64]  # [M, k] handles
    scores: NDArray[np.float32]  # [M, k]
    chunks: NDArray[np.int64]  # [M, k] the winning chunk, counted within its document


@dataclass(frozen=True)
class RouteRule:
    """How the scores of one router layer are reduced (MSA §2): over the query's tokens, and over
    the chunks of a document. (Over heads: see `MemoryView.route_layer`.)"""

    query: Literal["max", "mean"] = "max"
    chunk: Literal["max", "mean"] = "max"


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

    def route_layer(
        self, layer: int, queries: NDArray[np.float32], k: int, rule: RouteRule
    ) -> Routes:
        """Route one query of M tokens by the keys of the `layer`-th router layer alone.

        queries [M, J, R]: a chunk's score for a token is its best inner product with the token's
        J rows (one where heads are collapsed to their mean, one per head for the best head).
        Returns `Routes` with one row. Equal scores are settled by the documents' ids.
        """
        ...

    def content(self, handles: Sequence[int], layer: int = 0) -> list[NDArray[np.floating]]:
        """Content [C, 2, G, D] of documents in the `layer`-th memory layer, CRC verified."""
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
class Footprint:
    """What a chunk of `pool_size` tokens is made of. `overhead_tokens` are those that each document
    adds to its text; routing: (L, R); content: (rows, D), a row for each head's keys and values in
    each memory layer.

    Bytes are those of codes of 8 bits (keys: of 12) and a scale fp32 for each row: of routing keys
    in memory, of content, keys and spans on disk, and of the content that a question reads of its
    documents.
    """

    pool_size: int
    overhead_tokens: int
    routing: tuple[int, int]
    content: tuple[int, int]

    @property
    def near_chunk_bytes(self) -> int:
        """In memory."""
        layers, width = self.routing
        return _packed_bytes(layers, width) + layers * -(-width // 2)

    @property
    def content_chunk_bytes(self) -> int:
        """Of content."""
        return _packed_bytes(*self.content)

    @property
    def far_chunk_bytes(self) -> int:
        """On disk."""
        return self.near_chunk_bytes + self.content_chunk_bytes + _SPAN_BYTES


def _packed_bytes(rows: int, width: int) -> int:
    return rows * (width + 4)


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

    @property
    def footprint(self) -> Footprint: ...

    @property
    def top_k(self) -> int:
        """Documents routed to where `AskOptions.k` is None."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without special tokens."""
        ...

    def encode(self, documents: Sequence[DocumentText]) -> list[EncodedDocument]:
        """Encode each document alone (positions from 0) into its blocks."""
        ...

    def encode_steps(
        self, documents: Sequence[DocumentText]
    ) -> Generator[None, None, list[EncodedDocument]]:
        """As `encode`, but others may use the model after each step, of a forward or a few; what
        `encode` gives is returned at the end. Closing it frees what it holds."""
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
    ) -> Iterator[Event | Step]:
        """Answer a question: Hop…, Citation…, Token…, Done, with `Step`s to run in between.

        Raises ValueError if the question is empty. Closing the iterator frees what it holds.
        """
        ...

    def run(self, steps: Sequence[Step]) -> None:
        """Do the forwards of all steps as one batch. A step that fails raises in its own question,
        when that goes on; the others are not touched by it."""
        ...


__all__ = [
    "ROUTING",
    "SPANS",
    "AskOptions",
    "Citation",
    "DocumentText",
    "Done",
    "EncodedDocument",
    "Event",
    "Footprint",
    "Hit",
    "Hop",
    "Identity",
    "LayerRoute",
    "MemoryModel",
    "MemoryView",
    "Path",
    "Recall",
    "Retriever",
    "RouteRule",
    "Routes",
    "Sampling",
    "Step",
    "Token",
    "Usage",
    "content_name",
    "is_content",
]
