"""The closed list of reasons for which a call can fail, and how each looks on the wire.

Every error a caller sees is a google.rpc.Status with ErrorInfo (domain "memsvc", one of the
reasons below) and what else applies: BadRequest, QuotaFailure, RetryInfo, RequestInfo. Knows
the exceptions of storage, router and engine; knows no servicer. docs/errors.md shows this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from memsvc_router.device import DeviceFull
from memsvc_storage import (
    BankExists,
    BankNotFound,
    DocumentExists,
    DocumentNotFound,
    EtagMismatch,
    FeedbackNotFound,
    InvalidDocument,
    InvalidFeedback,
    OperationFinished,
    OperationNotFound,
    QuotaExceeded,
    RequestConflict,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    TurnExists,
    TurnNotFound,
    TurnOutOfOrder,
)

from memsvc.engine import (
    BankReencoding,
    EncodingUnhealthy,
    EngineStopped,
    MemoryChanged,
    ModelNotReady,
    Overloaded,
)

DOMAIN = "memsvc"
# Statuses travel in HTTP/2 trailers, of which gRPC takes 8 KiB by default.
_MAX_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class _Row:
    """One line of the table. `retry_seconds`: None means that a retry of the same call is vain."""

    code: grpc.StatusCode
    meaning: str
    retry_seconds: float | None = None


_Code = grpc.StatusCode


class Reason(Enum):
    """Why a call failed. Names are stable; a client may branch on them."""

    INVALID_FIELD = _Row(_Code.INVALID_ARGUMENT, "a field's value cannot be used; see BadRequest")
    INVALID_ENCODING = _Row(
        _Code.INVALID_ARGUMENT, "the request is not a valid message (for example text not UTF-8)"
    )
    TEXT_TOO_LARGE = _Row(_Code.INVALID_ARGUMENT, "the text of a document or turn is over 1 MiB")
    INVALID_FILTER = _Row(
        _Code.INVALID_ARGUMENT, "the filter has a syntax error or names an unknown field"
    )
    INVALID_PAGE_TOKEN = _Row(
        _Code.INVALID_ARGUMENT, "the page token has expired or belongs to another request"
    )
    UNKNOWN_TOKENIZER = _Row(
        _Code.INVALID_ARGUMENT, "the server has no tokenizer of this name; the message has those"
    )
    API_KEY_REQUIRED = _Row(_Code.UNAUTHENTICATED, "no API key was sent, or an unknown one")
    BANK_NOT_FOUND = _Row(_Code.NOT_FOUND, "there is no such bank")
    DOCUMENT_NOT_FOUND = _Row(_Code.NOT_FOUND, "there is no such document in the bank")
    OPERATION_NOT_FOUND = _Row(_Code.NOT_FOUND, "there is no such operation")
    FEEDBACK_NOT_FOUND = _Row(_Code.NOT_FOUND, "there is no such feedback in the bank")
    SESSION_NOT_FOUND = _Row(
        _Code.NOT_FOUND, "there is no such session in the bank, or it has expired"
    )
    TURN_NOT_FOUND = _Row(_Code.NOT_FOUND, "there is no such turn in the session")
    BANK_EXISTS = _Row(_Code.ALREADY_EXISTS, "a bank of this name exists")
    DOCUMENT_EXISTS = _Row(_Code.ALREADY_EXISTS, "a document of this id exists in the bank")
    SESSION_EXISTS = _Row(_Code.ALREADY_EXISTS, "a session of this id exists in the bank")
    TURN_EXISTS = _Row(
        _Code.ALREADY_EXISTS, "the session has a turn of this id with another content"
    )
    REQUEST_ID_REUSED = _Row(
        _Code.ALREADY_EXISTS, "the request_id was used before with another body"
    )
    ETAG_MISMATCH = _Row(
        _Code.ABORTED, "the resource has changed since this etag; read it again, then decide"
    )
    TURN_OUT_OF_ORDER = _Row(
        _Code.ABORTED, "`after` is not the session's last turn; read on from there, then decide"
    )
    SESSION_ENDED = _Row(
        _Code.FAILED_PRECONDITION, "the session has ended and takes no more turns; fork it"
    )
    OPERATION_FINISHED = _Row(
        _Code.FAILED_PRECONDITION, "the operation has ended or is of a kind that is not cancelled"
    )
    BANK_REENCODING = _Row(
        _Code.FAILED_PRECONDITION,
        "the bank's blocks are of a model that is not loaded, and are being made anew; "
        "`metadata` names the operation and how far it is",
        5.0,
    )
    BANK_EMPTY = _Row(
        _Code.FAILED_PRECONDITION,
        "the bank, or what the filter lets through of it, has no encoded document",
    )
    QUOTA_EXCEEDED = _Row(
        _Code.RESOURCE_EXHAUSTED, "the bank's byte quota is used up; delete, or raise the quota"
    )
    MEMORY_CHANGED = _Row(
        _Code.ABORTED, "a document was deleted while the answer was being read from it", 0.1
    )
    OVERLOADED = _Row(_Code.RESOURCE_EXHAUSTED, "too many calls are waiting for the model", 1.0)
    MODEL_LOADING = _Row(_Code.UNAVAILABLE, "the model is still loading", 2.0)
    MODEL_FAILED = _Row(_Code.UNAVAILABLE, "the model could not be loaded; see the server's log")
    ENCODING_UNHEALTHY = _Row(
        _Code.UNAVAILABLE, "encoding fails again and again; see the server's log", 30.0
    )
    SHUTTING_DOWN = _Row(_Code.UNAVAILABLE, "the server is draining before it stops", 1.0)
    DEADLINE_EXCEEDED = _Row(_Code.DEADLINE_EXCEEDED, "the call's deadline passed before its end")
    INTERNAL = _Row(_Code.INTERNAL, "a fault of the server's; report the request id")

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status code that carries this reason."""
        return self.value.code

    @property
    def retryable(self) -> bool:
        """Whether the same call can succeed later without any change."""
        return self.value.retry_seconds is not None


