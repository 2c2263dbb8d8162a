"""What a training run tells while it runs: a row of figures a step, and a line on the terminal.

Knows one JSON-lines file and the terminal; not what the figures mean.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from memsvc_router.training.checkpointing import SaveError

METRICS = "metrics.jsonl"


def read_rows(folder: Path) -> list[dict[str, float]]:
    """The whole rows of `folder/metrics.jsonl`; a last one that a kill cut short is left out."""
    path = folder / METRICS
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def append_row(folder: Path, row: Mapping[str, float]) -> None:
    """Add one row. Raises SaveError where the disk takes no more."""
    try:
        with (folder / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
    except OSError as error:
        raise SaveError(
            f"{folder / METRICS} could not be written: {error.strerror}. The last saved state is "
            "intact; make room and run the same command again."
        ) from error


def keep_until(folder: Path, step: int) -> None:
    """Drop the rows after `step`: of steps that were made, but not saved, before a kill."""
    part = folder / f"{METRICS}.part"
    kept = [json.dumps(row) + "\n" for row in read_rows(folder) if row["step"] <= step]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / METRICS)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise SaveError(f"{folder / METRICS} could not be written: {error.strerror}.") from error


class ProgressLine:
    """Step, loss and the time left, on stderr, once a second; nothing if that is no terminal."""

    def __init__(self, wanted: bool) -> None:
        console = Console(stderr=True)
        self._shown = Progress(
            BarColumn(24),
            TextColumn("{task.percentage:3.0f} %  {task.description}"),
            console=console,
            refresh_per_second=1,
            transient=True,
            disable=not (wanted and console.is_terminal),
        )
        self._bar = self._shown.add_task("", total=1.0)

    def __enter__(self) -> ProgressLine:
        self._shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shown.stop()

    def show(self, row: Mapping[str, float], progress: float) -> None:
        """The row of the step just made; `progress` of the run in 0…1."""
        told = f"step {row['step']:.0f}  loss {row['loss']:.4f}  {duration(row['left'])} left"
        self._shown.update(self._bar, completed=progress, description=told)


def duration(seconds: float) -> str:
    """For people: 42 s, 3 min, 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
