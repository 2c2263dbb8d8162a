"""JSON lines and JSON files, plain or zstd-compressed, with errors that name file and line.

Knows files and JSON objects; nothing of passages or questions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

_CHUNK = 1 << 20


class InputError(ValueError):
    """A file that cannot be used; the message names the file, and the line where there is one."""


@dataclass(frozen=True)
class Line:
    """One JSON object. `number`: its line, from 1; 0 where it is part of a JSON file, and then
    `inside` says which part."""

    path: Path
    number: int
    record: dict[str, Any]
    inside: str = ""

    @property
    def place(self) -> str:
        line = f"{self.path}:{self.number}" if self.number else str(self.path)
        return f"{line}, {self.inside}" if self.inside else line

    def error(self, problem: str) -> InputError:
        """An error about this line; the caller raises it."""
        return InputError(f"{self.place}: {problem}")

    def text(self, field: str, default: str | None = None) -> str:
        """A string; blank ones count only where there is a `default`. Raises InputError."""
        value = self.record.get(field, default)
        if not isinstance(value, str):
            raise self.error(f"{field!r} must be a string")
        if default is None and not value.strip():
            raise self.error(f"{field!r} is empty")
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of strings, empty where the field is missing or null. Raises InputError."""
        value = self.record.get(field) or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.error(f"{field!r} must be a list of strings")
        return tuple(value)

    def items(self, field: str) -> list[Any]:
        """A list of anything. Raises InputError."""
        value = self.record.get(field)
        if not isinstance(value, list):
            raise self.error(f"{field!r} must be a list")
        return value

    def parts(self, field: str) -> list[Line]:
        """A list of objects, each of which knows its place. Raises InputError."""
        return [self.part(f"{field} {n}", one) for n, one in enumerate(self.items(field), 1)]

    def part(self, name: str, value: object) -> Line:
        """An object inside of this one. Raises InputError where it is none."""
        inside = f"{self.inside}, {name}" if self.inside else name
        if not isinstance(value, dict):
            raise Line(self.path, self.number, {}, inside).error("must be an object")
        return Line(self.path, self.number, value, inside)

    def id(self, *fields: str) -> str:
        """The first of some fields that is there, a string or a number. Raises InputError."""
        for name in fields:
            value = self.record.get(name)
            if isinstance(value, str | int) and str(value).strip():
                return str(value)
        raise self.error(f"{' or '.join(map(repr, fields))} must be a string")


def read_document(path: Path) -> Line:
    """A whole JSON file; one that is a list comes as `{"entry": [...]}`.

    Raises InputError: as `read_lines`.
    """
    try:
        value = json.loads(_content(path).decode())
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(value, dict | list):
        raise InputError(f"{path}: neither a JSON object nor a list")
    return Line(path, 0, {"entry": value} if isinstance(value, list) else value)


def read_records(path: Path) -> list[Line]:
    """The objects of a file of JSON lines, or of a JSON file that is a list. Raises InputError."""
    if is_lines(path):
        return list(read_lines(path))
    return read_document(path).parts("entry")


def is_lines(path: Path) -> bool:
    """Whether the name is that of JSON lines."""
    return path.name.removesuffix(".zst").endswith((".jsonl", ".ndjson"))


def read_lines(path: Path) -> Iterator[Line]:
    """The objects of a `.jsonl` or `.jsonl.zst` file; blank lines are passed over.

    Raises InputError: not readable, not zstd or cut short, not UTF-8, not a JSON object.
    """
    for number, raw in enumerate(_content(path).split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            record = json.loads(raw.decode())
        except UnicodeDecodeError as error:
            raise InputError(f"{path}:{number}: not UTF-8 at byte {error.start}") from None
        except ValueError as error:
            raise InputError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(record, dict):
            raise InputError(f"{path}:{number}: not a JSON object")
        yield Line(path, number, record)


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    return _decompressed(path, raw) if path.suffix == ".zst" else raw


def _decompressed(path: Path, raw: bytes) -> bytes:
    """All frames of a zstd file. The library's own reader takes a file that is cut short for one
    that has ended, and a shorter file would only look like an easier benchmark."""
    parts: list[bytes] = []
    try:
        while raw:
            frame = zstandard.ZstdDecompressor().decompressobj()
            for at in range(0, len(raw), _CHUNK):
                parts.append(frame.decompress(raw[at : at + _CHUNK]))
                if frame.eof:
                    raw = frame.unused_data + raw[at + _CHUNK :]
                    break
            else:
                raise InputError(f"{path}: the zstd file is cut short")
    except zstandard.ZstdError as error:
        raise InputError(f"{path}: not zstd: {error}") from None
    return b"".join(parts)
