"""What a request's fields may hold. Each check returns the usable value or raises ApiError
(INVALID_ARGUMENT) naming the field. Knows messages and limits, no engine.
"""

from __future__ import annotations

import hashlib
import math
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from memsvc_proto.v1 import bank_pb2
from memsvc_storage import Idempotency, Scalar

from memsvc import filters
from memsvc.engine import Keyed
from memsvc.errors import Reason, invalid

MAX_TEXT_BYTES = 1 << 20
MAX_TITLE_CHARACTERS = 1024
MAX_DISPLAY_NAME_CHARACTERS = 256
MAX_METADATA_BYTES = 16 << 10
MAX_QUESTION_CHARACTERS = 8192
MAX_K = 256
MAX_HOPS = 16
MAX_DOCUMENTS_READ = 256
MAX_READ_TOKENS = (1 << 31) - 1
MAX_CONTEXT_TOKENS = 131_072
MAX_ANSWER_TOKENS = 32_768
MAX_TEMPERATURE = 10
MAX_TOP_K = (1 << 31) - 1
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 50
MAX_BATCH_DOCUMENTS = 1000
MAX_STREAM_DOCUMENTS = 10_000
MAX_COMPARE_QUESTIONS = 10_000
MAX_FEEDBACK_DOCUMENTS = 256
MAX_RECENCY_WEIGHT = 10
MAX_AGENT_CHARACTERS = 128
MAX_ROLE_CHARACTERS = 64
MAX_TOOL_CALLS = 256
MAX_TOOL_CHARACTERS = 128
MAX_BATCH_TURNS = 100
MAX_RECENT_TURNS = 1000
MAX_TEMPLATE_CHARACTERS = 8192
MAX_FORGET_DOCUMENTS = 1000

LIMITS = {
    "a document's text": f"1 to {MAX_TEXT_BYTES:,} bytes of UTF-8, not only white space",
    "a document's title": f"{MAX_TITLE_CHARACTERS:,} characters",
    "a bank's display name": f"{MAX_DISPLAY_NAME_CHARACTERS:,} characters",
    "metadata of a document or bank": f"{MAX_METADATA_BYTES:,} bytes as a message",
    "a question or query": f"{MAX_QUESTION_CHARACTERS:,} characters",
    "a filter": f"{filters.MAX_CHARACTERS:,} characters, nested {filters.MAX_DEPTH} deep",
    "`options.k`": f"1 to {MAX_K:,}",
    "`options.max_hops`": f"1 to {MAX_HOPS:,}",
    "`options.max_documents`": f"1 to {MAX_DOCUMENTS_READ:,}",
    "`options.max_read_tokens`": "1 or more",
    "`options.max_seconds`": "more than 0",
    "`options.sampling.max_tokens`": f"1 to {MAX_ANSWER_TOKENS:,}",
    "`options.sampling.temperature`": f"0 to {MAX_TEMPERATURE}",
    "`options.sampling.top_p`": "more than 0, at most 1",
    "`options.sampling.top_k`": "0 (all) or more",
    "`options.sampling.stop`": f"{MAX_STOPS} strings of 1 to {MAX_STOP_CHARACTERS} characters",
    "`BuildContext.max_tokens`": f"1 to {MAX_CONTEXT_TOKENS:,}",
    "`page_size`": f"{MAX_PAGE_SIZE:,} (more counts as that); 0 counts as {DEFAULT_PAGE_SIZE}",
    "`AddDocuments.documents`": f"1 to {MAX_BATCH_DOCUMENTS:,}",
    "documents of one IngestDocuments stream": f"{MAX_STREAM_DOCUMENTS:,}",
    "`Compare.questions`": f"1 to {MAX_COMPARE_QUESTIONS:,}",
    "documents that a feedback calls relevant, or irrelevant": f"{MAX_FEEDBACK_DOCUMENTS:,}",
    "the answer in a feedback": f"{MAX_QUESTION_CHARACTERS:,} characters",
    "`recency.half_life`": "more than 0",
    "`recency.weight`": f"more than 0, at most {MAX_RECENCY_WEIGHT}",
    "a session's agent": f"{MAX_AGENT_CHARACTERS:,} characters",
    "a turn's role": f"1 to {MAX_ROLE_CHARACTERS:,} characters, all of them printable",
    "a turn's content, with its tool calls": f"1 to {MAX_TEXT_BYTES:,} bytes of UTF-8",
    "tool calls of a turn": f"{MAX_TOOL_CALLS:,}, with an id and a name of up to "
    f"{MAX_TOOL_CHARACTERS:,} characters",
    "`AppendTurns.turns`": f"1 to {MAX_BATCH_TURNS:,}",
    "`BuildSessionContext.max_tokens`": f"1 to {MAX_CONTEXT_TOKENS:,}",
    "`BuildSessionContext.recent_turns`": f"0 to {MAX_RECENT_TURNS:,}",
    "`BuildSessionContext.recent_share`": "0 to 1",
    "`BuildSessionContext.template`": f"{MAX_TEMPLATE_CHARACTERS:,} characters",
    "`ForgetDocuments.documents`": f"1 to {MAX_FORGET_DOCUMENTS:,} names",
}
"""What the limits are, for docs/errors.md."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def text_field(field: str, value: str, most: int) -> str:
    """A string of at most `most` characters without NUL (which PostgreSQL cannot hold)."""
    if "\0" in value:
        raise invalid(field, "holds a NUL character")
    if len(value) > most:
        raise invalid(field, f"has {len(value):,} characters; at most {most:,} are taken")
    return value


def document_text(field: str, value: str) -> str:
    """The text of a document."""
    text_bytes(field, len(value.encode()))
    if not value.strip():
        raise invalid(field, "is empty")
    return text_field(field, value, MAX_TEXT_BYTES)


def text_bytes(field: str, size: int) -> None:
    """Bytes of a text. Raises ApiError where they are too many."""
    if size > MAX_TEXT_BYTES:
        message = f"has {size:,} bytes; at most {MAX_TEXT_BYTES:,} are taken"
        raise invalid(field, message, Reason.TEXT_TOO_LARGE)


def question(field: str, value: str) -> str:
    """A question or query."""
    if not value.strip():
        raise invalid(field, "is empty")
    return text_field(field, value, MAX_QUESTION_CHARACTERS)


def metadata(field: str, value: Struct) -> dict[str, Scalar]:
    """Metadata as plain scalars; whole numbers become int."""
    if value.ByteSize() > MAX_METADATA_BYTES:
        raise invalid(field, f"is larger than {MAX_METADATA_BYTES:,} bytes")
    return {
        text_field(field, key, MAX_METADATA_BYTES): _scalar(f"{field}.{key}", value.fields[key])
        for key in sorted(value.fields)
    }


def _scalar(field: str, value: Value) -> Scalar:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return text_field(field, value.string_value, MAX_METADATA_BYTES)
    if kind == "bool_value":
        return value.bool_value
    if kind != "number_value":
        raise invalid(field, "is not a string, number or boolean")
    number = value.number_value
    if not math.isfinite(number):
        raise invalid(field, "is not a finite number")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def time(field: str, message: Message) -> datetime | None:
    """The UTC time in a Timestamp field of a message; None where it is unset."""
    name = field.rpartition(".")[2]
    if not message.HasField(name):
        return None
    stamp: Timestamp = getattr(message, name)
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid(field, "is not a time between the years 1 and 9999") from None


def agent(field: str, value: str, empty: bool = True) -> str:
    """Whose a session is."""
    if not empty and not value:
        raise invalid(field, "is empty")
    return text_field(field, value, MAX_AGENT_CHARACTERS)


def quota(field: str, message: bank_pb2.Bank) -> int | None:
    """A bank's quota in bytes; None where it is unset."""
    if not message.HasField("quota_bytes"):
        return None
    if message.quota_bytes < 0:
        raise invalid(field, "is negative")
    return message.quota_bytes


