"""Documents from files, folders, JSON lines and stdin, read one by one as they are sent.

A file's document id comes from its path, so adding a folder again finds the same documents instead
of doubling them. Knows nothing of the server.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from memsvc_client.resources import NewDocument

STDIN = "-"
_ID_RUNS = re.compile(r"[^A-Za-z0-9._~:-]+")
_ID_CHARACTERS = 128
_LINE_FIELDS = {"text", "title", "id", "metadata", "event_time", "expire_time"}


class SourceError(ValueError):
    """An input that cannot be read as a document; the message says where and why."""


@dataclass(frozen=True)
class Source:
    """One file. `root`: the folder that ids are relative to; `named`: by the user, not found."""

    path: Path
    root: Path
    json_lines: bool
    named: bool


@dataclass
class Skipped:
    """Files of folders that are no text, with the reason."""

    files: list[tuple[str, str]] = field(default_factory=list)


def find(paths: Iterable[str], json_lines: bool) -> list[Source]:
    """The files that `paths` name, folders searched in order of names, hidden files left out.

    Raises SourceError if a path does not exist.
    """
    sources: list[Source] = []
    for name in paths:
        path = Path(name)
        if name == STDIN:
            sources.append(Source(path, path, json_lines, named=True))
        elif path.is_dir():
            below = sorted(one for one in path.rglob("*") if one.is_file())
            sources += [
                Source(one, path, json_lines or one.suffix == ".jsonl", named=False)
                for one in below
                if not any(part.startswith(".") for part in one.relative_to(path).parts)
            ]
        elif path.is_file():
            lines = json_lines or path.suffix == ".jsonl"
            sources.append(Source(path, path.parent, lines, named=True))
        else:
            raise SourceError(f"{name}: there is no such file or folder")
    return sources


def count(sources: Iterable[Source]) -> int | None:
    """How many documents there will be; None if stdin cannot tell."""
    total = 0
    for source in sources:
        if not source.json_lines:
            total += 1
        elif str(source.path) == STDIN:
            return None
        else:
            with source.path.open("rb") as lines:
                total += sum(1 for line in lines if line.strip())
    return total


def read(sources: Iterable[Source], skipped: Skipped) -> Iterator[NewDocument]:
    """The documents, one by one. Files of folders that are not UTF-8 text go to `skipped`.

    Raises SourceError for a file that was named itself and for a bad JSON line.
    """
    for source in sources:
        if source.json_lines:
            yield from _read_lines(source)
            continue
        try:
            yield _read_text(source)
        except SourceError as error:
            if source.named:
                raise
            skipped.files.append((str(source.path), str(error)))


def document_id(path: str) -> str:
    """The id of a file's document: its path, with a digest where an id cannot hold the path."""
    made = _ID_RUNS.sub("-", path).strip("-")
    if made == path and len(made) <= _ID_CHARACTERS:
        return made
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return f"{made[-(_ID_CHARACTERS - 9) :]}-{digest}"


def parse_time(text: str) -> datetime:
    """An ISO 8601 time with a zone. Raises SourceError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise SourceError(f"{text!r} is no time like 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise SourceError(f"{text!r} needs a time zone, for example {text}Z")
    return time


def _read_text(source: Source) -> NewDocument:
    if str(source.path) == STDIN:
        return NewDocument(_decode(sys.stdin.buffer.read(), "stdin"))
    text = _decode(source.path.read_bytes(), str(source.path))
    where = source.path.relative_to(source.root).as_posix()
    return NewDocument(text, title=source.path.stem, document_id=document_id(where))


def _decode(body: bytes, name: str) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{name}: not UTF-8 text") from None
    if "\0" in text:
        raise SourceError(f"{name}: binary, not text")
    if not text.strip():
        raise SourceError(f"{name}: empty")
    return text


def _read_lines(source: Source) -> Iterator[NewDocument]:
    if str(source.path) == STDIN:
        yield from _parse_lines(sys.stdin.buffer, "stdin")
        return
    with source.path.open("rb") as lines:
        yield from _parse_lines(lines, str(source.path))


def _parse_lines(lines: Iterable[bytes], name: str) -> Iterator[NewDocument]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield parse_line(json.loads(line))
        except (SourceError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise SourceError(f"{name}:{number}: {error}") from None


def parse_line(value: Any) -> NewDocument:
    """One JSON object as a document. Raises SourceError for missing, unknown or mistyped fields."""
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise SourceError('needs an object with a string "text"')
    if unknown := value.keys() - _LINE_FIELDS:
        known = ", ".join(sorted(_LINE_FIELDS))
        raise SourceError(f"unknown field {min(unknown)!r}; known: {known}")
    for name, kind in (("title", str), ("id", str), ("metadata", dict)):
        if not isinstance(value.get(name, kind()), kind):
            raise SourceError(f"{name!r} is no {kind.__name__}")
    times = {
        name: parse_time(str(value[name]))
        for name in ("event_time", "expire_time")
        if value.get(name) is not None
    }
    return NewDocument(
        value["text"],
        title=value.get("title", ""),
        document_id=value.get("id", ""),
        metadata=value.get("metadata", {}),
        **times,
    )
