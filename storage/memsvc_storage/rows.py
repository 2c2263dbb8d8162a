"""What the store hands out and takes in: plain frozen dataclasses; knows nothing of SQL or files.

All datetimes are timezone-aware UTC. Sizes are bytes; text sizes count UTF-8.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from numpy.typing import NDArray

from memsvc_storage.errors import StorageError

Scalar: TypeAlias = str | int | float | bool
Metadata: TypeAlias = dict[str, Scalar]
DocumentState: TypeAlias = Literal["PENDING", "READY", "FAILED"]
OperationKind: TypeAlias = Literal["ENCODE", "COMPACT", "REENCODE"]
Verdict: TypeAlias = Literal["", "RIGHT", "WRONG"]
OperationState: TypeAlias = Literal["PENDING", "RUNNING", "DONE", "FAILED", "CANCELLED"]
Encoded: TypeAlias = tuple[int, int, Mapping[str, NDArray[Any]], int]
"""(row_id, revision, tensors with one row per chunk, tokens)."""

T = TypeVar("T")


class Unset(Enum):
    """The type of `UNSET`: "leave as it is", where None is a value of its own."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True)
class Bank:
    """A bank. `text_bytes` (titles and texts) is what `quota_bytes` limits; `kv_bytes` are the
    bytes of its live blocks. `identity`: the digest of what made them, None while there were none;
    `reencode_operation`: the last operation that brought the whole bank to another identity."""

    id: int
    name: str
    display_name: str
    metadata: Metadata
    quota_bytes: int | None
    text_bytes: int
    document_count: int
    kv_bytes: int
    etag: str
    create_time: datetime
    update_time: datetime
    identity: str | None = None
    reencode_operation: str | None = None


@dataclass(frozen=True)
class Document:
    """A document. `text` is "" where it was not asked for. `etag` changes with every write of a
    user, never with encoding; `tokens` and `chunks` are those of the block (None until READY)."""

    row_id: int
    bank: str
    document_id: str
    title: str
    text: str
    metadata: Metadata
    event_time: datetime | None
    expire_time: datetime | None
    create_time: datetime
    update_time: datetime
    revision: int
    etag: str
    state: DocumentState
    error: str = ""
    tokens: int | None = None
    chunks: int | None = None


@dataclass(frozen=True)
class NewDocument:
    """A document to add; without `document_id` the store makes a sortable one."""

    text: str
    title: str = ""
    document_id: str | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    event_time: datetime | None = None
    expire_time: datetime | None = None


@dataclass(frozen=True)
class DocumentChanges:
    """What an update changes; UNSET fields stay as they are."""

    title: str | Unset = UNSET
    text: str | Unset = UNSET
    metadata: Mapping[str, Scalar] | Unset = UNSET
    event_time: datetime | Unset | None = UNSET
    expire_time: datetime | Unset | None = UNSET


@dataclass(frozen=True)
class NewFeedback:
    """What somebody says of a question: ids of documents that it needed, or that were found and
    of no use; whether the answer was right, and the right one where it is known."""

    question: str
    relevant: tuple[str, ...] = ()
    irrelevant: tuple[str, ...] = ()
    verdict: Verdict = ""
    answer: str = ""


@dataclass(frozen=True)
class Feedback(NewFeedback):
    """Feedback as it is kept. Documents deleted since are not named any more."""

    bank: str = ""
    feedback_id: str = ""
    create_time: datetime | None = None


@dataclass(frozen=True)
class Operation:
    """Work that goes on after a call has returned. It has ended when DONE, FAILED or CANCELLED;
    DONE with `failed` > 0 means that some documents failed, FAILED that all did."""

    operation_id: str
    bank: str
    kind: OperationKind
    state: OperationState
    total: int
    done: int
    failed: int
    error: str
    create_time: datetime
    update_time: datetime

    @property
    def finished(self) -> bool:
        return self.state in ("DONE", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class BlockRow:
    """Where a document's block lies: rows [row_start, row_start + rows) of every tensor of a
    segment. `crc` holds one CRC32 per tensor name; `identity` is the digest of what made it."""

    row_id: int
    document_id: str
    revision: int
    segment: str
    row_start: int
    rows: int
    crc: dict[str, int]
    tokens: int
    identity: str


@dataclass(frozen=True)
class Idempotency:
    """What makes a write repeatable: the caller's id and a digest of everything it asked for."""

    request_id: str
    method: str
    body_digest: str


@dataclass(frozen=True)
class AddResult:
    """One entry per item in the order given: the document, or why it was not taken."""

    documents: list[Document | StorageError]
    operation: Operation


@dataclass(frozen=True)
class Fenced:
    """A bank on its way to another identity. `serving`: its old blocks serve meanwhile."""

    bank: str
    operation_id: str
    serving: bool


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items; `next_key` leads to the next page, None on the last."""

    items: list[T]
    next_key: str | None


@dataclass(frozen=True)
class CompactReport:
    """Sizes of a bank's segment files before and after; `documents` were moved."""

    bytes_before: int
    bytes_after: int
    documents: int
    segments_before: int
    segments_after: int


@dataclass(frozen=True)
class VerifyReport:
    """`corrupt`: document rows whose block is not what was written; `missing`: READY document
    rows without a block or whose segment file is not there."""

    documents: int
    blocks: int
    corrupt: list[int]
    missing: list[int]


@dataclass(frozen=True)
class BankStats:
    """Counts of documents by state; `dead_fraction` is the share of segment bytes that belongs to
    no live block (0.0 to 1.0)."""

    pending: int
    ready: int
    failed: int
    segments: int
    disk_bytes: int
    dead_fraction: float


def identity_digest(identity: Mapping[str, Any]) -> str:
    """16 hex digits over an identity's fields; equal to `memsvc_router.api.Identity.digest`."""
    body = json.dumps(dict(identity), sort_keys=True).encode()
    return hashlib.sha256(body).hexdigest()[:16]


def chunked(values: Sequence[T], size: int) -> list[Sequence[T]]:
    """Consecutive slices of at most `size` values: SQL statements take only so many parameters."""
    return [values[start : start + size] for start in range(0, len(values), size)]
