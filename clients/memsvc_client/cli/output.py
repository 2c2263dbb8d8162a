"""What the CLI prints and where: results to stdout, all else to stderr, JSON as one envelope.

Documents and questions are strangers' text: control characters never reach the terminal, and no
text is read as markup. Knows no verbs.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime

from rich.console import Console
from rich.text import Text

from memsvc_client.errors import MemsvcError

_PIPE_WIDTH = 160
# C0 without tab and newline, DEL, C1, and what turns the direction of text around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text with every control character shown as �."""
    return _CONTROL.sub("�", text)


def one_line(text: str, width: int) -> str:
    """The text on one line of at most `width` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def plain(value: object) -> object:
    """Dataclasses, times and errors as JSON values."""
    match value:
        case MemsvcError():
            return error_facts(value)
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    return value


def error_facts(error: MemsvcError) -> dict[str, object]:
    """The `error` of the envelope."""
    return {
        "code": error.code,
        "reason": error.reason,
        "message": error.message,
        "retryable": error.retryable,
        "request_id": error.request_id,
        "field_violations": [plain(one) for one in error.field_violations],
    }


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


class Output:
    """Where one command prints."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    def result(self, data: object, show: Callable[[Console], None]) -> None:
        """The command's outcome: the envelope, or what `show` prints for people."""
        if self.as_json:
            self.envelope({"ok": True, "data": plain(data)})
        else:
            show(self.out)

    def partial(self, data: object, message: str, show: Callable[[Console], None]) -> None:
        """An outcome of which a part failed; `data` tells which."""
        if self.as_json:
            error = {"code": "PARTIAL_FAILURE", "message": message, "data": plain(data)}
            self.envelope({"ok": False, "error": error})
        else:
            show(self.out)
            self.say(message, "bold red")

    def fail(self, error: MemsvcError) -> None:
        """A call that did not succeed."""
        if self.as_json:
            self.envelope({"ok": False, "error": error_facts(error)})
            return
        name = f"{error.code}/{error.reason}" if error.reason else error.code
        self.err.print(Text.assemble((f"{name}: ", "bold red"), clean(error.message)))
        for one in error.field_violations:
            self.say(f"  {one.field}: {one.description}", "red")
        if error.request_id:
            self.say(f"  request {error.request_id}", "dim")

    def usage(self, message: str) -> None:
        """Wrong arguments."""
        if self.as_json:
            error = {"code": "USAGE", "message": message}
            self.envelope({"ok": False, "error": error})
        else:
            self.say(message, "bold red")

    def say(self, message: str, style: str = "") -> None:
        """A message for people, on stderr."""
        self.err.print(Text(clean(message), style=style))

    def envelope(self, body: dict[str, object]) -> None:
        """One JSON object on one line of stdout."""
        sys.stdout.write(json.dumps(body, ensure_ascii=False, allow_nan=False) + "\n")
        sys.stdout.flush()
