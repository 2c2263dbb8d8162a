"""Questions as work of the owner thread: recall, ask and its stream of events.

A question whose documents vanish under it starts over with a view without them, so that neither a
deleted, nor a changed, nor a corrupt document is answered from. Knows nothing of disks or the wire.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from memsvc_router.api import AskOptions, Event, Hop, MemoryModel, Step

from memsvc.engine.banks import DocumentsLost
from memsvc.engine.batching import Telling
from memsvc.engine.errors import MemoryChanged
from memsvc.engine.owner import ModelOwner
from memsvc.engine.types import DocumentFilter, RecallWithTexts, RetrieverFactory
from memsvc.engine.view import BankView

_ATTEMPTS = 10  # each one is rid of at least one document, and few vanish during one question
_LEAST_SECONDS = 1e-3  # of a budget that is used up: the answer is given from what was read

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """One question to one bank. `view` makes what it may see, anew for each attempt; what `also`
    does not let through is left out, too."""

    view: Callable[[DocumentFilter | None], BankView]
    text: str
    asked: AskOptions
    retriever: RetrieverFactory | None = None
    since: float = field(default_factory=time.monotonic)
    also: DocumentFilter | None = None

    @property
    def options(self) -> AskOptions:
        """What was asked for, less the seconds that are gone: waiting in line counts."""
        if self.asked.max_seconds is None:
            return self.asked
        left = self.asked.max_seconds - (time.monotonic() - self.since)
        return replace(self.asked, max_seconds=max(left, _LEAST_SECONDS))

    def views(self) -> Iterator[BankView]:
        """A view for each attempt. Raises MemoryChanged where documents keep vanishing."""
        for _ in range(_ATTEMPTS):
            yield self.view(self.also)
        raise MemoryChanged("documents kept changing while the question was answered")

    def attempts(self, attempt: Callable[[BankView], T]) -> T:
        """Run until no document vanished meanwhile. Raises MemoryChanged if they keep vanishing."""
        for view in self.views():
            with suppress(DocumentsLost):
                return attempt(view)
        raise AssertionError("views never end")


def recall(model: MemoryModel, question: Question, with_texts: bool) -> RecallWithTexts:
    """The documents that a question needs, and on demand their texts."""

    def attempt(view: BankView) -> RecallWithTexts:
        retriever = question.retriever(view) if question.retriever else None
        found = model.recall(view, question.text, question.options, retriever)
        handles = [view.handle_of(hit.document_id) for hit in found.hits] if with_texts else []
        texts = view.texts([handle for handle in handles if handle is not None])
        return RecallWithTexts(found.hits, found.hops, found.usage, tuple(texts))

    return question.attempts(attempt)


class _Stream:
    """Carries events from the owner thread to the event loop that asked."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._told = 0
        self._answering = False

    def put(self, event: Event | None) -> None:
        self._loop.call_soon_threadsafe(self.events.put_nowait, event)

    def tell(self, model: MemoryModel) -> Telling:
        """Answer, event by event, with the steps that it needs in between."""
        for view in self._question.views():
            try:
                yield from self._attempt(model, view)
                return
            except DocumentsLost:
                if self._answering:
                    raise MemoryChanged("a document of the answer has just changed") from None

    def _attempt(self, model: MemoryModel, view: BankView) -> Telling:
        question = self._question
        retriever = question.retriever(view) if question.retriever else None
        events = model.ask(view, question.text, question.options, retriever)
        number = 0
        try:
            for event in events:
                if isinstance(event, Step):
                    yield event
                    continue
                number += 1
                if number > self._told:  # a later attempt does not tell the same hops again
                    self.put(event)
                    self._told = number
                    self._answering = self._answering or not isinstance(event, Hop)
                yield None
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()


async def ask(owner: ModelOwner, bank: str, question: Question) -> AsyncGenerator[Event, None]:
    """Events as they happen; the model's work stops at its next step once nobody listens."""
    stream = _Stream(question)
    answer = owner.stream(stream.tell, bank)
    answer.future.add_done_callback(lambda _: stream.put(None))
    try:
        while (event := await stream.events.get()) is not None:
            yield event
        answer.future.result()
    finally:
        answer.abandon()
