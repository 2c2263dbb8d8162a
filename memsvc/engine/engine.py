"""The engine: the banks' life behind one async facade. Knows stores and models, no wire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from memsvc_router.api import Identity, MemoryModel
from memsvc_storage import Bank, BankNotFound, Operation, Store

from memsvc.capacity import Estimate, estimate, known_shape, unknown_shape
from memsvc.engine.asking import AskVerbs
from memsvc.engine.banks import Banks
from memsvc.engine.counters import Counters
from memsvc.engine.errors import EncodingUnhealthy, EngineError, EngineStopped, ModelNotReady
from memsvc.engine.fence import Fence
from memsvc.engine.pulse import Pulse
from memsvc.engine.side import Side, Workshop
from memsvc.engine.sweeper import Sweeper
from memsvc.engine.tier import Tier
from memsvc.engine.types import EngineConfig, Health, ModelState, Serving

_LOG = logging.getLogger("memsvc.engine")
_WARM_PAGE = 100

Loader = Callable[[], MemoryModel]


class Engine(AskVerbs):
    """All of memsvc without a wire. Made by `start`, used from the event loop that made it."""

    def __init__(
        self, config: EngineConfig, store: Store, load_model: Loader, load_previous: Loader | None
    ) -> None:
        self._config = config
        self._counters = Counters()
        self._progress = Pulse()
        near = (config.near_bytes, config.pinned_banks, lambda: Tier(config.coarse_chunks))
        banks = Banks(store, self._counters, self._on_requeue, *near)
        io = ThreadPoolExecutor(config.io_threads, "memsvc-io")
        # Its own threads: a burst of calls must not hold up encoding, nor encoding the calls.
        self._lane_io = ThreadPoolExecutor(2, "memsvc-lane")
        shop = Workshop(config, store, banks, self._counters, self._lane_io, self._progress.ring)
        self._current = Side(shop, load_model)
        fence = Fence(shop, self._current, load_previous, self._on_moved)
        super().__init__(store, banks, io, self._on_write, fence, self._counters)
        self._sweeper = Sweeper(config, self)
        self._identity: Identity | None = None
        self._broken = ""
        self._tasks: list[asyncio.Task[None]] = []

    # ---- life
    @classmethod
    async def start(
        cls, config: EngineConfig, load_model: Loader, load_previous: Loader | None = None
    ) -> Engine:
        """Open the store and return; the model loads in its owner thread meanwhile.

        `load_previous` is called if there are blocks of another model: it serves them, if it made
        them, until all are made anew.

        Raises what `Store.open` raises (StoreLocked, SchemaTooNew).
        """
        loop = asyncio.get_running_loop()
        store = await loop.run_in_executor(None, Store.open, config.data_dir, config.database_url)
        engine = cls(config, store, load_model, load_previous)
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
        stopping = [side.stop(grace_seconds) for side in (self._current, self._fence)]
        if not all(await asyncio.gather(*stopping)):
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
        """From loading to the last batch: know the model, fence off others, warm up, encode."""
        try:
            identity = (await self._current.loaded()).identity
            self._banks.digest = identity.digest
            await self._fence.begin()
            self._identity = identity
            self._progress.ring()
            self._spawn(self._warm())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._fence.run())
                tasks.create_task(self._current.lane.run(identity, new_banks=True))
        except* EngineError:
            pass
        except* Exception as errors:
            if self.model_state == "READY":
                self._broken = f"the engine broke down: {type(errors.exceptions[0]).__name__}"
                _LOG.error(self._broken, exc_info=errors)
            else:
                _LOG.error("the model could not be loaded: %s", self._current.owner.error)
            self._progress.ring()

    async def _warm(self) -> None:
        """Load the routing keys of banks before somebody waits for them."""
        for name in self._config.pinned_banks:
            with suppress(BankNotFound, EngineStopped):
                await self._live_bank(name)
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
        if self._current.owner.state == "READY" and self._identity is None and not self._broken:
            return "LOADING"  # loaded, but not yet known which banks it may answer for
        return self._current.owner.state

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
            reason = f"the model could not be loaded: {self._current.owner.error}"
            return Health(False, reason)
        if self._broken:
            return Health(False, self._broken)
        for lane in self._fence.lanes:
            if lane.failures >= self._config.unhealthy_after:
                return Health(False, f"{lane.last_failure} ({lane.failures} times in a row)")
        return Health(True)

    async def estimate(
        self, tokens: int, documents: int | None, like: str | None, k: int | None
    ) -> tuple[Identity, Estimate]:
        """What so much text would cost, and for which model: in so many documents (by default
        one), or shaped as the text of the bank `like`.

        Raises ModelNotReady, BankNotFound, and ValueError where `like` has no block of the model.
        """
        facts = self._current.facts
        if facts is None or self.model_state != "READY":
            raise ModelNotReady(self.health().reason)
        if like is None:
            shape = unknown_shape(facts.footprint, tokens, documents or 1)
        else:
            digest = facts.identity.digest
            sizes = await self._in_thread(lambda: self._store.encoded_sizes(like, digest))
            shape = known_shape(facts.footprint, tokens, *sizes)
        rate = self._current.encoder.rate
        return facts.identity, estimate(facts.footprint, tokens, shape, k or facts.top_k, rate)

    async def serving(self, bank: Bank) -> Serving:
        """What answers the bank's questions, and how far its re-encoding is. Raises
        BankNotFound."""
        return await self._in_thread(lambda: self._fence.serving(bank))

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
                for lane in self._fence.lanes:
                    await lane.settled()
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
        for lane in self._fence.lanes:
            lane.notify()
        self._progress.ring()

    def _on_moved(self, bank: str) -> None:
        self._sweeper.outdated.add(bank)
