"""Resource names: `banks/{bank}`, `banks/{bank}/documents/{document}`, `operations/{operation}`,
`banks/{bank}/feedback/{feedback}`, `banks/{bank}/sessions/{session}` and its `/turns/{turn}`.

Knows their grammar only, not whether the resource is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from memsvc.errors import invalid

BANK_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
DOCUMENT_ID = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
OPERATION_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
FEEDBACK_ID = OPERATION_ID
SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,63}")
TURN_ID = SESSION_ID


def bank_name(bank: str) -> str:
    """`banks/{bank}`."""
    return f"banks/{bank}"


def document_name(bank: str, document: str) -> str:
    """`banks/{bank}/documents/{document}`."""
    return f"banks/{bank}/documents/{document}"


def operation_name(operation: str) -> str:
    """`operations/{operation}`."""
    return f"operations/{operation}"


def feedback_name(bank: str, feedback: str) -> str:
    """`banks/{bank}/feedback/{feedback}`."""
    return f"banks/{bank}/feedback/{feedback}"


def session_name(bank: str, session: str) -> str:
    """`banks/{bank}/sessions/{session}`."""
    return f"banks/{bank}/sessions/{session}"


def turn_name(bank: str, session: str, turn: str) -> str:
    """`banks/{bank}/sessions/{session}/turns/{turn}`."""
    return f"banks/{bank}/sessions/{session}/turns/{turn}"


def bank_id(field: str, value: str) -> str:
    """Check a bank's id. Raises ApiError naming `field`."""
    if not BANK_ID.fullmatch(value):
        raise invalid(field, "a bank's id is 1 to 63 of a-z, 0-9 and '-', first and last not a '-'")
    return value


def document_id(field: str, value: str) -> str:
    """Check a document's id. Raises ApiError naming `field`."""
    if not DOCUMENT_ID.fullmatch(value):
        raise invalid(field, "a document's id is 1 to 128 of A-Z, a-z, 0-9 and ._~:-")
    return value


def session_id(field: str, value: str) -> str:
    """Check a session's id. Raises ApiError naming `field`."""
    if not SESSION_ID.fullmatch(value):
        raise invalid(field, "a session's id is 1 to 63 of A-Z, a-z, 0-9, '_' and '-'")
    return value


def turn_id(field: str, value: str) -> str:
    """Check a turn's id. Raises ApiError naming `field`."""
    if not TURN_ID.fullmatch(value):
        raise invalid(field, "a turn's id is 1 to 63 of A-Z, a-z, 0-9, '_' and '-'")
    return value


def parse_bank(field: str, name: str) -> str:
    """The bank's id in `banks/{bank}`. Raises ApiError naming `field`."""
    match name.split("/"):
        case ["banks", bank] if BANK_ID.fullmatch(bank):
            return bank
    raise invalid(field, "not a name of the form banks/{bank}")


def parse_document(field: str, name: str) -> tuple[str, str]:
    """Bank and document of `banks/{bank}/documents/{document}`. Raises ApiError naming `field`."""
    match name.split("/"):
        case ["banks", bank, "documents", document] if BANK_ID.fullmatch(
            bank
        ) and DOCUMENT_ID.fullmatch(document):
            return bank, document
    raise invalid(field, "not a name of the form banks/{bank}/documents/{document}")


def documents_of(bank: str, field: str, given: Sequence[str], most: int) -> tuple[str, ...]:
    """The ids of documents of one bank, at most so many. Raises ApiError naming `field`."""
    if len(given) > most:
        raise invalid(field, f"holds {len(given):,} names; at most {most:,} are taken")
    found = []
    for index, name in enumerate(given):
        where, document = parse_document(f"{field}[{index}]", name)
        if where != bank:
            raise invalid(f"{field}[{index}]", f"is not a document of {bank_name(bank)}")
        found.append(document)
    return tuple(found)


def parse_feedback(field: str, name: str) -> tuple[str, str]:
    """Bank and feedback of `banks/{bank}/feedback/{feedback}`. Raises ApiError naming `field`."""
    match name.split("/"):
        case ["banks", bank, "feedback", feedback] if BANK_ID.fullmatch(
            bank
        ) and FEEDBACK_ID.fullmatch(feedback):
            return bank, feedback
    raise invalid(field, "not a name of the form banks/{bank}/feedback/{feedback}")


def parse_session(field: str, name: str) -> tuple[str, str]:
    """Bank and session of `banks/{bank}/sessions/{session}`. Raises ApiError naming `field`."""
    match name.split("/"):
        case ["banks", bank, "sessions", session] if BANK_ID.fullmatch(
            bank
        ) and SESSION_ID.fullmatch(session):
            return bank, session
    raise invalid(field, "not a name of the form banks/{bank}/sessions/{session}")


def parse_operation(field: str, name: str) -> str:
    """The operation's id in `operations/{operation}`. Raises ApiError naming `field`."""
    match name.split("/"):
        case ["operations", operation] if OPERATION_ID.fullmatch(operation):
            return operation
    raise invalid(field, "not a name of the form operations/{operation}")
