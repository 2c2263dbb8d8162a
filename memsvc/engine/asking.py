"""Questions to banks: which model answers, what it may see, and once more where that has changed.

Knows the fence and live banks; how a question is answered stands in `questions` and `context`.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor
from datetime import datetime
from functools import partial
from typing import TypeVar

from memsvc_router.api import AskOptions, Event, MemoryModel
from memsvc_storage import Store

from memsvc.engine import questions
from memsvc.engine.banks import Banks
from memsvc.engine.context import build_context
from memsvc.engine.counters import Counters
from memsvc.engine.errors import BankMoved, EngineStopped, ModelNotReady
from memsvc.engine.fence import Fence
from memsvc.engine.filtering import both
from memsvc.engine.live import LiveBank
from memsvc.engine.questions import Question
from memsvc.engine.recency import Sight
from memsvc.engine.session_verbs import SessionVerbs
from memsvc.engine.side import Side
from memsvc.engine.types import (
    Context,
    DocumentFilter,
    Health,
    IndexedView,
    ModelState,
    RecallWithTexts,
    Recency,
    RetrieverFactory,
)
from memsvc.engine.view import BankView

T = TypeVar("T")


class AskVerbs(SessionVerbs):
    """Recall, ask and build_context."""

    def __init__(
        self,
        store: Store,
        banks: Banks,
        io: Executor,
        on_write: Callable[[str], None],
        fence: Fence,
        counters: Counters,
    ) -> None:
        super().__init__(store, banks, io, on_write)
        self._fence = fence
        self._asked = counters

    @property
    @abstractmethod
    def model_state(self) -> ModelState: ...

    @abstractmethod
    def health(self) -> Health: ...

    async def recall(
        self,
        bank: str,
        question: str,
        options: AskOptions | None = None,
        filter: DocumentFilter | None = None,
        retriever: RetrieverFactory | None = None,
        with_texts: bool = False,
        as_of: datetime | None = None,
        recency: Recency | None = None,
    ) -> RecallWithTexts:
        """The documents that a question needs; `with_texts` adds the text of every hit.

        Only documents that were known at `as_of` are seen; `recency` weighs them by their age.
        Raises ModelNotReady, Overloaded, BankNotFound, BankReencoding, MemoryChanged, ValueError
        (empty question).
        """
        sight = Sight(filter, as_of, recency)
        begin = partial(self._question, bank, question, options, sight, retriever)
        return await self._answered(
            bank, begin, lambda model, asked: questions.recall(model, asked, with_texts)
        )

    async def ask(
        self,
        bank: str,
        question: str,
        options: AskOptions | None = None,
        filter: DocumentFilter | None = None,
        retriever: RetrieverFactory | None = None,
        as_of: datetime | None = None,
        recency: Recency | None = None,
    ) -> AsyncGenerator[Event, None]:
        """An async generator of events; closing or cancelling it stops the model's work.

        Raises, at the first event or later, what `recall` raises.
        """
        told = False
        sight = Sight(filter, as_of, recency)
        for last in (False, True):
            side, asked = await self._question(bank, question, options, sight, retriever)
            events = questions.ask(side.owner, bank, asked)
            try:
                async for event in events:
                    told = True
                    yield event
                return
            except (BankMoved, EngineStopped):
                if last or told or self._stopping:
                    raise
            finally:
                await events.aclose()

    async def build_context(
        self,
        bank: str,
        query: str,
        max_tokens: int,
        filter: DocumentFilter | None = None,
        options: AskOptions | None = None,
        as_of: datetime | None = None,
        recency: Recency | None = None,
    ) -> Context:
        """Ranked documents as one prompt block of at most `max_tokens` of the model's tokens.

        Raises what `recall` raises, and ValueError unless `max_tokens` is positive.
        """
        job = partial(build_context, max_tokens=max_tokens)
        return await self.consult(bank, query, job, options, Sight(filter, as_of, recency))

    async def consult(
        self,
        bank: str,
        query: str,
        job: Callable[[MemoryModel, Question], T],
        options: AskOptions | None = None,
        sight: Sight = Sight(),
    ) -> T:
        """Run `job` where the model is, over a question to a bank.

        Raises what `recall` raises, and what `job` raises.
        """
        return await self._answered(
            bank, partial(self._question, bank, query, options, sight, None), job
        )

    async def look(self, bank: str, job: Callable[[IndexedView], T]) -> T:
        """Run `job` in a worker thread over a view of all that questions may see, anew where
        documents vanish under it. For what should be done before a question waits for it.

        Raises what `recall` raises, and what `job` raises.
        """
        _, view = await self._views(bank, Sight(), exact=True)
        return await self._in_thread(lambda: Question(view, "", AskOptions()).attempts(job))

    async def _answered(
        self,
        bank: str,
        begin: Callable[[], Awaitable[tuple[Side, Question]]],
        job: Callable[[MemoryModel, Question], T],
    ) -> T:
        """Asked once more if another model has come to serve the bank meanwhile."""
        try:
            return await _run(bank, *await begin(), job)
        except (BankMoved, EngineStopped):
            if self._stopping:
                raise
        return await _run(bank, *await begin(), job)

    async def _question(
        self,
        bank: str,
        text: str,
        options: AskOptions | None,
        sight: Sight,
        retriever: RetrieverFactory | None,
    ) -> tuple[Side, Question]:
        """The question, and who answers it."""
        asked = options or AskOptions()
        side, view = await self._views(bank, sight, asked.exact)
        self._asked.add("questions")
        return side, Question(view, text, asked, retriever)

    async def _views(
        self, bank: str, sight: Sight, exact: bool
    ) -> tuple[Side, Callable[[DocumentFilter | None], BankView]]:
        """Who answers the bank's questions, and what makes a view for each attempt."""
        if self._stopping:
            raise EngineStopped("the engine is stopping")
        if self.model_state != "READY":
            raise ModelNotReady(self.health().reason)
        await self._fence.check(bank)
        digest = (await self._live_bank(bank)).digest
        side = self._fence.side(digest)
        allows, prior = sight.allows, sight.prior()

        def view(also: DocumentFilter | None) -> BankView:
            made = BankView(self._banks, bank, both(allows, also), exact, prior)
            # Looked at after the view was made: banks never come back to a former model.
            if self._banks.live(bank).digest != digest:
                raise BankMoved("another model has just come to serve the bank")
            return made

        return side, view

    async def _live_bank(self, bank: str) -> LiveBank:
        loaded = self._banks.loaded(bank)
        return (
            loaded if loaded is not None else await self._in_thread(lambda: self._banks.live(bank))
        )


async def _run(
    bank: str, side: Side, question: Question, job: Callable[[MemoryModel, Question], T]
) -> T:
    return await asyncio.wrap_future(side.owner.ask(lambda model: job(model, question), bank))
