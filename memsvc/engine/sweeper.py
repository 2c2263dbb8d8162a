"""The sweeper: expired sessions and documents are deleted, mostly dead banks compacted, old
requests forgotten, large banks given a faster way of routing.

Knows the engine's verbs only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from memsvc_storage import (
    BankNotFound,
    BankStats,
    CompactReport,
    Document,
    DocumentNotFound,
    Forgotten,
    SessionNotFound,
)

from memsvc.engine.errors import EngineStopped
from memsvc.engine.types import EngineConfig

_LOG = logging.getLogger("memsvc.engine")
_DELETE_AT_ONCE = 256


class _Verbs(Protocol):
    async def expired_sessions(self, now: datetime, limit: int) -> list[tuple[str, str]]: ...
    async def delete_session(self, bank: str, session_id: str) -> Forgotten: ...
    async def expired(self, now: datetime, limit: int) -> list[tuple[str, str]]: ...
    async def delete_document(self, bank: str, document_id: str) -> Document: ...
    async def prune(self, before: datetime) -> int: ...
    async def stats(self, bank: str) -> BankStats: ...
    async def compact(self, bank: str, min_dead_fraction: float) -> CompactReport: ...
    async def tend_routing(self) -> None: ...


class Sweeper:
    """Runs until cancelled. `suspects` are banks that may have dead blocks to give back,
    `outdated` such that have whole files of them, whatever their share."""

    def __init__(self, config: EngineConfig, verbs: _Verbs) -> None:
        self._config = config
        self._verbs = verbs
        self._next_compaction = time.monotonic() + config.compact_seconds
        self.suspects: set[str] = set()
        self.outdated: set[str] = set()

    async def run(self) -> None:
        while True:
            try:
                await self._delete_expired_sessions()
                await self._delete_expired()
                if time.monotonic() >= self._next_compaction:
                    self._next_compaction = time.monotonic() + self._config.compact_seconds
                    await self._compact_suspects()
                    kept = timedelta(days=self._config.remember_days)
                    await self._verbs.prune(datetime.now(UTC) - kept)
                await self._verbs.tend_routing()  # last: it may take seconds
            except EngineStopped:
                return
            except Exception as error:
                _LOG.error("sweeping failed and is tried again: %s", type(error).__name__)
            await asyncio.sleep(self._config.sweep_seconds)

    async def _delete_expired_sessions(self) -> None:
        """Before documents: a session's turns expire with it, and go at once this way."""
        while expired := await self._verbs.expired_sessions(datetime.now(UTC), _DELETE_AT_ONCE):
            for bank, session_id in expired:
                try:
                    await self._verbs.delete_session(bank, session_id)
                except (BankNotFound, SessionNotFound):
                    continue  # somebody else was faster

    async def _delete_expired(self) -> None:
        while expired := await self._verbs.expired(datetime.now(UTC), _DELETE_AT_ONCE):
            for bank, document_id in expired:
                try:
                    await self._verbs.delete_document(bank, document_id)
                except (BankNotFound, DocumentNotFound):
                    continue  # somebody else was faster

    async def _compact_suspects(self) -> None:
        suspects, self.suspects = self.suspects | self.outdated, set()
        outdated, self.outdated = self.outdated, set()
        for bank in suspects:
            try:
                dead = (await self._verbs.stats(bank)).dead_fraction
                if dead > self._config.compact_dead_fraction:
                    await self._verbs.compact(bank, 0.0)
                elif bank in outdated:
                    await self._verbs.compact(bank, 1.0)
            except BankNotFound:
                continue