def page_size(value: int) -> int:
    """How many items to list."""
    if value < 0:
        raise invalid("page_size", "is negative")
    return min(value or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def count(field: str, value: int, most: int) -> int:
    """A whole number from 1 to `most`."""
    if not 1 <= value <= most:
        raise invalid(field, f"is {value}; 1 to {most:,} is taken")
    return value


def fraction(field: str, value: float) -> float:
    """A number from 0 to 1 (NaN is none)."""
    return within(field, value, 0, 1)


def within(field: str, value: float, least: int, most: int) -> float:
    """A number from `least` to `most` (NaN is none)."""
    if not least <= value <= most:
        raise invalid(field, f"is {value}; {least:,} to {most:,} is taken")
    return value


def above_zero(field: str, value: float, most: float = math.inf) -> float:
    """A number of more than 0 (NaN is none)."""
    if not 0 < value <= most:
        limit = "" if most == math.inf else f" and at most {most}"
        raise invalid(field, f"is {value}; more than 0{limit} is taken")
    return value


def document_filter(value: str, field: str = "filter") -> filters.Predicate | None:
    """A compiled filter; None lets every document through."""
    try:
        found = filters.compile_filter(text_field(field, value, filters.MAX_CHARACTERS))
    except filters.FilterError as error:
        raise invalid(field, str(error), Reason.INVALID_FILTER) from None
    return None if found is None else Keyed(value.strip(), found)


def update_paths(mask: FieldMask, message: Message, known: Sequence[str]) -> list[str]:
    """The fields an update changes: the mask's, or all set ones where there is no mask."""
    if not mask.paths:
        present = {descriptor.name for descriptor, _ in message.ListFields()}
        return [name for name in known if name in present]
    for path in mask.paths:
        if path not in known:
            raise invalid("update_mask", f"{path!r} cannot be updated; known: {', '.join(known)}")
    return list(dict.fromkeys(mask.paths))


def request_id(field: str, value: str) -> uuid.UUID | None:
    """A request id; None where it is empty."""
    if not value:
        return None
    if not _UUID.fullmatch(value):
        raise invalid(field, "is not a UUID such as 123e4567-e89b-42d3-a456-426614174000")
    return uuid.UUID(value)


def idempotency(method: str, request: Message) -> Idempotency | None:
    """What makes a write safe to repeat: its request_id and a digest of all else it says."""
    key = request_id("request_id", getattr(request, "request_id"))  # noqa: B009 - Message has none
    if key is None:
        return None
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    return Idempotency(str(key), method, digest([body]))


def digest(messages: Sequence[Message]) -> str:
    """SHA-256 over messages, the same for equal ones."""
    whole = hashlib.sha256()
    for message in messages:
        body = message.SerializeToString(deterministic=True)
        whole.update(len(body).to_bytes(8, "big") + body)
    return whole.hexdigest()
