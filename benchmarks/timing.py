"""How long ways of doing a thing take, measured in turns; how that grows with its size.

Knows clocks and numbers only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Row = dict[str, float | None]
"""Figures by name; None (null in JSON): there is none."""


def in_turns(ways: Sequence[Callable[[T], object]], given: Sequence[T]) -> list[list[float]]:
    """Milliseconds of each way with everything given, in turns, after an unmeasured round with the
    first of it: whatever slows the machine down hits all ways alike."""
    times: list[list[float]] = [[] for _ in ways]
    for number, one in enumerate([given[0], *given]):
        for way, own in zip(ways, times, strict=True):
            began = time.perf_counter()
            way(one)
            if number:
                own.append(1e3 * (time.perf_counter() - began))
    return times


def slopes(rows: Sequence[Mapping[str, float | None]], size: str, of: Sequence[str]) -> Row:
    """By least squares, for each name in `of` that two rows have: what a thousand of `size` more
    add (`_per_1000`), and the power of `size` by which it grows (`_exponent`; 1: linearly)."""
    found: Row = {}
    for name in of:
        pairs = [(row[size], row[name]) for row in rows if row.get(name) is not None]
        if len(pairs) > 1:
            x, y = np.array(pairs, np.float64).T
            found[f"{name}_per_1000"] = float(np.polyfit(x / 1000, y, 1)[0])
            found[f"{name}_exponent"] = float(np.polyfit(np.log(x), np.log(y), 1)[0])
    return found


def as_table(rows: Sequence[Mapping[str, float | None]], names: Sequence[str]) -> str:
    """Markdown, a column for each name."""
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(_shown(row.get(name)) for name in names) + " |")
    return "\n".join(lines)


def _shown(cell: float | None) -> str:
    if cell is None:
        return "-"
    return f"{cell:,.0f}" if cell >= 1000 else f"{cell:.4g}"
