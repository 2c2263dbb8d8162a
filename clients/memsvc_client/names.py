"""Resource names: `banks/{bank}`, `banks/{bank}/documents/{document}`, `operations/{operation}`,
`banks/{bank}/feedback/{feedback}`, `banks/{bank}/sessions/{session}`.

Every verb of the SDK takes an id or a full name. Knows the shape of names only; which characters an
id may hold is the server's to judge.
"""

from __future__ import annotations

from collections.abc import Iterable

from memsvc_client.errors import InvalidArgument


def bank_name(bank: str) -> str:
    """`notes` or `banks/notes` → `banks/notes`. Raises InvalidArgument if it is neither."""
    return f"banks/{_id(bank.removeprefix('banks/'), 'bank')}"


def document_name(bank: str, document: str) -> str:
    """An id in `bank`, or a full name within it. Raises InvalidArgument on another bank's name."""
    return _within(bank, "documents", document, "document")


def document_names(bank: str, documents: Iterable[str], field: str) -> list[str]:
    """Each as `document_name` does. Raises InvalidArgument for one string alone, too."""
    if isinstance(documents, str):  # each of its characters would be a document
        raise InvalidArgument.of_field(field, "is one string; a sequence of strings is needed")
    return [document_name(bank, one) for one in documents]


def operation_name(operation: str) -> str:
    """`abc` or `operations/abc` → `operations/abc`. Raises InvalidArgument if it is neither."""
    return f"operations/{_id(operation.removeprefix('operations/'), 'operation')}"


def feedback_name(bank: str, feedback: str) -> str:
    """An id in `bank`, or a full name within it. Raises InvalidArgument on another bank's name."""
    return _within(bank, "feedback", feedback, "feedback")


def session_name(bank: str, session: str) -> str:
    """An id in `bank`, or a full name within it. Raises InvalidArgument on another bank's name."""
    return _within(bank, "sessions", session, "session")


def turn_id(bank: str, turn: str) -> str:
    """The id of a turn that is named by id or by a full name within `bank`, of whichever session:
    forks share turns. "" stays "". Raises InvalidArgument on what is neither."""
    if not turn:
        return ""
    above, _, last = turn.rpartition("/turns/")
    if above:
        session_name(bank, above)
    return _id(last, "turn")


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
