"""The engine: the banks' life behind one async facade. Knows stores and models, no wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from memsvc_router.api import AskOptions, Event, Identity, MemoryModel

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


class Engine(StoreVerbs):
    """All of memsvc without a wire. Use from one event loop; see `StoreVerbs` for the writes."""

    @classmethod
    async def start(cls, config: EngineConfig, load_model: Callable[[], MemoryModel]) -> Engine:
        """Open the store and return; the model loads in its owner thread meanwhile."""
        raise NotImplementedError

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Refuse new questions, let running ones end (at most `grace_seconds`), close the store."""
        raise NotImplementedError

    @property
    def model_state(self) -> ModelState:
        raise NotImplementedError

    @property
    def identity(self) -> Identity | None:
        """The loaded model's identity; None until it is READY."""
        raise NotImplementedError

    def health(self) -> Health:
        raise NotImplementedError

    def counters(self) -> dict[str, int]:
        """Monotonic counts since start, by name (for metrics)."""
        raise NotImplementedError

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Return once the model is READY. Raises ModelNotReady if it FAILED or time ran out."""
        raise NotImplementedError

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

        Raises ModelNotReady, Overloaded, BankNotFound, ValueError (empty question).
        """
        raise NotImplementedError

    async def ask(
        self,
        bank: str,
        question: str,
        options: AskOptions | None = None,
        filter: DocumentFilter | None = None,
        retriever: RetrieverFactory | None = None,
    ) -> AsyncIterator[Event]:
        """An async generator of events; closing or cancelling it stops the model's work."""
        raise NotImplementedError
        yield

    async def build_context(
        self,
        bank: str,
        query: str,
        max_tokens: int,
        filter: DocumentFilter | None = None,
        options: AskOptions | None = None,
    ) -> Context:
        """Ranked documents as one prompt block of at most `max_tokens` of the model's tokens."""
        raise NotImplementedError
