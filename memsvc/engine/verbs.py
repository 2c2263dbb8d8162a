"""The store's verbs as coroutines: each runs in a worker thread, and a write has reached the live
bank before its caller hears of it. Knows no models.

All raise what `memsvc_storage.Store` raises; a cancelled caller does not undo a write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from memsvc_storage import (
    AddResult,
    Bank,
    BankStats,
    CompactReport,
    Document,
    DocumentChanges,
    Idempotency,
    NewDocument,
    Operation,
    Page,
    Scalar,
    VerifyReport,
)

T = TypeVar("T")


class StoreVerbs:
    """Banks, documents and operations. `Engine` supplies the threads and the live banks."""

    # ---- banks
    async def create_bank(
        self,
        name: str,
        display_name: str = "",
        metadata: dict[str, Scalar] | None = None,
        quota_bytes: int | None = None,
        idempotency: Idempotency | None = None,
    ) -> Bank:
        raise NotImplementedError

    async def get_bank(self, name: str) -> Bank:
        raise NotImplementedError

    async def list_banks(self, limit: int, after_key: str | None = None) -> Page[Bank]:
        raise NotImplementedError

    async def update_bank(self, name: str, *, etag: str | None = None, **changes: Any) -> Bank:
        """`changes`: display_name, metadata, quota_bytes."""
        raise NotImplementedError

    async def delete_bank(self, name: str, etag: str | None = None) -> None:
        raise NotImplementedError

    async def stats(self, bank: str) -> BankStats:
        raise NotImplementedError

    async def verify(self, bank: str) -> VerifyReport:
        """Read every block; corrupt ones are queued to be encoded anew."""
        raise NotImplementedError

    async def compact(self, bank: str, min_dead_fraction: float = 0.0) -> CompactReport:
        raise NotImplementedError

    # ---- documents
    async def add_documents(
        self, bank: str, docs: Sequence[NewDocument], idempotency: Idempotency | None = None
    ) -> AddResult:
        raise NotImplementedError

    async def get_document(self, bank: str, document_id: str) -> Document:
        raise NotImplementedError

    async def list_documents(
        self,
        bank: str,
        limit: int,
        after_key: str | None = None,
        with_text: bool = False,
        predicate: Callable[[Document], bool] | None = None,
    ) -> Page[Document]:
        raise NotImplementedError

    async def update_document(
        self,
        bank: str,
        document_id: str,
        changes: DocumentChanges,
        etag: str | None = None,
        idempotency: Idempotency | None = None,
    ) -> tuple[Document, Operation | None]:
        raise NotImplementedError

    async def delete_document(
        self,
        bank: str,
        document_id: str,
        etag: str | None = None,
        idempotency: Idempotency | None = None,
    ) -> Document:
        raise NotImplementedError

    # ---- operations
    async def get_operation(self, operation_id: str) -> Operation:
        raise NotImplementedError

    async def list_operations(
        self, bank: str | None, state: str | None, limit: int, after_key: str | None = None
    ) -> Page[Operation]:
        raise NotImplementedError

    async def cancel_operation(self, operation_id: str) -> Operation:
        raise NotImplementedError

    async def wait_operation(self, operation_id: str, timeout: float | None = None) -> Operation:
        """The operation once it has ended, or as it stands after `timeout` seconds.

        Raises EncodingUnhealthy if time ran out while encoding keeps failing.
        """
        raise NotImplementedError