class ApiError(Exception):
    """An error as callers see it. `fields`: (request field, what is wrong with it) pairs."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        fields: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        quota_subject: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = _clipped(message)
        self.fields = {field: _clipped(text) for field, text in (fields or {}).items()}
        self.metadata = dict(metadata or {})
        self.quota_subject = quota_subject


def _clipped(text: str) -> str:
    short = len(text) <= _MAX_MESSAGE_CHARACTERS
    return text if short else text[: _MAX_MESSAGE_CHARACTERS - 1] + "…"


def invalid(field: str, message: str, reason: Reason = Reason.INVALID_FIELD) -> ApiError:
    """The caller's mistake in one field of the request."""
    return ApiError(reason, f"{field}: {message}", {field: message})


def shutting_down() -> ApiError:
    """What callers hear while the server drains."""
    return ApiError(Reason.SHUTTING_DOWN, Reason.SHUTTING_DOWN.value.meaning)


_SIMPLE: dict[type[Exception], Reason] = {
    BankNotFound: Reason.BANK_NOT_FOUND,
    DocumentNotFound: Reason.DOCUMENT_NOT_FOUND,
    OperationNotFound: Reason.OPERATION_NOT_FOUND,
    FeedbackNotFound: Reason.FEEDBACK_NOT_FOUND,
    SessionNotFound: Reason.SESSION_NOT_FOUND,
    TurnNotFound: Reason.TURN_NOT_FOUND,
    BankExists: Reason.BANK_EXISTS,
    DocumentExists: Reason.DOCUMENT_EXISTS,
    SessionExists: Reason.SESSION_EXISTS,
    TurnExists: Reason.TURN_EXISTS,
    EtagMismatch: Reason.ETAG_MISMATCH,
    TurnOutOfOrder: Reason.TURN_OUT_OF_ORDER,
    SessionEnded: Reason.SESSION_ENDED,
    OperationFinished: Reason.OPERATION_FINISHED,
    MemoryChanged: Reason.MEMORY_CHANGED,
    Overloaded: Reason.OVERLOADED,
    DeviceFull: Reason.OVERLOADED,
    EngineStopped: Reason.SHUTTING_DOWN,
    EncodingUnhealthy: Reason.ENCODING_UNHEALTHY,
    TimeoutError: Reason.DEADLINE_EXCEEDED,
}


