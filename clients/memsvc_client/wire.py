"""Between dataclasses and protocol buffers. Knows no channels and no verbs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from memsvc_proto.v1 import admin_pb2, bank_pb2, document_pb2, operation_pb2

from memsvc_client.errors import InvalidArgument, MemsvcError, from_status
from memsvc_client.resources import (
    Bank,
    BankEstimate,
    Document,
    DocumentState,
    Identity,
    NewDocument,
    Operation,
    OperationKind,
    OperationState,
    Reencoding,
    Routing,
    Scalar,
    ServerInfo,
    ServerState,
    ServingState,
)

_SERVING_STATE = bank_pb2.Bank.ServingState
# JSON numbers are doubles: beyond this an integer would come back as another.
MAX_INTEGER = 2**53


def to_struct(metadata: Mapping[str, Scalar], field: str = "metadata") -> Struct:
    """Raises InvalidArgument for values that are no scalars, not finite or not exact as doubles."""
    for key, value in metadata.items():
        if not isinstance(value, str | int | float):
            raise InvalidArgument.of_field(
                f"{field}.{key}", f"{type(value).__name__} is no string, number or boolean"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidArgument.of_field(f"{field}.{key}", f"{value} is not a finite number")
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise InvalidArgument.of_field(f"{field}.{key}", f"{value} is beyond 2**53")
    struct = Struct()
    struct.update(dict(metadata))
    return struct


def to_scalars(struct: Struct) -> dict[str, Scalar]:
    """Whole numbers come back as int."""
    scalars: dict[str, Scalar] = {}
    for key, value in struct.fields.items():
        match value.WhichOneof("kind"):
            case "string_value":
                scalars[key] = value.string_value
            case "bool_value":
                scalars[key] = value.bool_value
            case "number_value":
                number = value.number_value
                scalars[key] = int(number) if number.is_integer() else number
            case _:
                continue  # Lists, objects and null are never stored.
    return scalars


def to_timestamp(moment: datetime, field: str) -> Timestamp:
    """Raises InvalidArgument if the time zone is missing: guessing it would move the event."""
    if moment.tzinfo is None:
        raise InvalidArgument.of_field(field, "needs a time zone, for example timezone.utc")
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def to_optional(moment: datetime | None, field: str) -> Timestamp | None:
    """`to_timestamp`, but None stays None."""
    return None if moment is None else to_timestamp(moment, field)


def to_datetime(stamp: Timestamp) -> datetime:
    """Aware, UTC, to the microsecond."""
    return stamp.ToDatetime(tzinfo=UTC)


def new_document(document: NewDocument) -> document_pb2.NewDocument:
    """Raises InvalidArgument for metadata, times or text that cannot be sent."""
    return document_pb2.NewDocument(
        document_id=document.document_id,
        title=unicode_only(document.title, "title"),
        text=unicode_only(document.text, "text"),
        metadata=to_struct(document.metadata),
        event_time=to_optional(document.event_time, "event_time"),
        expire_time=to_optional(document.expire_time, "expire_time"),
    )


def unicode_only(text: str, field: str) -> str:
    """Raises InvalidArgument if the text holds lone surrogates, which UTF-8 cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument.of_field(field, f"is not valid Unicode: {error.reason}") from error
    return text


def bank(message: bank_pb2.Bank) -> Bank:
    return Bank(
        name=message.name,
        display_name=message.display_name,
        metadata=to_scalars(message.metadata),
        quota_bytes=message.quota_bytes if message.HasField("quota_bytes") else None,
        document_count=message.document_count,
        pending_count=message.pending_count,
        ready_count=message.ready_count,
        failed_count=message.failed_count,
        text_bytes=message.text_bytes,
        kv_bytes=message.kv_bytes,
        identity_digest=message.identity_digest,
        etag=message.etag,
        create_time=to_datetime(message.create_time) if message.HasField("create_time") else None,
        update_time=to_datetime(message.update_time) if message.HasField("update_time") else None,
        serving_state=cast("ServingState", _SERVING_STATE.Name(message.serving_state)),
        serving_identity=(
            identity(message.serving_identity) if message.HasField("serving_identity") else None
        ),
        loaded_identity=(
            identity(message.loaded_identity) if message.HasField("loaded_identity") else None
        ),
        reencoding=reencoding(message.reencoding) if message.HasField("reencoding") else None,
        routing=routing(message.routing) if message.HasField("routing") else None,
    )


def routing(message: bank_pb2.Routing) -> Routing:
    return Routing(
        coarse=message.coarse,
        recall=message.recall if message.HasField("recall") else None,
        questions=message.questions,
        speedup=message.speedup if message.HasField("speedup") else None,
    )


def identity(message: bank_pb2.Identity) -> Identity:
    return Identity(
        model=message.model,
        weights_digest=message.weights_digest,
        tokenizer_digest=message.tokenizer_digest,
        template=message.template,
        pool_size=message.pool_size,
        dtype=message.dtype,
        router_layers=tuple(message.router_layers),
        block_format=message.block_format,
        digest=message.digest,
    )


def reencoding(message: bank_pb2.Reencoding) -> Reencoding:
    return Reencoding(message.operation, message.total, message.done, message.failed)


def bank_estimate(message: bank_pb2.EstimateBankResponse) -> BankEstimate:
    return BankEstimate(
        identity=identity(message.identity),
        document_count=message.document_count,
        chunk_count=message.chunk_count,
        near_bytes=message.near_bytes,
        far_bytes=message.far_bytes,
        hop_bytes=message.hop_bytes,
        k=message.k,
        encode_seconds=message.encode_seconds if message.HasField("encode_seconds") else None,
    )


def document(message: document_pb2.Document) -> Document:
    def moment(field: str) -> datetime | None:
        return to_datetime(getattr(message, field)) if message.HasField(field) else None

    return Document(
        name=message.name,
        title=message.title,
        text=message.text,
        metadata=to_scalars(message.metadata),
        event_time=moment("event_time"),
        expire_time=moment("expire_time"),
        state=cast("DocumentState", document_pb2.Document.State.Name(message.state)),
        error=message.error,
        tokens=message.tokens if message.HasField("tokens") else None,
        chunks=message.chunks if message.HasField("chunks") else None,
        revision=message.revision,
        etag=message.etag,
        create_time=moment("create_time"),
        update_time=moment("update_time"),
    )


def result(message: document_pb2.DocumentResult, call_id: str) -> Document | MemsvcError:
    if message.WhichOneof("result") == "error":
        return from_status(message.error, call_id)
    return document(message.document)


def operation(message: operation_pb2.Operation) -> Operation:
    return Operation(
        name=message.name,
        bank=message.bank,
        kind=cast("OperationKind", operation_pb2.Operation.Kind.Name(message.kind)),
        state=cast("OperationState", operation_pb2.Operation.State.Name(message.state)),
        total=message.total,
        done=message.done,
        failed=message.failed,
        error=message.error,
        create_time=to_datetime(message.create_time) if message.HasField("create_time") else None,
        update_time=to_datetime(message.update_time) if message.HasField("update_time") else None,
    )


def server_info(message: admin_pb2.ServerInfo) -> ServerInfo:
    return ServerInfo(
        version=message.version,
        model=message.model,
        identity_digest=message.identity_digest,
        state=cast("ServerState", admin_pb2.ServerInfo.State.Name(message.state)),
        state_reason=message.state_reason,
        pid=message.pid,
        start_time=to_datetime(message.start_time) if message.HasField("start_time") else None,
        uptime=message.uptime.ToTimedelta().total_seconds(),
    )
