"""The asyncio client: the names, arguments and errors of `MemoryClient`.

Listings and `ask` are read with `async for`; everything else is awaited.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from memsvc_client import bank_calls, document_calls
from memsvc_client.async_forget_verbs import AsyncForgetVerbs
from memsvc_client.async_sessions import AsyncSessionOpener
from memsvc_client.errors import AlreadyExists, NotFound
from memsvc_client.pagers import AsyncPager
from memsvc_client.resources import (
    UNSET,
    AddResult,
    Bank,
    BankEstimate,
    CompactReport,
    Document,
    IngestBatch,
    IngestResult,
    NewDocument,
    Scalar,
    Unset,
    UpdateResult,
    VerifyReport,
)
from memsvc_client.transport import (
    BANK_TIMEOUT,
    StreamCutter,
    as_documents,
    each_document,
)


class AsyncMemoryClient(AsyncSessionOpener, AsyncForgetVerbs):
    """Talks to one memsvc server; an async context manager; for one event loop."""

    async def create_bank(
        self,
        bank: str,
        *,
        display_name: str = "",
        metadata: Mapping[str, Scalar] | None = None,
        quota_bytes: int | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> Bank:
        """Make an empty bank. Raises AlreadyExists."""
        call = bank_calls.create_bank(
            bank, display_name, metadata, quota_bytes, request_id, validate_only
        )
        return await self._run(call, timeout)

    async def ensure_bank(self, bank: str, *, timeout: float | None = None) -> Bank:
        """The bank, made empty if it is not there."""
        with suppress(NotFound):
            return await self.get_bank(bank, timeout=timeout)
        with suppress(AlreadyExists):  # Somebody else may make it meanwhile.
            return await self.create_bank(bank, timeout=timeout)
        return await self.get_bank(bank, timeout=timeout)

    async def get_bank(self, bank: str, *, timeout: float | None = None) -> Bank:
        """One bank with its counters. Raises NotFound."""
        return await self._run(bank_calls.get_bank(bank), timeout)

    def list_banks(
        self, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> AsyncPager[Bank]:
        """All banks, by name."""
        return AsyncPager(
            lambda token: self._run(bank_calls.list_banks(page_size, token), timeout), page_token
        )

    async def update_bank(
        self,
        bank: str,
        *,
        display_name: str | Unset = UNSET,
        metadata: Mapping[str, Scalar] | Unset = UNSET,
        quota_bytes: int | Unset | None = UNSET,
        etag: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> Bank:
        """Change what is given; `quota_bytes=None` lifts the quota. Raises NotFound, Aborted."""
        call = bank_calls.update_bank(
            bank, display_name, metadata, quota_bytes, etag, validate_only
        )
        return await self._run(call, timeout)

    async def delete_bank(
        self,
        bank: str,
        *,
        etag: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Delete a bank with all it holds, for good. Raises NotFound, Aborted."""
        await self._run(bank_calls.delete_bank(bank, etag, validate_only), timeout)

    async def verify_bank(self, bank: str, *, timeout: float | None = BANK_TIMEOUT) -> VerifyReport:
        """Check every block against its checksum. Raises NotFound."""
        return await self._run(bank_calls.verify_bank(bank), timeout)

    async def compact_bank(
        self, bank: str, *, min_dead_fraction: float = 0.0, timeout: float | None = BANK_TIMEOUT
    ) -> CompactReport:
        """Return the space of deleted documents to the disk. Raises NotFound."""
        return await self._run(bank_calls.compact_bank(bank, min_dead_fraction), timeout)

    async def estimate_bank(
        self,
        tokens: int,
        *,
        document_count: int | None = None,
        like: str | None = None,
        k: int | None = None,
        timeout: float | None = None,
    ) -> BankEstimate:
        """What so many tokens of text would cost: in so many documents, or as in the bank `like`.

        Raises InvalidArgument, NotFound, and Unavailable while the model loads.
        """
        return await self._run(bank_calls.estimate_bank(tokens, document_count, like, k), timeout)

    async def add(
        self,
        bank: str,
        documents: str | NewDocument | Iterable[str | NewDocument],
        *,
        request_id: str | None = None,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> AddResult:
        """Store one document or up to 1000 in one transaction; durable when this returns.

        A single document that is refused raises its error; of many, each has its own result.
        """
        call = document_calls.add(bank, as_documents(documents), request_id, validate_only)
        result = await self._run(call, timeout)
        if isinstance(documents, str | NewDocument) and result.errors:
            raise result.errors[0][1]
        return result

    async def ingest(
        self,
        bank: str,
        documents: Iterable[str | NewDocument] | AsyncIterable[str | NewDocument],
        *,
        on_batch: Callable[[IngestBatch], None] | None = None,
        timeout: float | None = None,
    ) -> IngestResult:
        """Store any number of documents with bounded memory, by streams of up to 1000.

        `on_batch` hears of each stream as it is durable; `timeout` is for each stream. A document
        that is refused is in `errors`; an error of a whole stream is raised, and what was reported
        before it stays stored.
        """
        total, cutter = IngestResult(), StreamCutter()

        async def send(batch: list[NewDocument]) -> IngestResult:
            stream = document_calls.ingest(bank, batch, total.seen)
            answer = await self._send(stream.call, stream.messages, timeout)
            if on_batch is not None:
                on_batch(answer)
            return total.plus(answer)

        async for document in each_document(documents):
            if full := cutter.put(document):
                total = await send(full)
        rest = cutter.rest()
        return await send(rest) if rest else total

    async def get_document(
        self, bank: str, document: str, *, timeout: float | None = None
    ) -> Document:
        """One document with its text. Raises NotFound."""
        return await self._run(document_calls.get_document(bank, document), timeout)

    def list_documents(
        self,
        bank: str,
        *,
        filter: str = "",
        with_text: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPager[Document]:
        """The documents that `filter` lets through, oldest first. Raises NotFound on reading."""
        return AsyncPager(
            lambda token: self._run(
                document_calls.list_documents(bank, filter, with_text, page_size, token), timeout
            ),
            page_token,
        )

    async def update_document(
        self,
        bank: str,
        document: str,
        *,
        title: str | Unset = UNSET,
        text: str | Unset = UNSET,
        metadata: Mapping[str, Scalar] | Unset = UNSET,
        event_time: datetime | Unset | None = UNSET,
        expire_time: datetime | Unset | None = UNSET,
        etag: str = "",
        request_id: str | None = None,
        validate_only: bool = False,
        keep_version: bool = False,
        timeout: float | None = None,
    ) -> UpdateResult:
        """Change what is given; None clears a time. `keep_version`: title and text as they are now
        stay in `list_document_versions`. Raises NotFound, Aborted, ResourceExhausted."""
        changes = {
            "title": title,
            "text": text,
            "metadata": metadata,
            "event_time": event_time,
            "expire_time": expire_time,
        }
        call = document_calls.update_document(
            bank, document, changes, etag, request_id, validate_only, keep_version
        )
        return await self._run(call, timeout)

    async def delete_document(
        self,
        bank: str,
        document: str,
        *,
        etag: str = "",
        request_id: str | None = None,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Delete a document; no question that begins later finds it. Raises NotFound, Aborted."""
        call = document_calls.delete_document(bank, document, etag, request_id, validate_only)
        await self._run(call, timeout)
