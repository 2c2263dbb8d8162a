"""What the adapters have in common: hits with their documents, waiting for encodings, filters.

Knows the SDK and no framework.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal

from memsvc_client.client import MemoryClient
from memsvc_client.errors import DeadlineExceeded, NotFound
from memsvc_client.events import AskOptions, Hit, Recency
from memsvc_client.resources import Document, Scalar

Content = Literal["document", "passage"]
_MOST_PENDING: Final = 1000


def missing(extra: str, error: ImportError) -> ImportError:
    """What an adapter raises where its framework is not installed."""
    return ImportError(f"{error}: install it with pip install 'memsvc[{extra}]'", name=error.name)


def quoted(text: str) -> str:
    """A string as a filter takes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def alive(document: Document) -> bool:
    """Whether it has not expired: the server deletes what has, but not at that very moment."""
    return document.expire_time is None or document.expire_time > datetime.now(UTC)


def get_if_there(client: MemoryClient, bank: str, document: str) -> Document | None:
    """A document with its text, if it is there and has not expired. Raises NotFound only if there
    is no such bank."""
    try:
        found = client.get_document(bank, document)
    except NotFound as error:
        if error.reason != "DOCUMENT_NOT_FOUND":
            raise
        return None
    return found if alive(found) else None


def recall(
    client: MemoryClient,
    bank: str,
    question: str,
    k: int,
    filter: str = "",
    options: AskOptions = AskOptions(),
    as_of: datetime | None = None,
    recency: Recency | None = None,
) -> list[tuple[Hit, Document]]:
    """The best `k` documents with their texts, best first; none for a blank question."""
    if not question.strip():
        return []
    found = client.recall(
        bank,
        question,
        options=replace(options, k=k),
        filter=filter,
        as_of=as_of,
        recency=recency,
    )
    pairs = ((hit, get_if_there(client, bank, hit.document)) for hit in found.hits[:k])
    # What was deleted between the two calls is left out.
    return [(hit, document) for hit, document in pairs if document is not None]


def content(hit: Hit, document: Document, wanted: Content) -> str:
    """The whole text, or only the passage that was found."""
    return document.text if wanted == "document" else document.text[hit.start : hit.end]


def facts(hit: Hit, document: Document) -> dict[str, Scalar]:
    """What a framework's document says of itself: its own metadata, and over it where it is from.

    Times are ISO 8601; `start` and `end` count characters of the document's text.
    """
    times = {
        "event_time": document.event_time,
        "create_time": document.create_time,
        "update_time": document.update_time,
    }
    return {
        **document.metadata,
        "document": document.name,
        "title": document.title,
        "score": hit.score,
        "start": hit.start,
        "end": hit.end,
        **{name: moment.isoformat() for name, moment in _known(times.items())},
    }


def _known(times: Iterable[tuple[str, datetime | None]]) -> Iterable[tuple[str, datetime]]:
    return ((name, moment) for name, moment in times if moment is not None)


class Pending:
    """Encodings that this process has begun, so that a question can wait for what was written.

    Safe to share between threads. Forgets the oldest beyond 1000.
    """

    def __init__(self) -> None:
        self._operations: dict[str, None] = {}

    def add(self, operations: Iterable[str]) -> None:
        """Take in operations by name."""
        for name in operations:
            self._operations[name] = None
        for name in list(self._operations)[:-_MOST_PENDING]:
            self._operations.pop(name, None)

    def settle(self, client: MemoryClient, seconds: float) -> None:
        """Wait until all have ended, for at most so long; what has not by then is kept."""
        deadline = time.monotonic() + seconds
        for name in list(self._operations):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            try:
                client.wait_operation(name, timeout=left)
            except DeadlineExceeded:
                return
            except NotFound:
                pass  # Gone with its bank.
            self._operations.pop(name, None)
