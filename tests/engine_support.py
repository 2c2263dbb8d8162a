"""A small real memory model for engine tests, and helpers that run an engine around it.

`BagModel` routes by hashed bags of words and answers with the sentence that shares most words with
the question. It is deterministic, needs no weights, and keeps to the whole `MemoryModel` contract.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from memsvc_router.api import (
    ROUTING,
    SPANS,
    AskOptions,
    Citation,
    DocumentText,
    Done,
    EncodedDocument,
    Event,
    Footprint,
    Hit,
    Hop,
    Identity,
    MemoryView,
    Recall,
    Retriever,
    Step,
    Token,
    Usage,
    content_name,
)
from memsvc_storage import Document, NewDocument
from numpy.typing import NDArray

from memsvc.engine import Engine, EngineConfig

PATIENCE = 120.0  # seconds after which a test gives up, on however busy a machine
LAYERS, WIDTH = 2, 256
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_IGNORED = frozenset(
    ["a", "an", "the", "of", "is", "in", "on", "to", "and", "who", "what", "where"]
)


@dataclass
class Switches:
    """What a test does to a model from outside, while it runs."""

    poison: set[str] = field(default_factory=set)  # words whose documents cannot be encoded
    broken: bool = False  # nothing can be encoded
    gate: threading.Event = field(default_factory=threading.Event)  # encoding waits while clear
    answering: threading.Event = field(default_factory=threading.Event)  # so do answers, after hops
    reached: threading.Event = field(default_factory=threading.Event)  # encoding has begun
    encoded: list[str] = field(default_factory=list)  # texts, in the order of encoding
    events: int = 0  # events that answers have produced

    def __post_init__(self) -> None:
        self.gate.set()
        self.answering.set()


def words(text: str) -> list[str]:
    return [w for w in _WORD.findall(text.lower()) if w not in _IGNORED]


def _bag(tokens: Sequence[str]) -> NDArray[np.float32]:
    """Normalised hashed bags of words, one for each layer: [L, R]."""
    bag = np.zeros((LAYERS, WIDTH), np.float32)
    for token in tokens:
        for layer in range(LAYERS):
            bag[layer, zlib.crc32(f"{layer}{token}".encode()) % WIDTH] += 1
    norm = np.linalg.norm(bag, axis=1, keepdims=True)
    return np.asarray(bag / np.maximum(norm, 1e-6), np.float32)


class BagModel:
    """A `MemoryModel` of hashed bags of words over chunks of `pool` words."""

    def __init__(self, switches: Switches | None = None, pool: int = 64) -> None:
        self.switches = switches or Switches()
        self._pool = pool

    @property
    def identity(self) -> Identity:
        return Identity("bag", "0", "words", "{title} {text}", self._pool, "float16", (0, 1))

    @property
    def footprint(self) -> Footprint:
        return Footprint(self._pool, 0, routing=(LAYERS, WIDTH), content=(2, 4))

    @property
    def top_k(self) -> int:
        return 16

    def run(self, steps: Sequence[Step]) -> None:
        assert not steps

    def count_tokens(self, text: str) -> int:
        return len(re.findall(r"\w+|[^\w\s]|\n", text))

    def encode(self, documents: Sequence[DocumentText]) -> list[EncodedDocument]:
        self.switches.reached.set()
        self.switches.gate.wait(PATIENCE)
        if self.switches.broken:
            raise RuntimeError("the device is gone")
        for document in documents:
            if self.switches.poison & set(words(document.text)):
                raise ValueError("cannot be encoded")
        self.switches.encoded += [d.text for d in documents]
        return [self._encode(d) for d in documents]

    def encode_steps(
        self, documents: Sequence[DocumentText]
    ) -> Generator[None, None, list[EncodedDocument]]:
        yield from ()
        return self.encode(documents)

    def _encode(self, document: DocumentText) -> EncodedDocument:
        found = list(_WORD.finditer(document.text))
        groups = [found[i : i + self._pool] for i in range(0, len(found), self._pool)] or [[]]
        title = words(document.title)
        keys = [_bag(title + words(" ".join(m.group() for m in group))) for group in groups]
        spans = [(g[0].start(), g[-1].end()) if g else (0, len(document.text)) for g in groups]
        content = np.stack(keys)[:, 0, None, None, :4].repeat(2, axis=1)
        tensors: dict[str, NDArray[Any]] = {
            content_name(0): content.astype(np.float16),
            ROUTING: np.stack(keys).astype(np.float16),
            SPANS: np.array(spans, np.int32),
        }
        return EncodedDocument(tensors, tokens=self.count_tokens(document.text))

    def recall(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Recall:
        if not question.strip():
            raise ValueError("question is empty")
        started = time.perf_counter()
        found = self._routed(view, question, options.k or self.top_k, retriever)
        view.content([handle for handle, _, _ in found])
        hits = []
        for handle, score, chunk in found:
            start, end = (int(x) for x in view.spans(handle)[chunk])
            hits.append(Hit(view.document_id(handle), score, chunk, start, end, hop=0))
        spent = (time.perf_counter() - started) * 1e3
        hop = Hop(0, (), tuple(hits), (), spent)
        usage = Usage(question_tokens=len(words(question)), hops=1, total_ms=spent)
        return Recall(tuple(hits), (hop,), usage)

    def _routed(
        self, view: MemoryView, question: str, k: int, retriever: Retriever | None
    ) -> list[tuple[int, float, int]]:
        if retriever is not None:
            return [(handle, score, 0) for handle, score in retriever.retrieve(question, k)]
        routes = view.route(_bag(words(question))[None], k)
        rows = zip(routes.documents[0], routes.scores[0], routes.chunks[0], strict=True)
        return [(int(d), float(s), int(c)) for d, s, c in rows if d >= 0 and s > 0]

    def ask(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Iterator[Event | Step]:
        found = self._routed(view, question, options.k or self.top_k, retriever)
        recall = self.recall(view, question, options, retriever)
        self.switches.events += 1
        yield recall.hops[0]
        self.switches.answering.wait(PATIENCE)
        asked = set(words(question))
        best: tuple[int, Citation] | None = None
        handles = [handle for handle, _, _ in found]
        for hit, text in zip(recall.hits, view.texts(handles), strict=True):
            for match in _SENTENCE.finditer(text.text):
                overlap = len(asked & set(words(match.group())))
                if overlap and (best is None or overlap > best[0]):
                    best = (overlap, _cite(hit, text, match.start(), match.end()))
        if best is None:
            self.switches.events += 1
            yield Done("", False, 0.0, recall.usage)
            return
        self.switches.events += 3
        yield best[1]
        yield Token(best[1].quote)
        yield Done(best[1].quote, True, best[0] / max(1, len(asked)), recall.usage)


def _cite(hit: Hit, text: DocumentText, start: int, end: int) -> Citation:
    quote = text.text[start:end].strip()
    start = text.text.index(quote, start)
    end = start + len(quote)
    return Citation(hit.document_id, text.title, quote, start, end, hit.chunk, hit.score, 0, 0)


@asynccontextmanager
async def running(
    data_dir: Path,
    model: BagModel | Callable[[], BagModel] | None = None,
    ready: bool = True,
    previous: BagModel | None = None,
    **settings: Any,
) -> AsyncIterator[Engine]:
    """An engine with fast sweeps and retries; by default once its model is ready."""
    quick: dict[str, Any] = {"sweep_seconds": 0.02, "retry_seconds": 0.02, **settings}
    made = model or BagModel()
    load = (lambda: made) if isinstance(made, BagModel) else made
    load_previous = None if previous is None else lambda: previous
    engine = await Engine.start(EngineConfig(data_dir, **quick), load, load_previous)
    try:
        if ready:
            await engine.wait_ready(PATIENCE)
        yield engine
    finally:
        await engine.stop(10)


async def add(engine: Engine, bank: str, *documents: NewDocument | str) -> list[Document]:
    """Add documents and wait until they are encoded."""
    new = [NewDocument(d) if isinstance(d, str) else d for d in documents]
    result = await engine.add_documents(bank, new)
    operation = await engine.wait_operation(result.operation.operation_id, PATIENCE)
    assert operation.finished, operation
    return [d for d in result.documents if isinstance(d, Document)]


async def answer(engine: Engine, bank: str, question: str, **asked: Any) -> str:
    """The answer, "" if memory holds none."""
    done = [e async for e in engine.ask(bank, question, **asked) if isinstance(e, Done)]
    assert len(done) == 1
    return done[0].answer


async def recalled(engine: Engine, bank: str, question: str, **asked: Any) -> list[str]:
    """Ids of the documents that a question is routed to, best first."""
    return [hit.document_id for hit in (await engine.recall(bank, question, **asked)).hits]
