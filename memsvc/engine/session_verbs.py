"""The store's verbs on sessions, versions and forgetting as coroutines. Knows no models.

As for documents: what a write deletes has left the live bank before its caller hears of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from memsvc_storage import (
    Appended,
    Forgotten,
    Idempotency,
    NewSession,
    NewTurn,
    Page,
    Quoting,
    Session,
    Turn,
    Version,
)

from memsvc.engine.types import DocumentFilter
from memsvc.engine.verbs import StoreVerbs

_PAGE = 1000  # documents that a filter is asked for at once


class SessionVerbs(StoreVerbs):
    """Sessions, their turns, former versions of documents, and forgetting."""

    # ---- sessions
    async def create_session(
        self, bank: str, new: NewSession, idempotency: Idempotency | None = None
    ) -> Session:
        return await self._in_thread(lambda: self._store.create_session(bank, new, idempotency))

    async def get_session(self, bank: str, session_id: str) -> Session:
        return await self._in_thread(lambda: self._store.get_session(bank, session_id))

    async def list_sessions(
        self, bank: str, limit: int, after_key: str | None = None, agent: str | None = None
    ) -> Page[Session]:
        return await self._in_thread(
            lambda: self._store.list_sessions(bank, limit, after_key, agent)
        )

    async def append_turns(
        self,
        bank: str,
        session_id: str,
        turns: Sequence[NewTurn],
        after: str | None = None,
        idempotency: Idempotency | None = None,
        quoting: Quoting | None = None,
    ) -> Appended:
        return await self._write(
            bank,
            lambda: self._store.append_turns(bank, session_id, turns, after, idempotency, quoting),
        )

    async def list_turns(
        self,
        bank: str,
        session_id: str,
        limit: int,
        after_key: str | None = None,
        newest_first: bool = False,
    ) -> Page[Turn]:
        return await self._in_thread(
            lambda: self._store.list_turns(bank, session_id, limit, after_key, newest_first)
        )

    async def fork_session(
        self,
        bank: str,
        session_id: str,
        turn_id: str,
        new: NewSession,
        idempotency: Idempotency | None = None,
    ) -> Session:
        return await self._in_thread(
            lambda: self._store.fork_session(bank, session_id, turn_id, new, idempotency)
        )

    async def end_session(self, bank: str, session_id: str) -> Session:
        return await self._in_thread(lambda: self._store.end_session(bank, session_id))

    async def delete_session(
        self, bank: str, session_id: str, idempotency: Idempotency | None = None
    ) -> Forgotten:
        return await self.forget_documents(bank, session_id=session_id, idempotency=idempotency)

    async def expired_sessions(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """(bank, session id) of sessions whose time has run out."""
        return await self._in_thread(lambda: self._store.expired_sessions(now, limit))

    # ---- documents
    async def list_versions(
        self, bank: str, document_id: str, limit: int, after_key: str | None = None
    ) -> Page[Version]:
        return await self._in_thread(
            lambda: self._store.list_versions(bank, document_id, limit, after_key)
        )

    async def forget_documents(
        self,
        bank: str,
        document_ids: Sequence[str] | None = None,
        session_id: str | None = None,
        agent: str | None = None,
        filter: DocumentFilter | None = None,
        dry_run: bool = False,
        idempotency: Idempotency | None = None,
    ) -> Forgotten:
        """Delete what exactly one of the selections means; `filter`: the documents that it lets
        through when this begins."""

        def work() -> Forgotten:
            names = document_ids if filter is None else self._let_through(bank, filter)
            result = self._store.forget_documents(
                bank, names, session_id, agent, dry_run, idempotency
            )
            if not dry_run:
                self._gone(bank, result.row_ids)
            return result

        if filter is not None and document_ids is not None:
            raise ValueError("name documents or give a filter, not both")
        return await (self._in_thread(work) if dry_run else self._write(bank, work))

    def _let_through(self, bank: str, filter: DocumentFilter) -> list[str]:
        names: list[str] = []
        key: str | None = None
        while True:
            page = self._store.list_documents(bank, _PAGE, key, predicate=filter)
            names += [document.document_id for document in page.items]
            key = page.next_key
            if key is None:
                return names
