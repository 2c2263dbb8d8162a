"""One model at work: its owner thread, its encoder and the lane of what it encodes.

Knows how these fit together; nothing of which banks it serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from memsvc_router.api import Footprint, Identity, MemoryModel
from memsvc_storage import Store

from memsvc.engine.banks import Banks
from memsvc.engine.counters import Counters
from memsvc.engine.encoding import Encoder
from memsvc.engine.lane import EncoderLane
from memsvc.engine.owner import ModelOwner, Steps
from memsvc.engine.types import EngineConfig


@dataclass(frozen=True)
class Workshop:
    """What every model works with."""

    config: EngineConfig
    store: Store
    banks: Banks
    counters: Counters
    io: Executor
    on_progress: Callable[[], None]


@dataclass(frozen=True)
class Facts:
    """What a loaded model says of itself."""

    identity: Identity
    footprint: Footprint
    top_k: int


def _facts(model: MemoryModel) -> Steps[Facts]:
    yield from ()
    return Facts(model.identity, model.footprint, model.top_k)


class Side:
    """Starts loading the model at once."""

    def __init__(self, shop: Workshop, load_model: Callable[[], MemoryModel]) -> None:
        config = shop.config
        self.owner = ModelOwner(
            load_model, config.max_questions, config.encode_patience, config.max_active
        )
        self.encoder = Encoder(self.owner)
        self.lane = EncoderLane(
            config, shop.store, shop.banks, self.encoder, shop.counters, shop.io, shop.on_progress
        )
        self.facts: Facts | None = None
        self.owner.start()

    @property
    def digest(self) -> str:
        """The model's identity; "" until it is loaded."""
        return self.facts.identity.digest if self.facts is not None else ""

    async def loaded(self) -> Facts:
        """The model's facts once it is loaded. Raises what loading raised, and EngineStopped."""
        await asyncio.wrap_future(self.owner.loaded)
        facts = await asyncio.wrap_future(self.owner.encode(_facts))
        self.facts = facts
        return facts

    async def stop(self, grace_seconds: float) -> bool:
        """Let questions end. False if the model is busy even after that."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self.owner.stop, grace_seconds)
