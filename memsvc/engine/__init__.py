"""The engine: owner thread, encoder lane, live banks. The service's only way to memory."""

from __future__ import annotations

from memsvc_storage import BankNotFound

from memsvc.engine.engine import Engine
from memsvc.engine.errors import (
    BankMoved,
    BankReencoding,
    EncodingUnhealthy,
    EngineError,
    EngineStopped,
    MemoryChanged,
    ModelNotReady,
    Overloaded,
)
from memsvc.engine.filtering import Keyed, both
from memsvc.engine.recency import Sight, happened
from memsvc.engine.tier import Routing
from memsvc.engine.types import (
    Context,
    DocumentFilter,
    EngineConfig,
    Health,
    IndexedView,
    ModelState,
    RecallWithTexts,
    Recency,
    RetrieverFactory,
    Serving,
    ServingState,
    ViewRows,
)

__all__ = [
    "BankMoved",
    "BankNotFound",
    "BankReencoding",
    "Context",
    "DocumentFilter",
    "EncodingUnhealthy",
    "Engine",
    "EngineConfig",
    "EngineError",
    "EngineStopped",
    "Health",
    "IndexedView",
    "Keyed",
    "MemoryChanged",
    "ModelNotReady",
    "ModelState",
    "Overloaded",
    "RecallWithTexts",
    "Recency",
    "RetrieverFactory",
    "Routing",
    "Serving",
    "ServingState",
    "Sight",
    "ViewRows",
    "both",
    "happened",
]
