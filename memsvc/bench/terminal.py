"""Bench commands on a terminal: progress with an estimate on stderr, errors as exit codes.

Loaded by every `memsvc` call that may need the server's commands, so what is heavy waits inside.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

import typer
from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.cli.progress import Step, Steps
from memsvc_client.cli.session import Defaults
from memsvc_client.errors import Internal

T = TypeVar("T")
_LINE_SECONDS = 30.0  # between lines where there is no terminal for a bar


class Bars:
    """For each stage that is heard of a bar with the time left, or lines where there is no
    terminal."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lines = not output.err.is_terminal
        self._steps = Steps(output.err, quiet=self._lines)
        self._bars: dict[str, Step] = {}
        self._paces: dict[str, Pace] = {}

    def __enter__(self) -> Bars:
        self._steps.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._steps.__exit__(kind, error, at)

    def show(self, stage: str, done: int, total: int) -> None:
        """A stage, how much of it is done, and its total."""
        if self._lines:
            pace = self._paces.setdefault(stage, Pace(time.monotonic(), done))
            if line := pace.line(stage, done, total, time.monotonic()):
                self._output.say(line)
            return
        if stage not in self._bars:
            self._bars[stage] = self._steps.step(stage, total)
        self._bars[stage].at(done)


class Pace:
    """How fast a stage goes, and when it is worth a line."""

    def __init__(self, began: float, before: int) -> None:
        self._began, self._before = began, before
        self._shown, self._when = -1, began

    def line(self, stage: str, done: int, total: int, now: float) -> str | None:
        """A line at each tenth of the way, and every half minute."""
        tenth = done * 10 // max(1, total)
        if tenth == self._shown and now - self._when < _LINE_SECONDS:
            return None
        self._shown, self._when = tenth, now
        text = f"{stage}: {done:,} of {total:,}"
        fresh = done - self._before
        if fresh <= 0 or done >= total:
            return text
        left = (now - self._began) / fresh * (total - done)
        return f"{text}, about {duration(left)} left"


def duration(seconds: float) -> str:
    """`40 s`, `7 min`, `3.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def command_line() -> str:
    """What was typed, as a results file tells it."""
    return shlex.join(["memsvc", *sys.argv[1:]])


def output_of(context: typer.Context, as_json: bool) -> Output:
    """Where a command prints."""
    before = context.obj.as_json if isinstance(context.obj, Defaults) else False
    return Output(as_json or before)


def carry_out(output: Output, begin: Callable[[Bars], Coroutine[Any, Any, T]]) -> T:
    """The outcome of a measurement; SIGTERM ends it as an interrupt does. Exits with a message."""
    from memsvc.bench.lines import InputError
    from memsvc.engine import EngineError
    from memsvc.retrieval import RetrievalError

    try:
        with Bars(output) as bars:
            return asyncio.run(_until_told(begin(bars)))
    except (InputError, RetrievalError) as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None
    except EngineError as error:  # the model could not be loaded
        output.fail(Internal(str(error)))
        raise typer.Exit(exits.FAULT) from None
    except (asyncio.CancelledError, KeyboardInterrupt):
        output.usage("interrupted")
        raise typer.Exit(exits.INTERRUPTED) from None


async def _until_told(work: Coroutine[Any, Any, T]) -> T:
    """Run `work`; SIGTERM cancels it, so that the temporary bank is deleted then, too."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task
