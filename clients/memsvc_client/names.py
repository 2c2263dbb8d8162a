"""Resource names: `banks/{bank}`, `banks/{bank}/documents/{document}`, `operations/{operation}`,
`banks/{bank}/feedback/{feedback}`.

Every verb of the SDK takes an id or a full name. Knows the shape of names only; which characters an
id may hold is the server's to judge.
"""

from __future__ import annotations

from memsvc_client.errors import InvalidArgument


def bank_name(bank: str) -> str:
    """`notes` or `banks/notes` → `banks/notes`. Raises InvalidArgument if it is neither."""
    return f"banks/{_id(bank.removeprefix('banks/'), 'bank')}"


def document_name(bank: str, document: str) -> str:
    """An id in `bank`, or a full name within it. Raises InvalidArgument on another bank's name."""
    return _within(bank, "documents", document, "document")


def operation_name(operation: str) -> str:
    """`abc` or `operations/abc` → `operations/abc`. Raises InvalidArgument if it is neither."""
    return f"operations/{_id(operation.removeprefix('operations/'), 'operation')}"


def feedback_name(bank: str, feedback: str) -> str:
    """An id in `bank`, or a full name within it. Raises InvalidArgument on another bank's name."""
    return _within(bank, "feedback", feedback, "feedback")


def last_id(name: str) -> str:
    """The last part of a resource name."""
    return name.rsplit("/", 1)[-1]


def _within(bank: str, collection: str, name: str, field: str) -> str:
    parent = bank_name(bank)
    if name.startswith("banks/"):
        if not name.startswith(f"{parent}/{collection}/"):
            raise InvalidArgument.of_field(field, f"{name!r} is not in {parent}")
        name = name.removeprefix(f"{parent}/{collection}/")
    return f"{parent}/{collection}/{_id(name, field)}"


def _id(text: str, field: str) -> str:
    if not text or "/" in text:
        raise InvalidArgument.of_field(field, f"{text!r} is no {field} id")
    return text
