"""A bank that grows to given lengths, and documents that come and go in it for one question.

Knows engines and passages; nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

from memsvc_router.api import MemoryModel

from memsvc.bench.banks import Progress, add_passages, temporary_engine
from memsvc.bench.corpus import Passage
from memsvc.engine import Engine

Count = Callable[[str], int]
_BATCH_TOKENS = 100_000  # added at once


class GrowingBank:
    """One bank and the passages that it will still take. `tokens`: the model's, of what it holds;
    `held`: its passages' ids, in order."""

    def __init__(
        self, engine: Engine, name: str, passages: Iterator[Passage], count: Count
    ) -> None:
        self._engine = engine
        self.name = name
        self._passages = passages
        self._count = count
        self._next: Passage | None = None
        self.tokens = 0
        self.held: list[str] = []

    async def grow(self, tokens: int, progress: Progress) -> bool:
        """Take passages in until one more would be more than `tokens`. Returns whether there were
        enough of them. Raises InputError."""
        if not self.held:
            await self._engine.create_bank(self.name)
        began = self.tokens
        batch: list[Passage] = []
        due = self.tokens + _BATCH_TOKENS
        while (passage := self._next or next(self._passages, None)) is not None:
            cost = self._count(f"{passage.title} {passage.text}")
            self._next = passage
            if self.tokens + cost > tokens:
                break
            self._next = None
            self.tokens += cost
            batch.append(passage)
            if self.tokens >= due:
                await self._add(batch, tokens, began, progress)
                batch, due = [], self.tokens + _BATCH_TOKENS
        await self._add(batch, tokens, began, progress)
        return self._next is not None

    async def _add(
        self, batch: Sequence[Passage], tokens: int, began: int, progress: Progress
    ) -> None:
        if not batch:
            return
        await add_passages(self._engine, self.name, batch, lambda *_: None)
        self.held += [passage.id for passage in batch]
        progress(f"{self.name} to {tokens:,}", self.tokens - began, max(1, tokens - began))

    @asynccontextmanager
    async def holding(self, passages: Sequence[Passage]) -> AsyncIterator[None]:
        """Some more passages for a while. Raises InputError."""
        if passages:
            await add_passages(self._engine, self.name, passages, lambda *_: None)
        try:
            yield
        finally:
            for passage in passages:
                await self._engine.delete_document(self.name, passage.id)


@asynccontextmanager
async def counting_engine(
    load_model: Callable[[], MemoryModel],
) -> AsyncIterator[tuple[Engine, Count]]:
    """A temporary engine, and its model's count of tokens (not to be used while it is asked or
    encodes)."""
    models: list[MemoryModel] = []

    def load() -> MemoryModel:
        models.append(load_model())
        return models[0]

    async with temporary_engine(load) as engine:
        yield engine, models[0].count_tokens
