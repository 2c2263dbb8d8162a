"""Errors of the SDK: one class for each gRPC status code, with the server's typed details.

Knows gRPC statuses and `google.rpc` details; nothing of single verbs.
"""

# ruff: noqa: N818 (the classes carry the names of the gRPC codes, as other gRPC SDKs do)

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "memsvc"
REQUEST_ID_HEADER = "x-request-id"
_DETAILS_KEY = "grpc-status-details-bin"
_Error = TypeVar("_Error", bound="MemsvcError")


@dataclass(frozen=True)
class FieldViolation:
    """What is wrong with which field of the request."""

    field: str
    description: str


class MemsvcError(Exception):
    """A call that did not succeed.

    `code`: the gRPC status name, for example "NOT_FOUND". `reason`: the server's stable reason from
    docs/errors.md, "" if it gave none. `retryable`: the same call may succeed later. `retry_after`:
    seconds the server asks to wait. `request_id`: finds the call in the server's log.
    """

    default_code = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str = "",
        retryable: bool = False,
        retry_after: float | None = None,
        request_id: str = "",
        field_violations: tuple[FieldViolation, ...] = (),
        info: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after
        self.request_id = request_id
        self.field_violations = field_violations
        self.info = info or {}

    @classmethod
    def of_field(cls: type[_Error], field: str, description: str) -> _Error:
        """An error that the SDK itself finds in an argument."""
        violation = FieldViolation(field, description)
        return cls(description, reason="INVALID_FIELD", field_violations=(violation,))


class Cancelled(MemsvcError):
    """The call was cancelled, for example because its client was closed."""

    default_code = "CANCELLED"


class InvalidArgument(MemsvcError, ValueError):
    """The request is wrong in itself; `field_violations` say where."""

    default_code = "INVALID_ARGUMENT"


class DeadlineExceeded(MemsvcError, TimeoutError):
    """The call took longer than its timeout. A write may or may not have happened."""

    default_code = "DEADLINE_EXCEEDED"


class NotFound(MemsvcError, LookupError):
    """There is no bank, document, session or operation of this name."""

    default_code = "NOT_FOUND"


class AlreadyExists(MemsvcError):
    """The id, or the request_id of another request, is taken."""

    default_code = "ALREADY_EXISTS"


class PermissionDenied(MemsvcError, PermissionError):
    """The API key does not allow this."""

    default_code = "PERMISSION_DENIED"


class ResourceExhausted(MemsvcError):
    """Over a quota or a size limit."""

    default_code = "RESOURCE_EXHAUSTED"


class FailedPrecondition(MemsvcError):
    """The system is not in the state that the call needs."""

    default_code = "FAILED_PRECONDITION"


class Aborted(MemsvcError):
    """The resource has changed meanwhile: its etag differs, or the turn to append after is not the
    last one. Read it again, then decide."""

    default_code = "ABORTED"


class Unimplemented(MemsvcError, NotImplementedError):
    """The server does not know this method; it may be older than the client."""

    default_code = "UNIMPLEMENTED"


class Internal(MemsvcError):
    """A fault of the server."""

    default_code = "INTERNAL"


class Unavailable(MemsvcError, ConnectionError):
    """No server there, or it is not ready or overloaded."""

    default_code = "UNAVAILABLE"


class DataLoss(MemsvcError):
    """Stored data is damaged beyond repair."""

    default_code = "DATA_LOSS"


class Unauthenticated(MemsvcError, PermissionError):
    """The API key is missing or not known."""

    default_code = "UNAUTHENTICATED"


_BY_CODE = {kind.default_code: kind for kind in MemsvcError.__subclasses__()}


def from_rpc(error: grpc.RpcError, request_id: str) -> MemsvcError:
    """The typed error of a failed call. `request_id`: what the client sent; the server's wins."""
    code: grpc.StatusCode = error.code()
    trailers = {str(key): value for key, value in _pairs(error.trailing_metadata())}
    status = _parse(trailers.get(_DETAILS_KEY, b""))
    if status is None:
        status = status_pb2.Status(code=code.value[0], message=error.details() or code.value[1])
    echoed = trailers.get(REQUEST_ID_HEADER, request_id)
    return from_status(status, request_id=echoed if isinstance(echoed, str) else request_id)


def from_status(status: status_pb2.Status, request_id: str = "") -> MemsvcError:
    """The typed error of a `google.rpc.Status`, of a whole call or of one document."""
    code = next((c.name for c in grpc.StatusCode if c.value[0] == status.code), "UNKNOWN")
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, request = error_details_pb2.RetryInfo(), error_details_pb2.RequestInfo()
    has_retry = False
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
        detail.Unpack(request)
        has_retry = detail.Unpack(retry) or has_retry
    ours = info.domain == DOMAIN
    return _BY_CODE.get(code, MemsvcError)(
        status.message,
        code=code,
        reason=info.reason if ours else "",
        # Our server says what can be retried; without its word (nobody there) UNAVAILABLE can be.
        retryable=has_retry or (code == "UNAVAILABLE" and not ours),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if has_retry else None,
        request_id=request.request_id or request_id,
        field_violations=tuple(
            FieldViolation(one.field, one.description) for one in bad.field_violations
        ),
        info=dict(info.metadata) if ours else {},
    )


def _pairs(metadata: object) -> Iterable[tuple[object, object]]:
    return metadata if isinstance(metadata, Iterable) else ()


def _parse(body: object) -> status_pb2.Status | None:
    """A proxy may send details that are not ours: then the plain code and message must do."""
    if not isinstance(body, bytes) or not body:
        return None
    try:
        return status_pb2.Status.FromString(body)
    except DecodeError:
        return None
