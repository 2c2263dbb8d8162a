"""The engine: the banks' life behind one async facade. Knows stores and models, no wire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from memsvc_router.api import AskOptions, Event, Identity, MemoryModel
from memsvc_storage import BankNotFound, Operation, Store

from memsvc.engine import questions
from memsvc.engine.banks import Banks
from memsvc.engine.context import build_context
from memsvc.engine.counters import Counters
from memsvc.engine.errors import EncodingUnhealthy, EngineError, EngineStopped, ModelNotReady
from memsvc.engine.lane import EncoderLane
from memsvc.engine.owner import ModelOwner
from memsvc.engine.pulse import Pulse
from memsvc.engine.questions import Question
from memsvc.engine.sweeper import Sweeper
from memsvc.engine.types import (
    Context,
    DocumentFilter,
    EngineConfig,
    Health,
    ModelState,
    RecallWithTexts,
    RetrieverFactory,
)
from memsvc.engine.verbs import StoreVerbs
from memsvc.engine.view import BankView

_LOG = logging.getLogger("memsvc.engine")
_WARM_PAGE = 100

T = TypeVar("T")


class Engine(StoreVerbs):
    """All of memsvc without a wire. Made by `start`, used from the event loop that made it."""

    def __init__(self, config: EngineConfig, store: Store, owner: ModelOwner) -> None:
        self._config = config
        self._owner = owner
        self._counters = Counters()
        self._progress = Pulse()
        banks = Banks(store, self._counters, self._on_requeue)
        io = ThreadPoolExecutor(config.io_threads, "memsvc-io")
        super().__init__(store, banks, io, self._on_write)
        # Its own threads: a burst of calls must not hold up encoding, nor encoding the calls.
        self._lane_io = ThreadPoolExecutor(2, "memsvc-lane")
        self._lane = EncoderLane(
            config, store, banks, owner, self._counters, self._lane_io, self._progress.ring
        )
        self._sweeper = Sweeper(config, self)
        self._identity: Identity | None = None
        self._broken = ""
        self._tasks: list[asyncio.Task[None]] = []

    # ---- life
    @classmethod
    async def start(cls, config: EngineConfig, load_model: Callable[[], MemoryModel]) -> Engine:
        """Open the store and return; the model loads in its owner thread meanwhile.

        Raises what `Store.open` raises (StoreLocked, SchemaTooNew).
        """
        loop = asyncio.get_running_loop()
        store = await loop.run_in_executor(None, Store.open, config.data_dir, config.database_url)
        limits = (config.max_questions, config.encode_patience, config.max_active)
        engine = cls(config, store, ModelOwner(load_model, *limits))
        engine._owner.start()
        engine._spawn(engine._live())
        engine._spawn(engine._sweeper.run())
        return engine

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Refuse new calls, let running questions end (at most `grace_seconds`), close the store.

        Documents that are not encoded yet are encoded at the next start.
        """
        if self._stopping:
            return
        self._stopping = True
        self._progress.ring()
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(None, self._owner.stop, grace_seconds):
            _LOG.warning("the model is still busy after %.1f s: left behind", grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pool in (self._io, self._lane_io):
            await loop.run_in_executor(None, pool.shutdown)
        await loop.run_in_executor(None, self._store.close)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _live(self) -> None:
        """From loading to the last batch: know the model, drop foreign blocks, warm up, encode."""
        try:
            await asyncio.wrap_future(self._owner.loaded)
            identity = await asyncio.wrap_future(self._owner.encode(lambda m: m.identity))
            digest = self._banks.digest = identity.digest
            foreign = await self._in_thread(lambda: len(self._store.fence(digest)))
            if foreign:
                _LOG.warning("%d banks of another model are encoded anew", foreign)
                self._counters.add("banks_foreign", foreign)
            self._identity = identity
            self._progress.ring()
            self._spawn(self._warm())
            await self._lane.run(identity)
        except* EngineError:
            pass
        except* Exception as errors:
            if self.model_state == "READY":
                self._broken = f"the engine broke down: {type(errors.exceptions[0]).__name__}"
                _LOG.error(self._broken, exc_info=errors)
            else:
                _LOG.error("the model could not be loaded: %s", self._owner.error)
            self._progress.ring()

    async def _warm(self) -> None:
        """Load the routing keys of banks before somebody waits for them."""
        key: str | None = None
        warmed = 0
        while warmed < self._config.warm_banks:
            page = await self.list_banks(_WARM_PAGE, key)
            for bank in page.items[: self._config.warm_banks - warmed]:
                self._sweeper.suspects.add(bank.name)
                with suppress(BankNotFound, EngineStopped):  # deleted meanwhile, or no more need
                    await self._live_bank(bank.name)
                warmed += 1
            key = page.next_key
            if key is None:
                return

    # ---- state
    @property
    def model_state(self) -> ModelState:
        if self._owner.state == "READY" and self._identity is None and not self._broken:
            return "LOADING"  # loaded, but blocks of another model may still be in the way
        return self._owner.state

    @property
    def identity(self) -> Identity | None:
        """The loaded model's identity; None until it is READY."""
        return self._identity

    def health(self) -> Health:
        """False while the model loads or failed to, and while encoding keeps failing."""
        if self._stopping:
            return Health(False, "stopping")
        if self.model_state == "LOADING":
            return Health(False, "the model is loading")
        if self.model_state == "FAILED":
            return Health(False, f"the model could not be loaded: {self._owner.error}")
        if self._broken:
            return Health(False, self._broken)
        if self._lane.failures >= self._config.unhealthy_after:
            return Health(
                False, f"{self._lane.last_failure} ({self._lane.failures} times in a row)"
            )
        return Health(True)

    def counters(self) -> dict[str, int]:
        """Monotonic counts since start, by name (for metrics)."""
        return self._counters.snapshot()

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Return once the model is READY. Raises ModelNotReady if it FAILED or time ran out."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    turn = self._progress.turn
                    if self.model_state != "LOADING":
                        break
                    await turn.wait()
        except TimeoutError:
            raise ModelNotReady(f"the model is still loading after {timeout} s") from None
        if self.model_state == "FAILED":
            raise ModelNotReady(self.health().reason)

    async def wait_operation(self, operation_id: str, timeout: float | None = None) -> Operation:
        """The operation once it has ended, or as it stands after `timeout` seconds.

        Raises EncodingUnhealthy if time ran out while encoding keeps failing.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            turn = self._progress.turn
            operation = await self.get_operation(operation_id)
            left = None if deadline is None else deadline - time.monotonic()
            if operation.finished:
                await self._lane.settled()
                return operation
            if left is not None and left <= 0:
                health = self.health()
                if not health.serving and self.model_state != "LOADING":
                    raise EncodingUnhealthy(health.reason)
                return operation
            try:
                async with asyncio.timeout(left):
                    await turn.wait()
            except TimeoutError:
                continue

    async def cancel_operation(self, operation_id: str) -> Operation:
        operation = await super().cancel_operation(operation_id)
        self._progress.ring()
        return operation

    def _on_write(self, bank: str) -> None:
        self._sweeper.suspects.add(bank)
        self._on_requeue()

    def _on_requeue(self) -> None:
        self._lane.notify()
        self._progress.ring()

    # ---- questions
    async def recall(
        self,
        bank: str,
        question: str,
        options: AskOptions | None = None,
        filter: DocumentFilter | None = None,
        retriever: RetrieverFactory | None = None,
        with_texts: bool = False,
    ) -> RecallWithTexts:
        """The documents that a question needs; `with_texts` adds the text of every hit.

        Raises ModelNotReady, Overloaded, BankNotFound, MemoryChanged, ValueError (empty question).
        """
        asked = await self._question(bank, question, options, filter, retriever)
        return await self._run(bank, lambda model: questions.recall(model, asked, with_texts))

    async def ask(
        self,
        bank: str,
        question: str,
        options: AskOptions | None = None,
        filter: DocumentFilter | None = None,
        retriever: RetrieverFactory | None = None,
    ) -> AsyncGenerator[Event, None]:
        """An async generator of events; closing or cancelling it stops the model's work.

        Raises, at the first event or later, what `recall` raises.
        """
        asked = await self._question(bank, question, options, filter, retriever)
        events = questions.ask(self._owner, bank, asked)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def build_context(
        self,
        bank: str,
        query: str,
        max_tokens: int,
        filter: DocumentFilter | None = None,
        options: AskOptions | None = None,
    ) -> Context:
        """Ranked documents as one prompt block of at most `max_tokens` of the model's tokens.

        Raises what `recall` raises, and ValueError unless `max_tokens` is positive.
        """
        asked = await self._question(bank, query, options, filter, None)
        return await self._run(bank, lambda model: build_context(model, asked, max_tokens))

    async def _run(self, bank: str, job: Callable[[MemoryModel], T]) -> T:
        return await asyncio.wrap_future(self._owner.ask(job, bank))

    async def _question(
        self,
        bank: str,
        text: str,
        options: AskOptions | None,
        filter: DocumentFilter | None,
        retriever: RetrieverFactory | None,
    ) -> Question:
        if self._stopping:
            raise EngineStopped("the engine is stopping")
        if self.model_state != "READY":
            raise ModelNotReady(self.health().reason)
        await self._live_bank(bank)
        self._counters.add("questions")
        view = lambda: BankView(self._banks, bank, filter)  # noqa: E731
        return Question(view, text, options or AskOptions(), retriever)

    async def _live_bank(self, bank: str) -> None:
        if self._banks.loaded(bank) is None:
            await self._in_thread(lambda: self._banks.live(bank))