_FEEDBACK_FIELDS = {"relevant": "relevant_documents", "irrelevant": "irrelevant_documents"}


def translate(error: Exception, model_failed: bool = False) -> ApiError:
    """Turn any exception into what the caller may see. `model_failed`: it will not load any more.

    What is not known here becomes INTERNAL with a fixed message: exception texts can hold SQL,
    paths or the documents' own words.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestConflict):
        return ApiError(Reason.REQUEST_ID_REUSED, str(error), {"request_id": str(error)})
    if isinstance(error, QuotaExceeded):
        limits = {"quota_bytes": str(error.quota), "needed_bytes": str(error.would_be)}
        subject = f"banks/{error.bank}"
        return ApiError(Reason.QUOTA_EXCEEDED, str(error), metadata=limits, quota_subject=subject)
    if isinstance(error, BankReencoding):
        return _reencoding(error)
    if isinstance(error, InvalidDocument):
        return invalid(error.field, error.reason)
    if isinstance(error, InvalidFeedback):
        return invalid(f"feedback.{_FEEDBACK_FIELDS.get(error.field, error.field)}", error.reason)
    if isinstance(error, ModelNotReady):
        return ApiError(Reason.MODEL_FAILED if model_failed else Reason.MODEL_LOADING, str(error))
    for kind, reason in _SIMPLE.items():
        if isinstance(error, kind):
            return ApiError(reason, str(error) or reason.value.meaning)
    return ApiError(Reason.INTERNAL, "internal error; report the request id")


def _reencoding(error: BankReencoding) -> ApiError:
    name = f"operations/{error.operation.operation_id}"
    facts = {
        "operation": name,
        "done": str(error.operation.done),
        "total": str(error.operation.total),
    }
    return ApiError(Reason.BANK_REENCODING, f"{error}; wait for {name}", metadata=facts)


def to_status(error: ApiError, request_id: str = "") -> status_pb2.Status:
    """The google.rpc.Status of an error, with all its details packed."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason.name,
            domain=DOMAIN,
            metadata={**error.metadata, "retryable": str(error.reason.retryable).lower()},
        )
    ]
    details += _field_details(error)
    if error.quota_subject:
        violation = error_details_pb2.QuotaFailure.Violation(
            subject=error.quota_subject, description=error.message
        )
        details.append(error_details_pb2.QuotaFailure(violations=[violation]))
    if error.reason.value.retry_seconds is not None:
        details.append(_retry_info(error.reason.value.retry_seconds))
    if request_id:
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    status = status_pb2.Status(code=error.reason.code.value[0], message=error.message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _field_details(error: ApiError) -> list[Message]:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
        for field, description in error.fields.items()
    ]
    return [error_details_pb2.BadRequest(field_violations=violations)] if violations else []


def _retry_info(seconds: float) -> Message:
    delay = Duration()
    delay.FromMilliseconds(round(seconds * 1000))
    info: Message = error_details_pb2.RetryInfo(retry_delay=delay)
    return info


def table() -> str:
    """The reasons as a Markdown table; docs/errors.md holds it word for word."""
    lines = ["| reason | gRPC code | retryable | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{reason.name}` | `{reason.code.name}` | {'yes' if reason.retryable else 'no'} "
        f"| {reason.value.meaning} |"
        for reason in Reason
    ]
    return "\n".join(lines)
