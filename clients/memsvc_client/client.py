"""The blocking client. `AsyncMemoryClient` has the same names and arguments.

Banks, documents and operations are named by id or by full resource name. Every call raises a
MemsvcError and takes a `timeout` in seconds (None: the client's own). Writes carry a fresh
`request_id` unless one is given, so that they can be repeated safely. Knows no channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from memsvc_client import bank_calls, document_calls
from memsvc_client.errors import AlreadyExists, NotFound
from memsvc_client.pagers import Pager
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
from memsvc_client.sessions import SessionOpener
from memsvc_client.sync_forget_verbs import ForgetVerbs
from memsvc_client.transport import (
    BANK_TIMEOUT,
    StreamCutter,
    as_documents,
)


class MemoryClient(SessionOpener, ForgetVerbs):
    """Talks to one memsvc server; a context manager; safe to share between threads."""

    def create_bank(
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
        return self._run(call, timeout)

    def ensure_bank(self, bank: str, *, timeout: float | None = None) -> Bank:
        """The bank, made empty if it is not there."""
        with suppress(NotFound):
            return self.get_bank(bank, timeout=timeout)
        with suppress(AlreadyExists):  # Somebody else may make it meanwhile.
            return self.create_bank(bank, timeout=timeout)
        return self.get_bank(bank, timeout=timeout)

    def get_bank(self, bank: str, *, timeout: float | None = None) -> Bank:
        """One bank with its counters. Raises NotFound."""
        return self._run(bank_calls.get_bank(bank), timeout)

    def list_banks(
        self, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Pager[Bank]:
        """All banks, by name."""
        return Pager(
            lambda token: self._run(bank_calls.list_banks(page_size, token), timeout), page_token
        )

    def update_bank(
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
        return self._run(call, timeout)

    def delete_bank(
        self,
        bank: str,
        *,
        etag: str = "",
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Delete a bank with all it holds, for good. Raises NotFound, Aborted."""
        self._run(bank_calls.delete_bank(bank, etag, validate_only), timeout)

    def verify_bank(self, bank: str, *, timeout: float | None = BANK_TIMEOUT) -> VerifyReport:
        """Check every block against its checksum. Raises NotFound."""
        return self._run(bank_calls.verify_bank(bank), timeout)

    def compact_bank(
        self, bank: str, *, min_dead_fraction: float = 0.0, timeout: float | None = BANK_TIMEOUT
    ) -> CompactReport:
        """Return the space of deleted documents to the disk. Raises NotFound."""
        return self._run(bank_calls.compact_bank(bank, min_dead_fraction), timeout)

    def estimate_bank(
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
        return self._run(bank_calls.estimate_bank(tokens, document_count, like, k), timeout)

    def add(
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
        result = self._run(call, timeout)
        if isinstance(documents, str | NewDocument) and result.errors:
            raise result.errors[0][1]
        return result

    def ingest(
        self,
        bank: str,
        documents: Iterable[str | NewDocument],
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

        def send(batch: list[NewDocument]) -> IngestResult:
            stream = document_calls.ingest(bank, batch, total.seen)
            answer = self._send(stream.call, stream.messages, timeout)
            if on_batch is not None:
                on_batch(answer)
            return total.plus(answer)

        for document in as_documents(documents):
            if full := cutter.put(document):
                total = send(full)
        rest = cutter.rest()
        return send(rest) if rest else total

    def get_document(self, bank: str, document: str, *, timeout: float | None = None) -> Document:
        """One document with its text. Raises NotFound."""
        return self._run(document_calls.get_document(bank, document), timeout)

    def list_documents(
        self,
        bank: str,
        *,
        filter: str = "",
        with_text: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> Pager[Document]:
        """The documents that `filter` lets through, oldest first. Raises NotFound on reading."""
        return Pager(
            lambda token: self._run(
                document_calls.list_documents(bank, filter, with_text, page_size, token), timeout
            ),
            page_token,
        )

    def update_document(
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
        return self._run(call, timeout)

    def delete_document(
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
        self._run(call, timeout)
