"""The stream of documents: committed in batches as it comes, and safe to repeat.

Batches are cut by number and size alone, never by time, so the same stream is cut the same way
again: with a `request_id` each batch gets an id of its own, and a repeated one is answered from
the first time. Documents that name their id are recognised by it as well.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from memsvc_proto.v1 import document_pb2
from memsvc_storage import Document, Idempotency

from memsvc.engine import Engine
from memsvc.errors import ApiError, Reason, invalid
from memsvc.server import batches, checks, convert, names

BATCH_DOCUMENTS = 256
BATCH_BYTES = 4 << 20


@dataclass
class _Batch:
    """Documents to be committed together. `first`: the first one's place in the stream."""

    first: int
    messages: list[document_pb2.NewDocument] = field(default_factory=list)
    size: int = 0

    def take(self, message: document_pb2.NewDocument) -> None:
        self.messages.append(message)
        self.size += message.ByteSize()

    @property
    def full(self) -> bool:
        return len(self.messages) >= BATCH_DOCUMENTS or self.size >= BATCH_BYTES


async def ingest(
    engine: Engine, stream: AsyncIterator[document_pb2.IngestDocumentsRequest]
) -> document_pb2.IngestDocumentsResponse:
    """Store a stream's documents. Raises ApiError (a missing header, too many documents) and
    what `Engine.add_documents` raises; batches committed before stay.
    """
    bank, key = await _header(stream)
    await engine.get_bank(bank)  # an unknown bank is told before anything is read
    response = document_pb2.IngestDocumentsResponse()
    batch = _Batch(0)
    async for message in stream:
        if message.WhichOneof("message") != "document":
            raise invalid("document", "only the first message of the stream is a header")
        batch.take(message.document)
        taken = batch.first + len(batch.messages)
        if taken > checks.MAX_STREAM_DOCUMENTS:
            raise invalid("document", f"a stream holds at most {checks.MAX_STREAM_DOCUMENTS:,}")
        if batch.full:
            await _commit(engine, bank, key, batch, response)
            batch = _Batch(taken)
    if batch.messages:
        await _commit(engine, bank, key, batch, response)
    return response


async def _header(
    stream: AsyncIterator[document_pb2.IngestDocumentsRequest],
) -> tuple[str, uuid.UUID | None]:
    async for message in stream:
        if message.WhichOneof("message") != "header":
            break
        bank = names.parse_bank("header.parent", message.header.parent)
        return bank, checks.request_id("header.request_id", message.header.request_id)
    raise invalid("header", "the first message of the stream must be the header")


async def _commit(
    engine: Engine,
    bank: str,
    key: uuid.UUID | None,
    batch: _Batch,
    response: document_pb2.IngestDocumentsResponse,
) -> None:
    items = [
        batches.checked(f"documents[{batch.first + index}]", message)
        for index, message in enumerate(batch.messages)
    ]
    idempotency = None
    if key is not None:
        part = str(uuid.uuid5(key, str(batch.first)))
        # The bank belongs to the body: the same stream to another bank is another request.
        header = document_pb2.IngestHeader(parent=names.bank_name(bank))
        digest = checks.digest([header, *batch.messages])
        idempotency = Idempotency(part, "IngestDocuments", digest)
    added = await batches.add(engine, bank, items, idempotency)
    for item, outcome in zip(items, added.outcomes, strict=True):
        settled = await _recognised(engine, bank, item, outcome)
        response.results.append(_brief(settled))
    response.operations.append(convert.operation(added.operation))


async def _recognised(
    engine: Engine, bank: str, item: batches.Item, outcome: batches.Outcome
) -> batches.Outcome:
    """Count a document that is stored already, word for word, as taken: the stream was resumed."""
    if isinstance(item, ApiError) or not isinstance(outcome, ApiError):
        return outcome
    if outcome.reason is not Reason.DOCUMENT_EXISTS or item.document_id is None:
        return outcome
    stored = await engine.get_document(bank, item.document_id)
    same = (stored.title, stored.text, stored.metadata) == (item.title, item.text, item.metadata)
    times = (stored.event_time, stored.expire_time) == (item.event_time, item.expire_time)
    return stored if same and times else outcome


def _brief(outcome: batches.Outcome) -> document_pb2.DocumentResult:
    """A result without title and metadata: ten thousand of them fit into one message."""
    message = batches.result(outcome)
    if isinstance(outcome, Document):
        message.document.ClearField("title")
        message.document.ClearField("metadata")
    return message
