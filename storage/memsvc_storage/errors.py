# ruff: noqa: N818  (names say what is wrong: BankNotFound reads better than BankNotFoundError)
"""What the store refuses, as exceptions with attributes; knows nothing of SQL, files or the wire.

No message carries document text: messages end up in logs.
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of everything the store raises on purpose."""


class StoreLocked(StorageError):
    """Another process owns the data directory or the database."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is in use by another process")
        self.what = what


class SchemaTooNew(StorageError):
    """The database was written by a newer memsvc; `found` and `known` are schema revisions."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"the database has schema revision {found}, newer than {known}; upgrade memsvc"
        )
        self.found = found
        self.known = known


class BankNotFound(StorageError):
    """No bank has this name."""

    def __init__(self, bank: str) -> None:
        super().__init__(f"bank {bank!r} does not exist")
        self.bank = bank


class BankExists(StorageError):
    """A bank of this name exists already."""

    def __init__(self, bank: str) -> None:
        super().__init__(f"bank {bank!r} exists already")
        self.bank = bank


class DocumentNotFound(StorageError):
    """No document has this id in the bank."""

    def __init__(self, bank: str, document_id: str) -> None:
        super().__init__(f"document {document_id!r} does not exist in bank {bank!r}")
        self.bank = bank
        self.document_id = document_id


class DocumentExists(StorageError):
    """A document of this id exists already in the bank."""

    def __init__(self, bank: str, document_id: str) -> None:
        super().__init__(f"document {document_id!r} exists already in bank {bank!r}")
        self.bank = bank
        self.document_id = document_id


class SessionNotFound(StorageError):
    """No session has this id in the bank, or not any more."""

    def __init__(self, bank: str, session_id: str) -> None:
        super().__init__(f"session {session_id!r} does not exist in bank {bank!r}")
        self.bank = bank
        self.session_id = session_id


class SessionExists(StorageError):
    """A session of this id exists already in the bank."""

    def __init__(self, bank: str, session_id: str) -> None:
        super().__init__(f"session {session_id!r} exists already in bank {bank!r}")
        self.bank = bank
        self.session_id = session_id


class SessionEnded(StorageError):
    """The session takes no more turns."""

    def __init__(self, bank: str, session_id: str) -> None:
        super().__init__(f"session {session_id!r} of bank {bank!r} has ended")
        self.bank = bank
        self.session_id = session_id


class TurnNotFound(StorageError):
    """The session has no turn of this id."""

    def __init__(self, bank: str, session_id: str, turn_id: str) -> None:
        super().__init__(f"session {session_id!r} of bank {bank!r} has no turn {turn_id!r}")
        self.bank = bank
        self.session_id = session_id
        self.turn_id = turn_id


class TurnExists(StorageError):
    """The session has another turn of this id."""

    def __init__(self, bank: str, session_id: str, turn_id: str) -> None:
        super().__init__(
            f"session {session_id!r} of bank {bank!r} has another turn {turn_id!r} already"
        )
        self.bank = bank
        self.session_id = session_id
        self.turn_id = turn_id


class TurnOutOfOrder(StorageError):
    """The caller wants to append after a turn that is not the `last` one ("": there is none)."""

    def __init__(self, bank: str, session_id: str, after: str, last: str) -> None:
        super().__init__(
            f"the last turn of session {session_id!r} of bank {bank!r} is {last!r}, not {after!r}"
        )
        self.bank = bank
        self.session_id = session_id
        self.after = after
        self.last = last


class FeedbackNotFound(StorageError):
    """No feedback has this id in the bank."""

    def __init__(self, bank: str, feedback_id: str) -> None:
        super().__init__(f"feedback {feedback_id!r} does not exist in bank {bank!r}")
        self.bank = bank
        self.feedback_id = feedback_id


class InvalidFeedback(StorageError, ValueError):
    """A feedback says nothing that can be kept, or contradicts itself in `field`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class InvalidDocument(StorageError, ValueError):
    """A field cannot be stored (not UTF-8, a NUL character, a naive time, no scalar)."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class QuotaExceeded(StorageError):
    """The bank's quota in bytes would be exceeded: `would_be` > `quota`."""

    def __init__(self, bank: str, quota: int, would_be: int) -> None:
        super().__init__(f"bank {bank!r} would hold {would_be} bytes, its quota is {quota}")
        self.bank = bank
        self.quota = quota
        self.would_be = would_be


class EtagMismatch(StorageError):
    """The resource has changed since the caller read it."""

    def __init__(self, resource: str, expected: str, actual: str) -> None:
        super().__init__(f"{resource} has etag {actual}, not {expected}: it has changed")
        self.resource = resource
        self.expected = expected
        self.actual = actual


class RequestConflict(StorageError):
    """The request id was used before for another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id!r} was used before with another body")
        self.request_id = request_id


class OperationNotFound(StorageError):
    """No operation has this id."""

    def __init__(self, operation_id: str) -> None:
        super().__init__(f"operation {operation_id!r} does not exist")
        self.operation_id = operation_id


class OperationFinished(StorageError):
    """The operation cannot be cancelled or changed: it has ended, or must run to its end."""

    def __init__(self, operation_id: str, kind: str, state: str) -> None:
        super().__init__(f"operation {operation_id!r} ({kind}, {state}) cannot be cancelled")
        self.operation_id = operation_id
        self.kind = kind
        self.state = state


class RouterNotFound(StorageError):
    """No version of the router has this number."""

    def __init__(self, number: int, reason: str = "does not exist") -> None:
        super().__init__(f"router version {number} {reason}")
        self.number = number


class RoutersBusy(StorageError):
    """Another process is making a version of the router in this data directory."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"another process is training a router in {folder}; wait until it ends")
        self.folder = folder


class RoutersDamaged(StorageError):
    """A file about the versions of the router cannot be read."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}; delete the folder of a damaged version, and let `memsvc router "
            "promote` say anew what serves"
        )
        self.path = path


class CorruptBlock(StorageError):
    """A document's block does not hold what was written: `row_id` names the document's row."""

    def __init__(self, row_id: int, segment: str, name: str, reason: str) -> None:
        super().__init__(
            f"block of document row {row_id} ({name!r} in segment {segment}) is corrupt: {reason}"
        )
        self.row_id = row_id
        self.segment = segment
        self.name = name
        self.reason = reason


class BlockGone(StorageError, FileNotFoundError):
    """The block row is outdated: its document was deleted, or encoded anew, and compacted."""

    def __init__(self, row_id: int, segment: str) -> None:
        super().__init__(f"block of document row {row_id} in segment {segment} is gone")
        self.row_id = row_id
        self.segment = segment
