"""The store's verbs as coroutines: each runs in a worker thread, and a write has reached the live
bank before its caller hears of it. Knows no models.

All raise what `memsvc_storage.Store` raises, and EngineStopped. A cancelled caller does not undo a
write: what began in a thread runs to its end, live bank included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime
from typing import TypeVar

from memsvc_storage import (
    UNSET,
    AddResult,
    Bank,
    BankStats,
    CompactReport,
    Document,
    DocumentChanges,
    Feedback,
    Idempotency,
    NewDocument,
    NewFeedback,
    Operation,
    OperationState,
    Page,
    Scalar,
    Store,
    Unset,
    VerifyReport,
)

from memsvc.engine.banks import Banks
from memsvc.engine.errors import EngineStopped
from memsvc.engine.tier import Routing

T = TypeVar("T")


class StoreVerbs:
    """Banks, documents, feedback and operations."""

    def __init__(
        self, store: Store, banks: Banks, io: Executor, on_write: Callable[[str], None]
    ) -> None:
        """`on_write` hears the bank of every write, in a worker thread."""
        self._store = store
        self._banks = banks
        self._io = io
        self._on_write = on_write
        self._stopping = False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._stopping:
            raise EngineStopped("the engine is stopping")
        return await asyncio.get_running_loop().run_in_executor(self._io, work)

    async def _write(self, bank: str, work: Callable[[], T]) -> T:
        def write() -> T:
            try:
                return work()
            finally:
                self._on_write(bank)

        return await self._in_thread(write)

    # ---- banks
    async def create_bank(
        self,
        name: str,
        display_name: str = "",
        metadata: Mapping[str, Scalar] | None = None,
        quota_bytes: int | None = None,
        idempotency: Idempotency | None = None,
    ) -> Bank:
        return await self._in_thread(
            lambda: self._store.create_bank(name, display_name, metadata, quota_bytes, idempotency)
        )

    async def get_bank(self, name: str) -> Bank:
        return await self._in_thread(lambda: self._store.get_bank(name))

    async def list_banks(self, limit: int, after_key: str | None = None) -> Page[Bank]:
        return await self._in_thread(lambda: self._store.list_banks(limit, after_key))

    async def update_bank(
        self,
        name: str,
        *,
        display_name: str | Unset = UNSET,
        metadata: Mapping[str, Scalar] | Unset = UNSET,
        quota_bytes: int | Unset | None = UNSET,
        etag: str | None = None,
    ) -> Bank:
        return await self._in_thread(
            lambda: self._store.update_bank(
                name,
                display_name=display_name,
                metadata=metadata,
                quota_bytes=quota_bytes,
                etag=etag,
            )
        )

    async def delete_bank(self, name: str, etag: str | None = None) -> None:
        def work() -> None:
            self._store.delete_bank(name, etag)
            self._banks.drop(name)

        await self._write(name, work)

    async def stats(self, bank: str) -> BankStats:
        return await self._in_thread(lambda: self._store.stats(bank))

    async def tend_routing(self) -> None:
        """Let open banks find out how they are best routed over."""
        await self._in_thread(self._banks.tend)

    def routing(self, bank: str) -> Routing | None:
        """How questions to the bank are routed; None while it is not open."""
        live = self._banks.loaded(bank)
        return live.tier.told if live is not None else None

    async def verify(self, bank: str) -> VerifyReport:
        """Read every block; corrupt and missing ones are queued to be encoded anew."""

        def work() -> VerifyReport:
            report = self._store.verify(bank)
            damaged = [*report.corrupt, *report.missing]
            if damaged:
                self._banks.requeue(bank, damaged, "verification")
            return report

        return await self._in_thread(work)

    async def compact(self, bank: str, min_dead_fraction: float = 0.0) -> CompactReport:
        """Questions go on meanwhile."""

        def work() -> CompactReport:
            report = self._store.compact(bank, min_dead_fraction)
            self._banks.moved(bank)
            self._store.release_retired()
            return report

        return await self._in_thread(work)

    # ---- documents
    async def add_documents(
        self, bank: str, docs: Sequence[NewDocument], idempotency: Idempotency | None = None
    ) -> AddResult:
        return await self._write(bank, lambda: self._store.add_documents(bank, docs, idempotency))

    async def get_document(self, bank: str, document_id: str) -> Document:
        return await self._in_thread(lambda: self._store.get_document(bank, document_id))

    async def list_documents(
        self,
        bank: str,
        limit: int,
        after_key: str | None = None,
        with_text: bool = False,
        predicate: Callable[[Document], bool] | None = None,
    ) -> Page[Document]:
        return await self._in_thread(
            lambda: self._store.list_documents(bank, limit, after_key, with_text, predicate)
        )

    async def facts(self, bank: str, row_ids: Sequence[int] | None = None) -> list[Document]:
        """Documents without their text, by row (as reports name them)."""
        return await self._in_thread(lambda: self._store.facts(bank, row_ids))

    async def update_document(
        self,
        bank: str,
        document_id: str,
        changes: DocumentChanges,
        etag: str | None = None,
        idempotency: Idempotency | None = None,
        keep_version: bool = False,
    ) -> tuple[Document, Operation | None]:
        def work() -> tuple[Document, Operation | None]:
            document, operation = self._store.update_document(
                bank, document_id, changes, etag, idempotency, keep_version
            )
            rows = [document.row_id]
            self._banks.align(bank, [*rows, *self._store.quoting(rows)])
            return document, operation

        return await self._write(bank, work)

    async def delete_document(
        self,
        bank: str,
        document_id: str,
        etag: str | None = None,
        idempotency: Idempotency | None = None,
    ) -> Document:
        def work() -> Document:
            document = self._store.delete_document(bank, document_id, etag, idempotency)
            self._gone(bank, [document.row_id])
            return document

        return await self._write(bank, work)

    async def expired(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """(bank, document id) of documents whose time has run out."""
        return await self._in_thread(lambda: self._store.expired(now, limit))

    async def prune(self, before: datetime) -> int:
        """Forget request ids used, and operations finished, before a time; how many."""
        return await self._in_thread(lambda: self._store.prune(before))

    def _gone(self, bank: str, row_ids: Sequence[int]) -> None:
        """Documents were deleted; titles that quoted them do so no more."""
        self._banks.discard(bank, row_ids)
        quoting = self._store.quoting(row_ids)
        if quoting:
            self._banks.align(bank, quoting)

    # ---- feedback
    async def record_feedback(
        self, bank: str, new: NewFeedback, idempotency: Idempotency | None = None
    ) -> Feedback:
        return await self._in_thread(lambda: self._store.record_feedback(bank, new, idempotency))

    async def list_feedback(
        self, bank: str, limit: int, after_key: str | None = None
    ) -> Page[Feedback]:
        return await self._in_thread(lambda: self._store.list_feedback(bank, limit, after_key))

    async def delete_feedback(self, bank: str, feedback_id: str) -> None:
        await self._in_thread(lambda: self._store.delete_feedback(bank, feedback_id))

    # ---- operations
    async def get_operation(self, operation_id: str) -> Operation:
        return await self._in_thread(lambda: self._store.get_operation(operation_id))

    async def list_operations(
        self,
        bank: str | None,
        state: OperationState | None,
        limit: int,
        after_key: str | None = None,
    ) -> Page[Operation]:
        return await self._in_thread(
            lambda: self._store.list_operations(bank, state, limit, after_key)
        )

    async def cancel_operation(self, operation_id: str) -> Operation:
        return await self._in_thread(lambda: self._store.cancel_operation(operation_id))
