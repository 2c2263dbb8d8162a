"""A comparison for people: its progress on stderr, its figures as a table. Knows schema 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from memsvc_client.cli import views
from memsvc_client.cli.output import Output, clean, one_line
from memsvc_client.cli.progress import Step, Steps
from memsvc_client.comparing import CompareEvent, ComparePathSkipped, CompareProgress
from memsvc_client.report.markup import number
from memsvc_client.report.plots import kept_bytes, metric_title
from memsvc_client.report.reading import metric_of, paths_of

_QUALITY = ("em", "f1", "recall@1", "recall@5", "recall@10", "abstention")


class Watcher:
    """Shows events as they come."""

    def __init__(self, output: Output, bars: Steps) -> None:
        self._output = output
        self._bars = bars
        self._bar: Step | None = None
        self._tenth = 0

    def show(self, event: CompareEvent) -> None:
        """One event."""
        if self._output.as_json:
            return
        match event:
            case ComparePathSkipped():
                self._output.say(f"{event.path} is skipped: {event.reason}", "yellow")
            case CompareProgress(seconds_left=None):
                self._output.say(f"preparing {event.path}", "dim")
            case CompareProgress():
                self._advance(event)
            case _:
                pass

    def _advance(self, event: CompareProgress) -> None:
        if self._output.err.is_terminal:
            self._bar = self._bar or self._bars.step("asking", event.total)
            self._bar.at(event.done)
            return
        tenth = event.done * 10 // max(event.total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            left = duration(event.seconds_left or 0)
            self._output.say(f"asking: {event.done:,} of {event.total:,}, {left} left", "dim")


def duration(seconds: float) -> str:
    """Seconds for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def show(out: Console, results: Mapping[str, Any]) -> None:
    """The figures, what was skipped and what to beware of."""
    out.print(table(results))
    for one in results.get("skipped", []):
        out.print(Text(f"skipped {one['path']}: {clean(str(one['reason']))}", style="dim"))
    for warning in results.get("warnings", []):
        out.print(Text(clean(str(warning)), style="yellow"))


def table(results: Mapping[str, Any]) -> Table:
    """A row for each path: quality with 95 % intervals, latency, tokens read, bytes kept."""
    paths = paths_of(results)
    names = [name for name in _QUALITY if any(metric_of(one, name) for one in paths)]
    costs = ("p50 ms", "p95 ms", "tokens read", "kept")
    heads = [metric_title(name) for name in names]
    made = views.table("path", *heads, *costs, right=(*heads, *costs))
    for one in paths:
        spent = one.get("latency_ms") or {}
        kept = kept_bytes(results, one)
        made.add_row(
            one_line(one["path"], 20),
            *(_interval(metric_of(one, name)) for name in names),
            number(spent.get("p50")),
            number(spent.get("p95")),
            number((one.get("read_tokens") or {}).get("mean")),
            "–" if kept is None else views.size(round(kept)),
        )
    return made


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    if found.get("low") is None:
        return f"{found['mean']:.3f}"
    return f"{found['mean']:.3f}\n{found['low']:.2f}–{found['high']:.2f}"
