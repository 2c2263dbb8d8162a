"""The identity fence: which model answers for which bank, and how banks come to the loaded one.

Blocks are read by nobody but the model that made them. A bank whose blocks the previous model made
is served by it, if it is loaded, until all are made anew; a bank of any other model is closed to
questions until then. Knows models and the store; nothing of questions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from memsvc_router.api import MemoryModel
from memsvc_storage import Bank, OperationNotFound

from memsvc.engine.errors import BankMoved, BankReencoding, EngineError
from memsvc.engine.lane import EncoderLane
from memsvc.engine.reencoder import Reencoder
from memsvc.engine.side import Facts, Side, Workshop
from memsvc.engine.types import Serving, ServingState

_LOG = logging.getLogger("memsvc.engine")
_RETIRE_SECONDS = 30.0  # for the previous model's last questions; later ones are asked again


class Fence:
    """One per engine. `current` serves all banks but those on their way to it."""

    def __init__(
        self,
        shop: Workshop,
        current: Side,
        load_previous: Callable[[], MemoryModel] | None,
        on_moved: Callable[[str], None],
    ) -> None:
        """`on_moved` hears of each bank whose old blocks are dead by now."""
        self._shop = shop
        self._current = current
        self._load_previous = load_previous
        self._on_moved = on_moved
        self._previous: Side | None = None
        self._moving: list[str] = []  # served by the previous model
        self._closed: dict[str, str] = {}  # operations by bank
        self._begun = False

    # ---- life
    async def begin(self) -> None:
        """Decide for every bank, once the current model is loaded."""
        current = self._current.digest
        loop = asyncio.get_running_loop()
        store = self._shop.store
        made_by = await loop.run_in_executor(self._shop.io, store.identities)
        if self._load_previous is not None and made_by - {current}:
            await self._load(self._load_previous)
        served = self._previous.digest if self._previous is not None else None
        fenced = await loop.run_in_executor(self._shop.io, store.fence, current, served)
        self._moving = [one.bank for one in fenced if one.serving]
        self._closed = {one.bank: one.operation_id for one in fenced if not one.serving}
        for banks, how in ((self._moving, "go on serving"), (list(self._closed), "are closed")):
            if banks:
                _LOG.warning("%d banks are encoded anew and %s meanwhile", len(banks), how)
        self._shop.counters.add("banks_reencoded", len(fenced))
        for bank in set(await loop.run_in_executor(self._shop.io, store.outdated)):
            if bank not in self._moving:
                self._on_moved(bank)
        self._begun = True

    async def _load(self, load_model: Callable[[], MemoryModel]) -> None:
        self._previous = Side(self._shop, load_model)
        try:
            await self._previous.loaded()
        except EngineError:
            raise
        except Exception:
            _LOG.error("the previous model could not be loaded: %s", self._previous.owner.error)
            self._previous = None

    async def run(self) -> None:
        """Bring the banks that the previous model serves to the current one, then retire it."""
        previous, facts = self._previous, self._current.facts
        if previous is None:
            return
        assert facts is not None, "the fence has begun"
        assert previous.facts is not None, "a model that serves is loaded"
        async with asyncio.TaskGroup() as tasks:
            serving = previous.lane.run(previous.facts.identity, new_banks=False)
            lane = tasks.create_task(serving)
            await self._bring_all(previous.lane, facts)
            lane.cancel()
        if not await previous.stop(_RETIRE_SECONDS):
            _LOG.warning("the previous model is still busy: left behind")
        self._previous = None

    async def _bring_all(self, lane: EncoderLane, facts: Facts) -> None:
        reencoder = Reencoder(self._shop, self._current.encoder, facts.identity)
        for bank in self._moving:
            await reencoder.bring(bank, lane)
            self._on_moved(bank)
            self._current.lane.notify()  # what waits in the bank is for the current model now

    async def stop(self, grace_seconds: float) -> bool:
        """Let the previous model's questions end. False if it is busy even after that."""
        return self._previous is None or await self._previous.stop(grace_seconds)

    # ---- state
    @property
    def lanes(self) -> list[EncoderLane]:
        """The lanes at work."""
        sides = [self._current] if self._previous is None else [self._current, self._previous]
        return [side.lane for side in sides]

    def side(self, digest: str) -> Side:
        """Whose blocks these are. Raises BankMoved if that model has just been retired."""
        for side in (self._current, self._previous):
            if side is not None and side.digest == digest:
                return side
        raise BankMoved("the bank has just come to be served by another model")

    async def check(self, bank: str) -> None:
        """Raises BankReencoding while the bank is closed to questions."""
        if bank not in self._closed:
            return
        loop = asyncio.get_running_loop()
        store = self._shop.store
        with suppress(OperationNotFound):  # long ended, and forgotten
            operation = await loop.run_in_executor(None, store.get_operation, self._closed[bank])
            if not operation.finished:
                raise BankReencoding(bank, operation)
        await self._current.lane.settled()
        self._closed.pop(bank, None)

    def serving(self, bank: Bank) -> Serving:
        """What answers the bank's questions now. Blocking. Raises BankNotFound."""
        store = self._shop.store
        made_by = store.identity(bank.identity) if bank.identity is not None else None
        operation = store.reencoding(bank.name)
        state: ServingState | None = "SERVING"
        if operation is not None:
            here = bank.identity == self._current.digest
            state = "REENCODING_UNAVAILABLE" if here else "REENCODING_SERVING_PREVIOUS"
        return Serving(state if self._begun else None, made_by, operation)
