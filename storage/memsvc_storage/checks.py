"""What can be stored: the same answer on every database.

Knows fields and their values; knows nothing of SQL. These are the store's own limits; what a
service accepts from its callers is the service's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

from memsvc_storage.errors import InvalidDocument
from memsvc_storage.rows import DocumentChanges, NewDocument, Scalar, Unset
from memsvc_storage.session_rows import NewSession, NewTurn


def check_document(doc: NewDocument) -> InvalidDocument | None:
    """Why a document cannot be stored, None if it can."""
    try:
        if doc.document_id == "":
            raise InvalidDocument("document_id", "is empty")
        _check_text("document_id", doc.document_id or "")
        check_changes(
            DocumentChanges(doc.title, doc.text, doc.metadata, doc.event_time, doc.expire_time)
        )
    except InvalidDocument as problem:
        return problem
    return None


def check_changes(fields: DocumentChanges) -> None:
    """Raises InvalidDocument naming the field."""
    if not isinstance(fields.title, Unset):
        _check_text("title", fields.title)
    if not isinstance(fields.text, Unset):
        _check_text("text", fields.text)
    if not isinstance(fields.metadata, Unset):
        _check_metadata(fields.metadata)
    _check_time("event_time", fields.event_time)
    _check_time("expire_time", fields.expire_time)


def check_session(new: NewSession) -> None:
    """Raises InvalidDocument naming the field."""
    if new.session_id == "":
        raise InvalidDocument("session_id", "is empty")
    _check_text("session_id", new.session_id or "")
    _check_text("agent", new.agent)
    _check_metadata(new.metadata)
    _check_time("expire_time", new.expire_time)


def check_turn(turn: NewTurn) -> None:
    """Raises InvalidDocument naming the field."""
    if turn.turn_id == "":
        raise InvalidDocument("turn_id", "is empty")
    for field in ("turn_id", "role", "content", "title", "text"):
        _check_text(field, getattr(turn, field) or "")
    for call in turn.tool_calls:
        for value in (call.id, call.name, call.arguments, call.result):
            _check_text("tool_calls", value)
    _check_time("time", turn.time)


def _check_text(field: str, value: str) -> None:
    if "\0" in value:  # PostgreSQL cannot hold it
        raise InvalidDocument(field, "contains a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidDocument(field, "is not valid Unicode (a lone surrogate)") from None


def _check_metadata(metadata: Mapping[str, Scalar]) -> None:
    for key, value in metadata.items():
        _check_text("metadata", key)
        if isinstance(value, str):
            _check_text("metadata", value)
        elif (
            not isinstance(value, (int, float)) or value in (math.inf, -math.inf) or value != value
        ):
            raise InvalidDocument("metadata", f"{key!r} is neither text, finite number nor bool")


def _check_time(field: str, value: datetime | Unset | None) -> None:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidDocument(field, "has no time zone")
