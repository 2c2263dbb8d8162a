"""What the server keeps: banks, documents and operations, as frozen dataclasses.

Times are timezone-aware UTC. Knows nothing of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, Literal

from memsvc_client.errors import MemsvcError
from memsvc_client.names import last_id

Scalar = str | int | float | bool
DocumentState = Literal["PENDING", "READY", "FAILED"]
OperationKind = Literal["ENCODE", "COMPACT", "REENCODE"]
Verdict = Literal["", "RIGHT", "WRONG"]
OperationState = Literal["PENDING", "RUNNING", "DONE", "FAILED", "CANCELLED"]
ServingState = Literal[
    "SERVING_STATE_UNSPECIFIED",
    "SERVING",
    "REENCODING_SERVING_PREVIOUS",
    "REENCODING_UNAVAILABLE",
]
ServerState = Literal["LOADING", "READY", "FAILED"]
HealthStatus = Literal["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]


class Unset(Enum):
    """Tells "leave it as it is" from None, which clears a field."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True)
class Identity:
    """What blocks are made by. Blocks of one identity are of no use to another."""

    model: str
    weights_digest: str
    tokenizer_digest: str
    template: str
    pool_size: int
    dtype: str
    router_layers: tuple[int, ...]
    block_format: int
    digest: str


@dataclass(frozen=True)
class Reencoding:
    """A bank on its way to the loaded model: the operation's name, and documents counted."""

    operation: str
    total: int
    done: int
    failed: int


@dataclass(frozen=True)
class Routing:
    """`coarse`: in two passes; `recall` of 16 documents by the last `questions`, and `speedup`."""

    coarse: bool
    recall: float | None
    questions: int
    speedup: float | None


@dataclass(frozen=True)
class Bank:
    """A hard boundary of memory. Bytes of text are UTF-8; `kv_bytes` are compressed blocks.
    `serving_identity` made the blocks that serve (None: there are none), `loaded_identity` is the
    server's model (None while it loads); `reencoding` is None when the two agree.
    """

    name: str
    display_name: str
    metadata: Mapping[str, Scalar]
    quota_bytes: int | None
    document_count: int
    pending_count: int
    ready_count: int
    failed_count: int
    text_bytes: int
    kv_bytes: int
    identity_digest: str
    etag: str
    create_time: datetime | None
    update_time: datetime | None
    serving_state: ServingState
    serving_identity: Identity | None
    loaded_identity: Identity | None
    reencoding: Reencoding | None
    routing: Routing | None = None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return last_id(self.name)


@dataclass(frozen=True)
class BankEstimate:
    """What so much text would cost with the model `identity`. Near bytes: routing keys in memory,
    read in full by every hop. Far bytes: on disk. Hop bytes: what one hop of one question reads of
    them, for `k` documents. `encode_seconds` is None where the server has encoded nothing yet."""

    identity: Identity
    document_count: int
    chunk_count: int
    near_bytes: int
    far_bytes: int
    hop_bytes: int
    k: int
    encode_seconds: float | None


@dataclass(frozen=True)
class NewDocument:
    """A document to add. Without `document_id` the server makes one."""

    text: str
    title: str = ""
    document_id: str = ""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    event_time: datetime | None = None
    expire_time: datetime | None = None


@dataclass(frozen=True)
class Document:
    """A stored document. `text` is empty in lists without text; `tokens` and `chunks` are None
    until it is encoded; `error` says why encoding failed."""

    name: str
    title: str
    text: str
    metadata: Mapping[str, Scalar]
    event_time: datetime | None
    expire_time: datetime | None
    state: DocumentState
    error: str
    tokens: int | None
    chunks: int | None
    revision: int
    etag: str
    create_time: datetime | None
    update_time: datetime | None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return last_id(self.name)


@dataclass(frozen=True)
class Operation:
    """Work that goes on after a call. `done` and `failed` count documents up to `total`."""

    name: str
    bank: str
    kind: OperationKind
    state: OperationState
    total: int
    done: int
    failed: int
    error: str
    create_time: datetime | None
    update_time: datetime | None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return last_id(self.name)

    @property
    def ended(self) -> bool:
        """Whether it is DONE, FAILED or CANCELLED."""
        return self.state in ("DONE", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class Feedback:
    """What somebody said of a question: names of documents that it needed and of those of no use,
    whether the answer was right ("": not said), and the right one ("": not told)."""

    name: str
    question: str
    relevant: tuple[str, ...]
    irrelevant: tuple[str, ...]
    verdict: Verdict
    answer: str
    create_time: datetime | None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return last_id(self.name)


@dataclass(frozen=True)
class AddResult:
    """One result for each document, in order: the stored document or its error."""

    results: tuple[Document | MemsvcError, ...]
    operation: Operation | None

    @property
    def documents(self) -> tuple[Document, ...]:
        """Those that were stored."""
        return tuple(one for one in self.results if isinstance(one, Document))

    @property
    def errors(self) -> tuple[tuple[int, MemsvcError], ...]:
        """Those that were refused, with their place in the request."""
        pairs = enumerate(self.results)
        return tuple((place, one) for place, one in pairs if isinstance(one, MemsvcError))


@dataclass(frozen=True)
class IngestBatch:
    """What became of one stream of documents. `start`: the place of its first document."""

    start: int
    results: tuple[Document | MemsvcError, ...]
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class IngestResult:
    """The sum of an ingestion: documents stored, those refused by place, operations by name."""

    stored: int = 0
    errors: tuple[tuple[int, MemsvcError], ...] = ()
    operations: tuple[str, ...] = ()

    @property
    def seen(self) -> int:
        """Documents sent so far."""
        return self.stored + len(self.errors)

    def plus(self, batch: IngestBatch) -> IngestResult:
        """The sum after one more batch."""
        numbered = enumerate(batch.results, batch.start)
        refused = tuple((place, one) for place, one in numbered if isinstance(one, MemsvcError))
        return IngestResult(
            self.stored + len(batch.results) - len(refused),
            self.errors + refused,
            self.operations + tuple(one.name for one in batch.operations),
        )


@dataclass(frozen=True)
class UpdateResult:
    """The document as it now is (without text), and its re-encoding if there is one."""

    document: Document
    operation: Operation | None


@dataclass(frozen=True)
class VerifyReport:
    """What was read, and the names of documents whose blocks were corrupt or missing."""

    document_count: int
    block_count: int
    corrupt_documents: tuple[str, ...]
    missing_documents: tuple[str, ...]


@dataclass(frozen=True)
class CompactReport:
    """Sizes on disk before and after."""

    bytes_before: int
    bytes_after: int
    segments_before: int
    segments_after: int
    document_count: int


@dataclass(frozen=True)
class ServerInfo:
    """Which server this is. `uptime` in seconds; `state_reason` says why it is not READY."""

    version: str
    model: str
    identity_digest: str
    state: ServerState
    state_reason: str
    pid: int
    start_time: datetime | None
    uptime: float
