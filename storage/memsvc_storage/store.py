"""The store's public face. (Signatures first; bodies follow.)"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from memsvc_storage.rows import (
    UNSET,
    AddResult,
    Bank,
    BankStats,
    BlockRow,
    CompactReport,
    Document,
    DocumentChanges,
    Encoded,
    Idempotency,
    NewDocument,
    Operation,
    OperationKind,
    OperationState,
    Page,
    Scalar,
    Unset,
    VerifyReport,
)


class Store:
    """Banks, documents, blocks and operations on one data directory. Synchronous, thread-safe."""

    @classmethod
    def open(cls, data_dir: Path, database_url: str | None = None) -> Store:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def create_bank(
        self,
        name: str,
        display_name: str = "",
        metadata: Mapping[str, Scalar] | None = None,
        quota_bytes: int | None = None,
        idempotency: Idempotency | None = None,
    ) -> Bank:
        raise NotImplementedError

    def get_bank(self, name: str) -> Bank:
        raise NotImplementedError

    def list_banks(self, limit: int, after_key: str | None = None) -> Page[Bank]:
        raise NotImplementedError

    def update_bank(
        self,
        name: str,
        *,
        display_name: str | Unset = UNSET,
        metadata: Mapping[str, Scalar] | Unset = UNSET,
        quota_bytes: int | Unset | None = UNSET,
        etag: str | None = None,
    ) -> Bank:
        raise NotImplementedError

    def delete_bank(self, name: str, etag: str | None = None) -> None:
        raise NotImplementedError

    def add_documents(
        self, bank: str, docs: Sequence[NewDocument], idempotency: Idempotency | None = None
    ) -> AddResult:
        raise NotImplementedError

    def get_document(self, bank: str, document_id: str) -> Document:
        raise NotImplementedError

    def list_documents(
        self,
        bank: str,
        limit: int,
        after_key: str | None = None,
        with_text: bool = False,
        predicate: Callable[[Document], bool] | None = None,
    ) -> Page[Document]:
        raise NotImplementedError

    def update_document(
        self,
        bank: str,
        document_id: str,
        changes: DocumentChanges,
        etag: str | None = None,
        idempotency: Idempotency | None = None,
    ) -> tuple[Document, Operation | None]:
        raise NotImplementedError

    def delete_document(
        self,
        bank: str,
        document_id: str,
        etag: str | None = None,
        idempotency: Idempotency | None = None,
    ) -> Document:
        """The returned document carries no title, text or metadata: they are gone."""
        raise NotImplementedError

    def expired(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        raise NotImplementedError

    def pending(self, limit_docs: int, limit_chars: int) -> list[Document]:
        raise NotImplementedError

    def commit_blocks(
        self, bank: str, identity_json: Mapping[str, Any], encoded: Sequence[Encoded]
    ) -> list[BlockRow]:
        raise NotImplementedError

    def fail_document(self, row_id: int, revision: int, error: str) -> None:
        raise NotImplementedError

    def live_blocks(self, bank: str, identity_digest: str) -> list[BlockRow]:
        raise NotImplementedError

    def block_rows(self, bank: str, row_ids: Sequence[int]) -> list[BlockRow]:
        raise NotImplementedError

    def read_rows(self, bank: str, blocks: Sequence[BlockRow], name: str) -> list[NDArray[Any]]:
        raise NotImplementedError

    def release_retired(self) -> None:
        raise NotImplementedError

    def requeue(self, row_ids: Sequence[int], reason: str) -> None:
        raise NotImplementedError

    def requeue_other_identities(self, identity_digest: str) -> int:
        raise NotImplementedError

    def texts(self, bank: str, row_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
        raise NotImplementedError

    def facts(self, bank: str, row_ids: Sequence[int] | None) -> list[Document]:
        raise NotImplementedError

    def compact(self, bank: str, min_dead_fraction: float = 0.0) -> CompactReport:
        raise NotImplementedError

    def verify(self, bank: str) -> VerifyReport:
        raise NotImplementedError

    def get_operation(self, operation_id: str) -> Operation:
        raise NotImplementedError

    def list_operations(
        self,
        bank: str | None,
        state: OperationState | None,
        limit: int,
        after_key: str | None = None,
    ) -> Page[Operation]:
        """Newest first."""
        raise NotImplementedError

    def create_operation(self, bank: str, kind: OperationKind, total: int) -> Operation:
        raise NotImplementedError

    def update_operation(
        self,
        operation_id: str,
        *,
        state: OperationState | Unset = UNSET,
        total: int | Unset = UNSET,
        done: int | Unset = UNSET,
        failed: int | Unset = UNSET,
        error: str | Unset = UNSET,
    ) -> Operation:
        raise NotImplementedError

    def cancel_operation(self, operation_id: str) -> Operation:
        raise NotImplementedError

    def stats(self, bank: str) -> BankStats:
        raise NotImplementedError

    def prune(self, before: datetime) -> int:
        """Forget replay records and finished operations older than `before`; how many."""
        raise NotImplementedError
