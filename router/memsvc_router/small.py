"""The small memory model: answers by pointing at the texts it found, or says "not in memory".

Every answer is verbatim, with its characters; it cannot invent. Knows the network and the
protocols of `api`; a bank is whatever `MemoryView` it is given.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path as FilePath

from memsvc_router.api import (
    AskOptions,
    Citation,
    DocumentText,
    Done,
    EncodedDocument,
    Event,
    Footprint,
    Hop,
    Identity,
    MemoryView,
    Recall,
    Retriever,
    Step,
    Token,
    Usage,
)
from memsvc_router.beam import Answer, BeamGatherer, Gathering
from memsvc_router.checkpoint import DEFAULT_MODEL, load_checkpoint
from memsvc_router.encoding import encode_documents, encode_steps
from memsvc_router.interleave import Budget, interleave
from memsvc_router.reading import Reader
from memsvc_router.texts import tokenize


class SmallMemoryModel:
    """A `MemoryModel` on a `MemoryNetwork` checkpoint. One thread owns it."""

    def __init__(self, folder: FilePath = DEFAULT_MODEL) -> None:
        self.network, self.tokenizer, self._identity = load_checkpoint(folder)
        self.network.settle()

    @property
    def identity(self) -> Identity:
        """What its blocks are made by."""
        return self._identity

    @property
    def footprint(self) -> Footprint:
        """What a chunk is made of."""
        config = self.network.config
        return Footprint(
            pool_size=config.pool_size,
            overhead_tokens=2,
            routing=(len(config.router_layers), config.router_width),
            content=(config.memory_layers * 2 * config.key_value_heads, config.head_width),
        )

    @property
    def top_k(self) -> int:
        """See `MemoryModel.top_k`."""
        return 16

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without special tokens."""
        return len(tokenize(self.tokenizer, [text])[0].ids)

    def encode(self, documents: Sequence[DocumentText]) -> list[EncodedDocument]:
        """See `MemoryModel.encode`."""
        return encode_documents(self.network, self.tokenizer, documents)

    def encode_steps(
        self, documents: Sequence[DocumentText]
    ) -> Generator[None, None, list[EncodedDocument]]:
        """See `MemoryModel.encode_steps`."""
        return encode_steps(self.network, self.tokenizer, documents)

    def recall(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Recall:
        """See `MemoryModel.recall`."""
        began = time.perf_counter()
        run = self._start(view, question, options, retriever)
        rounds = interleave(run, run.budget, options.max_hops, read_last=options.max_hops > 1)
        hops = tuple(event for event in rounds if isinstance(event, Hop))
        return Recall(tuple(run.ranking()), hops, _usage(run.state, len(hops), began))

    def ask(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Iterator[Event]:
        """See `MemoryModel.ask`."""
        began = time.perf_counter()
        run = self._start(view, question, options, retriever)
        return self._events(run, options, began)

    def _start(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None,
    ) -> BeamGatherer:
        budget = Budget(options)
        reader = Reader(self.network, self.tokenizer, question)
        return BeamGatherer(reader, view, budget, options.k or self.top_k, retriever)

    def run(self, steps: Sequence[Step]) -> None:
        """See `MemoryModel.run`. Its questions ask for none: they forward their own paths."""
        assert not steps

    def _events(self, run: BeamGatherer, options: AskOptions, began: float) -> Iterator[Event]:
        hops = 0
        for event in interleave(run, run.budget, options.max_hops, read_last=True):
            assert isinstance(event, Hop), "a beam waits for no step"
            hops += 1
            yield event
        best = run.best()
        floor = options.min_confidence
        floor = self.network.config.min_confidence if floor is None else floor
        sure = best.confidence if best else 0.0
        usage, ranking = _usage(run.state, hops, began), tuple(run.ranking())
        if best is None or sure < floor:
            yield Done("", False, sure, usage, ranking)
            return
        yield from _citations(run, best)
        number, first, last = best.span
        answer = best.reading.path.sources[number].document.text[first:last]
        for word in re.findall(r"\S+\s*", answer):
            yield Token(word)
        yield Done(answer, True, sure, usage, ranking)


def _citations(run: BeamGatherer, best: Answer) -> Iterator[Citation]:
    """The answer's own characters first, then what led to it."""
    number, first, last = best.span
    sources = best.reading.path.sources
    order = [number, *(i for i in range(len(sources)) if i != number)]
    # Read anew on purpose: the view refuses a document that was deleted or changed meanwhile.
    texts = run.view.texts([sources[i].handle for i in order])
    for i, text in zip(order, texts, strict=True):
        source = sources[i]
        start, end = (first, last) if i == number else (source.start, source.end)
        yield Citation(
            document_id=run.view.document_id(source.handle),
            title=text.title,
            quote=source.document.text[start:end],
            start=start,
            end=end,
            chunk=source.chunk,
            score=source.score,
            hop=i,
            layer=run.reader.network.config.router_layers[0],
        )


def _usage(state: Gathering, hops: int, began: float) -> Usage:
    return Usage(
        question_tokens=state.question_tokens,
        read_tokens=state.read_tokens,
        documents_read=len(state.documents_read()),
        hops=hops,
        forward_ms=state.forward_seconds * 1e3,
        total_ms=(time.perf_counter() - began) * 1e3,
    )


def load_default_model() -> SmallMemoryModel:
    """The model that ships with the package. Raises FileNotFoundError if its weights are gone."""
    return SmallMemoryModel(DEFAULT_MODEL)


__all__ = ["SmallMemoryModel", "load_default_model"]
