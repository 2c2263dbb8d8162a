"""A memory model on any transformers decoder: encode, route in its layers, interleave, answer.

Knows the protocols of `api`; a bank is whatever `MemoryView` it is given. One thread owns it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence

from memsvc_router.api import (
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
    Sampling,
    Step,
    Token,
    Usage,
)
from memsvc_router.batching import all_steps
from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.encoding import encode_steps
from memsvc_router.decoder.gathering import Source, TextGatherer, chunk_span
from memsvc_router.decoder.generation import Sampler, Speaker
from memsvc_router.decoder.loading import Decoder
from memsvc_router.decoder.prompts import Prompts
from memsvc_router.decoder.running import Runner
from memsvc_router.decoder.state import Feed, QuestionState
from memsvc_router.interleave import Budget, interleave


class DecoderMemoryModel:
    """A `MemoryModel` on a loaded decoder."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.config = decoder.config
        self.prompts = Prompts(decoder.tokenizer)
        self.runner = Runner(decoder.network, decoder.config, self.prompts.prefix())

    @property
    def identity(self) -> Identity:
        """What its blocks are made by."""
        return self.decoder.identity

    @property
    def top_k(self) -> int:
        """See `MemoryModel.top_k`."""
        return self.config.top_k

    @property
    def footprint(self) -> Footprint:
        """See `footprint_of`."""
        return footprint_of(self.config, self.prompts)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without special tokens."""
        return len(self.prompts.plain(text))

    def encode(self, documents: Sequence[DocumentText]) -> list[EncodedDocument]:
        """See `MemoryModel.encode`."""
        return all_steps(self.encode_steps(documents))

    def encode_steps(
        self, documents: Sequence[DocumentText]
    ) -> Generator[None, None, list[EncodedDocument]]:
        """See `MemoryModel.encode_steps`."""
        return encode_steps(self.decoder, self.runner.hook, self.prompts, documents)

    def run(self, steps: Sequence[Step]) -> None:
        """See `MemoryModel.run`."""
        feeds = [step for step in steps if isinstance(step, Feed)]
        assert len(feeds) == len(steps), "a step of another model"
        self.runner.run(feeds)

    def recall(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Recall:
        """See `MemoryModel.recall`."""
        began = time.perf_counter()
        work = self._start(view, question, options, retriever)
        hops = []
        for event in interleave(work, work.budget, options.max_hops, read_last=False):
            if isinstance(event, Step):
                self.run([event])
            else:
                hops.append(event)
        return Recall(_ranking(work, hops), tuple(hops), _usage(work, len(hops), 0, began))

    def ask(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Iterator[Event | Step]:
        """See `MemoryModel.ask`."""
        began = time.perf_counter()
        return self._events(self._start(view, question, options, retriever), options, began)

    def _start(
        self, view: MemoryView, question: str, options: AskOptions, retriever: Retriever | None
    ) -> TextGatherer:
        if not question.strip():
            raise ValueError("question: must hold at least one word")
        budget = Budget(options)
        state = QuestionState(self.runner.prefix, view, options.k or self.top_k)
        return TextGatherer(
            self.prompts, state, question, budget, self.config.max_positions, retriever
        )

    def _events(
        self, work: TextGatherer, options: AskOptions, began: float
    ) -> Generator[Event | Step, None, None]:
        hops = 0
        for event in interleave(work, work.budget, options.max_hops, read_last=True):
            hops += isinstance(event, Hop)
            yield event
        if not work.sources:
            yield Done("", False, 0.0, _usage(work, hops, 0, began))
            return
        for source in work.sources:
            yield _citation(work, source)
        speaker = Speaker(self.prompts.tokenizer, options.sampling.stop)
        told = yield from self._answer(work, options.sampling, speaker)
        sure = math.exp(sum(told) / len(told)) if told else 0.0
        answer = speaker.said.strip()
        found = bool(answer) and sure >= (options.min_confidence or 0.0)
        yield Done(answer if found else "", found, sure, _usage(work, hops, len(told), began))

    def _answer(
        self, work: TextGatherer, sampling: Sampling, speaker: Speaker
    ) -> Generator[Event | Step, None, list[float]]:
        """The answer's pieces as they come; returns the log-probabilities of its tokens."""
        sampler = Sampler(sampling)
        logits = yield from work.ask_for_answer()
        told: list[float] = []
        for at in range(room := work.answer_room(sampling)):
            token, chance = sampler.pick(logits)
            if token in self._ends:
                break
            told.append(math.log(max(chance, 1e-12)))
            if piece := speaker.hear(token):
                yield Token(piece)
            if speaker.stopped or at + 1 == room:
                break
            logits = yield from work.feed(token)
        if piece := speaker.finish():
            yield Token(piece)
        return told

    @property
    def _ends(self) -> set[int]:
        """Tokens that end an answer."""
        eos = self.decoder.network.generation_config.eos_token_id
        more = eos if isinstance(eos, list) else [eos]
        return {self.prompts.end, *(token for token in more if token is not None)}


def footprint_of(config: MsaConfig, prompts: Prompts) -> Footprint:
    """What a chunk is made of."""
    layers, groups, width = len(config.router_layers), config.groups, config.head_width
    numbers = prompts.document(DocumentText("", "", "a hashed id"), 64)[0]
    return Footprint(
        pool_size=config.pool_size,
        overhead_tokens=len(numbers.ids),
        routing=(layers, groups * width),
        content=(layers * 2 * groups, width),
    )


def _citation(work: TextGatherer, source: Source) -> Citation:
    """The chunk that was routed to, or all that was read where a chunk holds no text."""
    view, found = work.view, source.found
    title = view.texts([found.handle])[0].title  # read anew: refuses what has changed meanwhile
    start, end = chunk_span(view, found)
    if start >= end:
        start, end = source.start, source.end
    return Citation(
        document_id=view.document_id(found.handle),
        title=title,
        quote=source.document.text[start:end],
        start=start,
        end=end,
        chunk=found.chunk,
        score=found.score,
        hop=source.hop,
        layer=found.layer,
    )


def _ranking(work: TextGatherer, hops: Sequence[Hop]) -> tuple[Hit, ...]:
    """Documents read, in the order of reading, then the last routed, then the first."""
    found: dict[str, Hit] = {}
    for source in work.sources:
        hit = work.hit(source.found, source.hop, read=True)
        found.setdefault(hit.document_id, hit)
    for hop in reversed(hops):
        for hit in hop.routed:
            found.setdefault(hit.document_id, hit)
    return tuple(found.values())


def _usage(work: TextGatherer, hops: int, answer_tokens: int, began: float) -> Usage:
    return Usage(
        question_tokens=work.question_tokens,
        read_tokens=work.read_tokens,
        documents_read=len(work.sources),
        hops=hops,
        forward_ms=work.forward_seconds * 1e3,
        total_ms=(time.perf_counter() - began) * 1e3,
        answer_tokens=answer_tokens,
    )
