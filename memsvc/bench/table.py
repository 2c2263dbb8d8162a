"""Figures as tables for people. Knows names and values, not how they were made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from memsvc.bench.results import Grid, PathResult, Results

_METRICS = (
    "match",
    "em",
    "f1",
    "judge",
    "abstention",
    "abstention_auroc",
    "f1_drop",
    "recall@1",
    "recall@5",
    "recall@10",
    "all@5",
    "all@10",
    "ndcg@10",
    "mrr",
)
_LESS = ("f1_drop",)  # less of it is better
_CLEAR = 0.05  # p of a difference that is marked


def report_table(report: Mapping[str, Any]) -> Table:
    """One row for each value; nested ones are named by both keys."""
    table = Table("measure", "value", box=None)
    for name, value in report.items():
        for key, one in value.items() if isinstance(value, Mapping) else [("", value)]:
            shown = f"{one:,}" if isinstance(one, int | float) else str(one)
            table.add_row(f"{name} {key}".strip(), shown)
    return table


def results_tables(results: Results) -> Iterator[Table]:
    """Quality with its intervals, costs, and controls and grids where there are some."""
    controls = [path for path in results.paths if "memory" in path.settings]
    results = replace(results, paths=[path for path in results.paths if path not in controls])
    if any(path.metrics for path in results.paths):
        yield _quality(results)
        yield _costs(results)
    if any(path.metrics for path in controls):
        yield _controls(controls)
    for grid in results.grids:
        yield _grid(grid)


def _quality(results: Results) -> Table:
    """A column for each path; the best mean is bold, and * marks what differs from the first
    path with p < 0.05."""
    first = results.paths[0].path
    apart = {(one.b, one.metric) for one in results.pairs if one.a == first and one.p < _CLEAR}
    table = Table("measure", "n", *(path.path for path in results.paths), box=None)
    for name in _METRICS:
        having = [path.metrics[name] for path in results.paths if name in path.metrics]
        if not having:
            continue
        best = (min if name in _LESS else max)(one.mean for one in having)
        cells = [_cell(path, name, best, (path.path, name) in apart) for path in results.paths]
        table.add_row(name, str(max(one.n for one in having)), *cells)
    return table


def _controls(paths: Sequence[PathResult]) -> Table:
    """What a path makes of other memories: nothing that it could be compared with."""
    table = Table("control", "n", *(path.path for path in paths), box=None)
    for name in _METRICS:
        having = [path.metrics[name] for path in paths if name in path.metrics]
        if having:
            cells = [_cell(path, name, math.nan, False) for path in paths]
            table.add_row(name, str(max(one.n for one in having)), *cells)
    return table


def _cell(path: PathResult, name: str, best: float, apart: bool) -> Text:
    one = path.metrics.get(name)
    if one is None:
        return Text("-")
    shown = f"{one.mean:.3f}{'*' if apart else ''} [{one.low:.3f}, {one.high:.3f}]"
    return Text(shown, style="bold" if one.mean == best else "")


def _costs(results: Results) -> Table:
    table = Table("cost", *(path.path for path in results.paths), box=None)

    def row(name: str, values: Iterator[float | None]) -> None:
        table.add_row(name, *("-" if value is None else f"{value:,.0f}" for value in values))

    for name in ("p50", "p95", "p99"):
        row(f"latency {name} ms", (path.latency_ms.get(name) for path in results.paths))
    row("tokens read", (path.read_tokens.get("mean") for path in results.paths))
    row("index bytes", (path.index.get("bytes") for path in results.paths))
    row("index seconds", (path.index.get("build_seconds") for path in results.paths))
    return table


def _grid(grid: Grid) -> Table:
    table = Table(f"{grid.path}: {grid.y_label}", *map(str, grid.x), box=None)
    for name, row in zip(grid.y, grid.values, strict=True):
        table.add_row(str(name), *("-" if value is None else f"{value:.2f}" for value in row))
    return table
