"""The stable exit codes of `memsvc`; docs/cli.md and the help show the same table."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAULT: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
CONFLICT: Final = 4
UNAVAILABLE: Final = 5
TIMEOUT: Final = 6
DENIED: Final = 7
REFUSED: Final = 8
PARTIAL: Final = 9
INTERRUPTED: Final = 130

MEANINGS: Final = {
    OK: "done (also when the answer is not in memory)",
    FAULT: "a fault of the server or of this program",
    USAGE: "wrong arguments, or the server refused a field (INVALID_ARGUMENT)",
    NOT_FOUND: "no such bank, document, session or operation",
    CONFLICT: "the id is taken, or the resource has changed meanwhile",
    UNAVAILABLE: "no server there, or it is not ready",
    TIMEOUT: "it took too long",
    DENIED: "the API key is missing or does not allow this",
    REFUSED: "over a quota or limit, or not possible in this state",
    PARTIAL: "some documents were refused or could not be encoded; the others are in",
    INTERRUPTED: "interrupted",
}

_BY_CODE = {
    "INVALID_ARGUMENT": USAGE,
    "OUT_OF_RANGE": USAGE,
    "NOT_FOUND": NOT_FOUND,
    "ALREADY_EXISTS": CONFLICT,
    "ABORTED": CONFLICT,
    "UNAVAILABLE": UNAVAILABLE,
    "DEADLINE_EXCEEDED": TIMEOUT,
    "UNAUTHENTICATED": DENIED,
    "PERMISSION_DENIED": DENIED,
    "RESOURCE_EXHAUSTED": REFUSED,
    "FAILED_PRECONDITION": REFUSED,
}


def of_code(code: str) -> int:
    """The exit code for a gRPC status name."""
    return _BY_CODE.get(code, FAULT)


def table() -> str:
    """The table as Markdown; docs/cli.md holds it word for word."""
    rows = [f"| {code} | {meaning} |" for code, meaning in MEANINGS.items()]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def help_text() -> str:
    """The table for the end of `memsvc --help`."""
    return "Exit codes: " + "; ".join(f"{code} {text}" for code, text in MEANINGS.items()) + "."
