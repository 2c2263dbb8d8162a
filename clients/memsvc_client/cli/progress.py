"""Progress of storing and encoding, on stderr: counts, rate and time left.

On a terminal there is a live bar; elsewhere (logs, CI) one line for each tenth of the way.
"""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from memsvc_client.resources import Operation


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="dim")


class Steps:
    """One bar after another."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._live = not quiet and console.is_terminal
        self._lines = not quiet and not console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )

    def __enter__(self) -> Steps:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def step(self, name: str, total: int | None) -> Step:
        """Begin a bar; `total` None: the end is not known."""
        return Step(self._progress, self._console if self._lines else None, name, total)


class Step:
    """One bar."""

    def __init__(
        self, progress: Progress, lines: Console | None, name: str, total: int | None
    ) -> None:
        self._progress = progress
        self._lines = lines
        self._name = name
        self._total = total
        self._shown = 0
        self._task = progress.add_task(name, total=total)

    def watcher(self, before: int) -> Callable[[Operation], None]:
        """What moves this bar by an operation, on top of what was done `before` it."""

        def watch(operation: Operation) -> None:
            self.at(before + operation.done + operation.failed)

        return watch

    def at(self, done: int) -> None:
        """So much is done, in all."""
        self._progress.update(self._task, completed=done)
        if self._lines is None or done == self._shown:
            return
        tenth = max(1, (self._total or 0) // 10)
        if done >= self._shown + tenth or done == self._total:
            self._shown = done
            of = "" if self._total is None else f" of {self._total:,}"
            self._lines.print(f"{self._name}: {done:,}{of}")
