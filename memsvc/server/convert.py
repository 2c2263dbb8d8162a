"""From the engine's dataclasses to messages. Knows both shapes, no engine and no checks."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from memsvc_proto.v1 import bank_pb2, document_pb2, memory_pb2, operation_pb2
from memsvc_router import api
from memsvc_storage import Bank, BankStats, Document, Operation, Scalar, Version

from memsvc.engine import RecallWithTexts
from memsvc.server.names import bank_name, document_name, operation_name


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A UTC time as a Timestamp; None stays unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def struct(metadata: dict[str, Scalar]) -> Struct | None:
    """Metadata as a Struct; empty metadata stays unset."""
    if not metadata:
        return None
    message = Struct()
    message.update(metadata)
    return message


def bank(row: Bank, stats: BankStats, identity_digest: str) -> bank_pb2.Bank:
    """A bank with its counters."""
    return bank_pb2.Bank(
        name=bank_name(row.name),
        display_name=row.display_name,
        metadata=struct(row.metadata),
        quota_bytes=row.quota_bytes,
        document_count=row.document_count,
        pending_count=stats.pending,
        ready_count=stats.ready,
        failed_count=stats.failed,
        text_bytes=row.text_bytes,
        kv_bytes=row.kv_bytes,
        identity_digest=identity_digest,
        etag=row.etag,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def document(row: Document, with_text: bool) -> document_pb2.Document:
    """A document, with or without its text."""
    return document_pb2.Document(
        name=document_name(row.bank, row.document_id),
        title=row.title,
        text=row.text if with_text else "",
        metadata=struct(row.metadata),
        event_time=timestamp(row.event_time),
        expire_time=timestamp(row.expire_time),
        state=row.state,
        error=row.error,
        tokens=row.tokens,
        chunks=row.chunks,
        revision=row.revision,
        etag=row.etag,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def version(row: Version) -> document_pb2.DocumentVersion:
    """A former version of a document."""
    return document_pb2.DocumentVersion(
        revision=row.revision,
        title=row.title,
        text=row.text,
        event_time=timestamp(row.event_time),
        replace_time=timestamp(row.replace_time),
    )


def operation(row: Operation) -> operation_pb2.Operation:
    """An operation as it stands."""
    return operation_pb2.Operation(
        name=operation_name(row.operation_id),
        bank=bank_name(row.bank),
        kind=row.kind,
        state=row.state,
        total=row.total,
        done=row.done,
        failed=row.failed,
        error=row.error,
        create_time=timestamp(row.create_time),
        update_time=timestamp(row.update_time),
    )


def hit(bank: str, event: api.Hit, text: api.DocumentText | None = None) -> memory_pb2.Hit:
    """A routed document; with its text also the title and the quoted chunk."""
    return memory_pb2.Hit(
        document=document_name(bank, event.document_id),
        score=event.score,
        chunk=event.chunk,
        start=event.start,
        end=event.end,
        hop=event.hop,
        read=event.read,
        title=text.title if text else "",
        quote=text.text[event.start : event.end] if text else "",
    )


def recalled(bank: str, found: RecallWithTexts) -> memory_pb2.RecallResponse:
    """What a question needs, with the text of each hit."""
    return memory_pb2.RecallResponse(
        hits=[hit(bank, one, text) for one, text in zip(found.hits, found.texts, strict=True)],
        hops=[hop(bank, one) for one in found.hops],
        usage=usage(found.usage),
    )


def hop(bank: str, event: api.Hop) -> memory_pb2.Hop:
    """One round of routing."""
    return memory_pb2.Hop(
        index=event.index,
        given=[document_name(bank, given) for given in event.given],
        routed=[hit(bank, routed) for routed in event.routed],
        read=[document_name(bank, read) for read in event.read],
        milliseconds=event.milliseconds,
        layers=[
            memory_pb2.LayerRoute(
                layer=route.layer,
                documents=[document_name(bank, found) for found in route.documents],
                scores=route.scores,
            )
            for route in event.layers
        ],
    )


def citation(bank: str, event: api.Citation) -> memory_pb2.Citation:
    """A verbatim source."""
    return memory_pb2.Citation(
        document=document_name(bank, event.document_id),
        title=event.title,
        quote=event.quote,
        start=event.start,
        end=event.end,
        chunk=event.chunk,
        score=event.score,
        hop=event.hop,
        layer=event.layer,
    )


def usage(event: api.Usage) -> memory_pb2.Usage:
    """What a question cost."""
    return memory_pb2.Usage(
        question_tokens=event.question_tokens,
        read_tokens=event.read_tokens,
        documents_read=event.documents_read,
        hops=event.hops,
        forward_ms=event.forward_ms,
        total_ms=event.total_ms,
        answer_tokens=event.answer_tokens,
    )


def ask_event(bank: str, event: api.Event) -> memory_pb2.AskEvent:
    """One event of an answer."""
    match event:
        case api.Hop():
            return memory_pb2.AskEvent(hop=hop(bank, event))
        case api.Citation():
            return memory_pb2.AskEvent(citation=citation(bank, event))
        case api.Token():
            return memory_pb2.AskEvent(token=memory_pb2.Token(text=event.text))
        case api.Done():
            done = memory_pb2.Done(
                answer=event.answer,
                found=event.found,
                confidence=event.confidence,
                usage=usage(event.usage),
            )
            return memory_pb2.AskEvent(done=done)
