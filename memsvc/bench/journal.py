"""A run's directory: what was asked for, every answer as it comes, and the figures so far.

`answers.jsonl` grows by a line for each question and path, so that a run that was interrupted goes
on; `results.json` (schema 1) is replaced whole. Knows files; nothing of engines.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from memsvc.bench.lines import InputError
from memsvc.bench.schema import Facts, QuestionResult, Results

_RUN, _ANSWERS, RESULTS = "run.json", "answers.jsonl", "results.json"
_RESULT = TypeAdapter(QuestionResult)


class Journal:
    """The answers of one run, in memory and, with a directory, on disk."""

    def __init__(self, folder: Path | None, settings: Facts) -> None:
        """`settings`: all that must be the same for a run to go on. Raises InputError where the
        directory holds another run, or cannot be written."""
        self._folder = folder
        self._told: dict[str, dict[tuple[str, str], QuestionResult]] = {}
        self._file: Any = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.agree(settings)
            self._file = self._open(folder / _ANSWERS)
        except OSError as error:
            raise InputError(f"{folder}: {error.strerror or error}") from None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def agree(self, settings: Facts) -> None:
        """Note what must be the same for a run to go on. Raises InputError where it is not."""
        if self._folder is None:
            return
        path = self._folder / _RUN
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        now = json.loads(json.dumps(settings))
        other = [name for name in now if name in before and before[name] != now[name]]
        if other:
            raise InputError(
                f"{self._folder} holds another run: {', '.join(other)} differ; use another --out, "
                "or the same settings to go on with it"
            )
        write_json(path, {**before, **now})

    def told(self, path: str, bank: str, question: str) -> bool:
        """Whether the question was answered already."""
        return (bank, question) in self._told.get(path, {})

    def add(self, path: str, bank: str, result: QuestionResult) -> None:
        """Keep an answer; what is kept survives this process."""
        self._told.setdefault(path, {})[bank, result.id] = result
        if self._file is not None:
            line = {"path": path, "bank": bank, "result": asdict(result)}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()

    def of(self, path: str) -> list[QuestionResult]:
        """A path's answers."""
        return list(self._told.get(path, {}).values())

    def count(self) -> int:
        """Answers of all paths."""
        return sum(len(answers) for answers in self._told.values())

    def write(self, results: Results) -> None:
        """Replace results.json."""
        if self._folder is not None:
            write_json(self._folder / RESULTS, results.to_dict())

    def _open(self, path: Path) -> Any:
        whole = 0
        if path.exists():
            for line, end in _whole_lines(path):
                record = json.loads(line)
                try:
                    result = _RESULT.validate_python(record["result"])
                except (ValidationError, KeyError):
                    raise InputError(f"{path}: of another version; use another --out") from None
                self._told.setdefault(record["path"], {})[record["bank"], result.id] = result
                whole = end
            with path.open("r+b") as file:  # a line that was cut off by a crash is asked again
                file.truncate(whole)
        return path.open("a", encoding="utf-8")


def write_json(path: Path, body: object) -> None:
    """Write aside, then rename: a reader sees the old file or the new one."""
    aside = path.with_name(path.name + ".new")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(body, file, ensure_ascii=False, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _whole_lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """The lines that were written to their end, each with where that is."""
    end = 0
    for line in path.read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            return
        end += len(line)
        yield line, end
