"""Questions of a comparison, from JSON lines or plain lines of a file or stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memsvc_client.cli.sources import STDIN, SourceError
from memsvc_client.comparing import CompareQuestion

_FIELDS = frozenset(("question", "answers", "evidence", "id"))


def read_questions(name: str) -> list[CompareQuestion]:
    """All questions of a file; `-` is stdin. Raises SourceError naming file and line."""
    shown = "stdin" if name == STDIN else name
    try:
        body = sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise SourceError(f"{shown}: {error.strerror or error}") from None
    questions = _parse(body.removeprefix(b"\xef\xbb\xbf").split(b"\n"), shown)
    if not questions:
        raise SourceError(f"{shown}: holds no question")
    return questions


def _parse(lines: Iterable[bytes], shown: str) -> list[CompareQuestion]:
    questions: list[CompareQuestion] = []
    named: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            question = parse_question(line.decode().strip())
            if question.id in named:
                raise SourceError(f"the id {question.id!r} stands in line {named[question.id]} too")
        except UnicodeDecodeError:
            raise SourceError(f"{shown}:{number}: not UTF-8 text") from None
        except json.JSONDecodeError as error:
            raise SourceError(f"{shown}:{number}: not JSON: {error.msg}") from None
        except SourceError as error:
            raise SourceError(f"{shown}:{number}: {error}") from None
        if question.id:
            named[question.id] = number
        questions.append(question)
    return questions


def parse_question(line: str) -> CompareQuestion:
    """One line: a JSON object, or else the question itself. Raises SourceError, JSONDecodeError."""
    if not line.startswith("{"):
        return CompareQuestion(line)
    value = json.loads(line)
    text = value.get("question")
    if not isinstance(text, str) or not text.strip():
        raise SourceError('needs a "question" that is a string and not empty')
    if unknown := value.keys() - _FIELDS:
        known = ", ".join(sorted(_FIELDS))
        raise SourceError(f"unknown field {min(unknown)!r}; known: {known}")
    if not isinstance(value.get("id", ""), str | int):
        raise SourceError('"id" is no string')
    answers = _strings("answers", value["answers"]) if value.get("answers") is not None else None
    evidence = _strings("evidence", value.get("evidence") or [])
    return CompareQuestion(text, answers, evidence, str(value.get("id", "")))


def _strings(name: str, value: Any) -> tuple[str, ...]:
    """A list of strings; a single string counts as one."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
        raise SourceError(f'"{name}" is no list of strings')
    return tuple(values)
