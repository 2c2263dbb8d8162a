"""Gathering by numbers in text (MSA §4): the model names documents, their original text is read.

Everything that was fed stays in the caches, so a round forwards only what it adds. Knows prompts
and one question's state; a bank is whatever `MemoryView` it brings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from torch import Tensor

from memsvc_router.api import DocumentText, Hit, LayerRoute, MemoryView, Retriever, Sampling, Step
from memsvc_router.decoder.generation import Choice, Sampler
from memsvc_router.decoder.prompts import Prompts, number_of
from memsvc_router.decoder.ranking import Found, layer_routes, ranked
from memsvc_router.decoder.state import Feed, QuestionState
from memsvc_router.interleave import Budget
from memsvc_router.reading import window_around
from memsvc_router.texts import tokenize

_LEAST_TEXT = 16  # tokens of room below which no further text is begun


@dataclass(frozen=True)
class Source:
    """A document that was read: how it was found, and its characters that were read."""

    found: Found
    document: DocumentText
    hop: int
    start: int
    end: int


class TextGatherer:
    """A `Gatherer` of one question. Raises ValueError for a question too long for the model."""

    def __init__(
        self,
        prompts: Prompts,
        state: QuestionState,
        question: str,
        budget: Budget,
        max_positions: int,
        retriever: Retriever | None,
    ) -> None:
        self.prompts, self.state, self.question = prompts, state, question
        self.budget, self._retriever = budget, retriever
        self._room = max_positions - state.positions(0).start - 2 * len(prompts.final(question))
        self._pending: list[int] = []  # tokens that no forward has seen yet
        self._routed: list[int] = []  # those of them that route
        self._found: list[Found] = []
        self._settled = False
        self.sources: list[Source] = []
        self.question_tokens = self.read_tokens = 0
        self.forward_seconds = 0.0

    @property
    def view(self) -> MemoryView:
        """The bank."""
        return self.state.view

    @property
    def settled(self) -> bool:
        """See `Gatherer`: the model has ended retrieval."""
        return self._settled

    def look(self) -> Generator[Step, None, None]:
        """See `Gatherer`."""
        tokens, routing = self.prompts.question(self.question)
        self.question_tokens = len(tokens)
        if len(tokens) > self._room // 2:
            raise ValueError(
                f"question: {len(tokens)} tokens, but this model takes {self._room // 2}"
            )
        self._append(tokens, range(routing))
        yield from self._route()

    def again(self) -> Generator[Step, None, None]:
        """See `Gatherer`."""
        yield from self._route()

    def read(self) -> Generator[Step, None, Sequence[int]]:
        """See `Gatherer`."""
        known = {source.found.handle for source in self.sources}
        fresh = [found for found in self._found if found.handle not in known]
        most = self.budget.documents(len(self.sources))
        if not fresh or not most or self._text_room() < _LEAST_TEXT:
            return ()
        chosen = fresh[:most] if self._retriever else (yield from self._name(fresh, most))
        hop = 1 + max((s.hop for s in self.sources), default=-1)
        read = [found.handle for found in chosen if self._read(found, hop)]
        self._append([self.prompts.reference_end])
        return read

    def documents_read(self) -> Sequence[int]:
        """See `Gatherer`."""
        return [source.found.handle for source in self.sources]

    def routed(self, hop: int) -> Sequence[Hit]:
        """See `Gatherer`."""
        return [self.hit(found, hop) for found in self._found[: self.state.k]]

    def layers(self) -> Sequence[LayerRoute]:
        """See `Gatherer`."""
        return layer_routes(self.view, {} if self._retriever else self.state.routes)

    def hit(self, found: Found, hop: int, read: bool = False) -> Hit:
        """A found document and the characters of its best chunk."""
        start, end = chunk_span(self.view, found)
        name = self.view.document_id(found.handle)
        return Hit(name, found.score, found.chunk, start, end, hop, read)

    def ask_for_answer(self) -> Generator[Step, None, Tensor]:
        """Feed what asks for the answer: the logits of its first token."""
        if not self._settled:
            self._append(self.prompts.end_of_retrieve)
        self._append(self.prompts.final(self.question))
        logits = yield from self.feed()
        return logits

    def feed(self, *tokens: int) -> Generator[Step, None, Tensor]:
        """Forward what is pending, and these: the last token's logits."""
        self._append(tokens)
        feed = Feed(self.state, self._pending, self._routed or None)
        yield feed
        logits = feed.logits
        self.forward_seconds += feed.seconds
        self._pending, self._routed = [], []
        return logits

    def answer_room(self, sampling: Sampling) -> int:
        """Tokens that the answer may have."""
        return max(0, min(sampling.max_tokens, self._room - self.state.length))

    def _append(self, tokens: Sequence[int], routed: Sequence[int] = ()) -> None:
        if not self._retriever:
            self._routed += [len(self._pending) + at for at in routed]
        self._pending += tokens

    def _route(self) -> Generator[Step, None, None]:
        if self._retriever:
            words = " ".join([self.question, *(s.document.text for s in self.sources)])
            answers = self._retriever.retrieve(words, self.state.k + len(self.sources))
            self._found = [Found(handle, score, 0, -1) for handle, score in answers]
            return
        self._logits = yield from self.feed()
        self._found = ranked(self.state.routes)

    def _name(self, fresh: Sequence[Found], most: int) -> Generator[Step, None, list[Found]]:
        """Let the model name documents; where only one token may come, it is not asked."""
        by_number: dict[int, list[Found]] = defaultdict(list)
        for found in fresh:
            by_number[number_of(self.view.document_id(found.handle))].append(found)
        names = {number: self.prompts.reference(number) for number in by_number}
        choice = Choice(names, self.prompts.reference_end, self.prompts.end_of_retrieve, most)
        greedy = Sampler(Sampling())
        while not choice.done:
            allowed = choice.allowed()
            if len(allowed) > 1:
                logits = (yield from self.feed()) if self._pending else self._logits
                token, _ = greedy.pick(logits, allowed)
            else:
                token = allowed[0]
            choice.take(token)
            self._append([token])
        self._settled = choice.ended
        return [found for number in choice.chosen for found in by_number[number]]

    def _read(self, found: Found, hop: int) -> bool:
        """Append a document's original text, or as much of it as there is room for."""
        room = self._text_room()
        if room < _LEAST_TEXT:
            return False
        document = self.view.texts([found.handle])[0]
        piece = tokenize(self.prompts.tokenizer, [document.text])[0]
        start, end = 0, len(document.text)
        if len(piece.ids) > room:
            first, last = window_around(piece, *chunk_span(self.view, found), size=room)
            start, end = piece.spans[first][0], piece.spans[last - 1][1]
        title = f"{document.title}\n" if document.title else ""
        number = number_of(self.view.document_id(found.handle))
        tokens = self.prompts.original(number, title + document.text[start:end])
        self.read_tokens += len(tokens)
        self._append(tokens, range(len(tokens)))
        self.sources.append(Source(found, document, hop, start, end))
        return True

    def _text_room(self) -> int:
        used = self.state.length + len(self._pending)
        return min(self.budget.tokens(self.read_tokens), (self._room - used) * 3 // 4)


def chunk_span(view: MemoryView, found: Found) -> tuple[int, int]:
    """The characters of a found document's best chunk."""
    spans = view.spans(found.handle)
    start, end = (int(x) for x in spans[min(max(found.chunk, 0), len(spans) - 1)])
    return start, end
