"""How calls travel, for both clients: channel options, retries, headers, cutting of streams.

Retries are gRPC's own, by service config, and only for calls that are safe to repeat: reads, and
writes that carry a request_id or do no harm twice. Knows paths, not messages.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Final

from memsvc_client.errors import REQUEST_ID_HEADER, FailedPrecondition
from memsvc_client.resources import NewDocument

DEFAULT_TARGET: Final = "127.0.0.1:7600"
DEFAULT_TIMEOUT: Final = 60.0
# Verify and compact read a whole bank.
BANK_TIMEOUT: Final = 3600.0
# A comparison asks thousands of questions, one after another.
COMPARE_TIMEOUT: Final = 86_400.0
# A wait is cut into calls of this many seconds, so that a lost server is noticed and no proxy
# drops a call for its silence; shorter while somebody watches the progress.
WAIT_SLICE: Final = 20.0
WATCH_SLICE: Final = 0.5
WAIT_GRACE: Final = 10.0
# How long a server may take to load its model, and how often it is looked at meanwhile.
SERVING_TIMEOUT: Final = 120.0
SERVING_LOOK: Final = 0.05
# One stream of an ingestion: what is held in memory, and what a retry sends again.
STREAM_DOCUMENTS: Final = 1000
STREAM_CHARACTERS: Final = 4 * 2**20

_MESSAGE_BYTES = 64 * 2**20
_RETRY_BUFFER_BYTES = 32 * 2**20
_REPEATABLE = {
    "BankService": ["CreateBank", "GetBank", "ListBanks", "VerifyBank"],
    "DocumentService": [
        "AddDocuments",
        "IngestDocuments",
        "GetDocument",
        "ListDocuments",
        "UpdateDocument",
        "DeleteDocument",
        "ListDocumentVersions",
        "ForgetDocuments",
    ],
    "FeedbackService": ["RecordFeedback", "ListFeedback"],
    "MemoryService": ["Recall", "Ask", "BuildContext", "Compare"],
    "SessionService": [
        "CreateSession",
        "GetSession",
        "ListSessions",
        "AppendTurns",
        "ListTurns",
        "RecallInSession",
        "BuildSessionContext",
        "ForkSession",
        "EndSession",
    ],
    "OperationService": ["GetOperation", "ListOperations", "WaitOperation"],
    "AdminService": ["GetServerInfo"],
}
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": f"memsvc.v1.{service}", "method": method}
                for service, methods in _REPEATABLE.items()
                for method in methods
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


def channel_options(target: str) -> list[tuple[str, str | int]]:
    """The options of a channel to `target` (HOST:PORT)."""
    options: list[tuple[str, str | int]] = [
        ("grpc.enable_retries", 1),
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if target.startswith(("127.", "localhost:", "[::1]:")):
        # A proxy of the environment cannot reach this machine's own loopback.
        options.append(("grpc.enable_http_proxy", 0))
    return options


def call_metadata(api_key: str | None, request_id: str) -> tuple[tuple[str, str], ...]:
    """The headers of one call. `request_id` names it in the server's log."""
    named = ((REQUEST_ID_HEADER, request_id),)
    return named if api_key is None else (*named, ("authorization", f"Bearer {api_key}"))


def closed_error() -> FailedPrecondition:
    """What a call on a closed client raises."""
    return FailedPrecondition("this client is closed", reason="CLIENT_CLOSED")


def as_documents(
    documents: str | NewDocument | Iterable[str | NewDocument],
) -> Iterator[NewDocument]:
    """One or many texts or documents, as documents."""
    if isinstance(documents, str | NewDocument):
        documents = (documents,)
    for one in documents:
        yield NewDocument(one) if isinstance(one, str) else one


async def each_document(
    documents: Iterable[str | NewDocument] | AsyncIterable[str | NewDocument],
) -> AsyncIterator[NewDocument]:
    """`as_documents` for `async for`, of a synchronous or an asynchronous source."""
    if isinstance(documents, AsyncIterable):
        async for one in documents:
            yield NewDocument(one) if isinstance(one, str) else one
    else:
        for document in as_documents(documents):
            yield document


class StreamCutter:
    """Cuts an ingestion into streams of bounded size, so that memory is bounded on both sides."""

    def __init__(self) -> None:
        self._documents: list[NewDocument] = []
        self._characters = 0

    def put(self, document: NewDocument) -> list[NewDocument]:
        """Take in a document; returns those of a stream that is now full, else nothing."""
        size = len(document.title) + len(document.text)
        overflows = self._documents and self._characters + size > STREAM_CHARACTERS
        full = self.rest() if overflows else []
        self._documents.append(document)
        self._characters += size
        if not full and len(self._documents) >= STREAM_DOCUMENTS:
            return self.rest()
        return full

    def rest(self) -> list[NewDocument]:
        """What is waiting, for the last stream."""
        documents, self._documents, self._characters = self._documents, [], 0
        return documents
