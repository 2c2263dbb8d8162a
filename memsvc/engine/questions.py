"""Questions as jobs of the owner thread: recall, ask and its stream of events.

A question whose documents vanish under it starts over with a view without them, so that neither a
deleted, nor a changed, nor a corrupt document is answered from. Knows nothing of disks or the wire.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from memsvc_router.api import AskOptions, Event, Hop, MemoryModel

from memsvc.engine.banks import DocumentsLost
from memsvc.engine.errors import MemoryChanged
from memsvc.engine.owner import ModelOwner
from memsvc.engine.types import RecallWithTexts, RetrieverFactory
from memsvc.engine.view import BankView

_ATTEMPTS = 10  # each one is rid of at least one document, and few vanish during one question

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """One question to one bank. `view` makes what it may see, anew for each attempt."""

    view: Callable[[], BankView]
    text: str
    options: AskOptions
    retriever: RetrieverFactory | None = None

    def attempts(self, attempt: Callable[[BankView], T]) -> T:
        """Run until no document vanished meanwhile. Raises MemoryChanged if they keep vanishing."""
        for _ in range(_ATTEMPTS):
            try:
                return attempt(self.view())
            except DocumentsLost:
                continue
        raise MemoryChanged("documents kept changing while the question was answered")


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

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.abandoned = threading.Event()

    def put(self, event: Event | None) -> None:
        self._loop.call_soon_threadsafe(self.events.put_nowait, event)

    def tell(self, model: MemoryModel, question: Question) -> None:
        """Answer, event by event, until the end or until nobody listens."""
        told = 0
        answering = False

        def attempt(view: BankView) -> None:
            nonlocal told, answering
            retriever = question.retriever(view) if question.retriever else None
            events = model.ask(view, question.text, question.options, retriever)
            try:
                for number, event in enumerate(events):
                    if self.abandoned.is_set():
                        return
                    if number >= told:  # a later attempt does not tell the same hops again
                        self.put(event)
                        told += 1
                        answering = answering or not isinstance(event, Hop)
            except DocumentsLost:
                if answering:
                    raise MemoryChanged("a document of the answer has just changed") from None
                raise
            finally:
                close = getattr(events, "close", None)
                if close is not None:
                    close()

        question.attempts(attempt)


async def ask(owner: ModelOwner, question: Question) -> AsyncGenerator[Event, None]:
    """Events as they happen; the model's work stops at its next event once nobody listens."""
    stream = _Stream()
    future: Future[None] = owner.ask(lambda model: stream.tell(model, question))
    future.add_done_callback(lambda _: stream.put(None))
    try:
        while (event := await stream.events.get()) is not None:
            yield event
        future.result()
    finally:
        stream.abandoned.set()
        future.cancel()
