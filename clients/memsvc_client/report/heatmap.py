"""Grids of values, such as needle tests by length and depth, as heat maps. Knows the drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memsvc_client.report import svg
from memsvc_client.report.markup import cut, number
from memsvc_client.report.svg import RIGHT, TOP, WIDTH, Canvas

_LEFT = 92.0
_CELL = 24.0
_STEPS = 5
_KEY = 36


def heatmap(grid: Mapping[str, Any]) -> str:
    """One grid; nothing where it holds no values."""
    across, down = list(grid.get("x", [])), list(grid.get("y", []))
    rows: Sequence[Sequence[float | None]] = grid.get("values", [])
    known = [value for row in rows for value in row if value is not None]
    if not known or not across or not down:
        return ""
    bottom = TOP + _CELL * len(down)
    path = grid.get("path")
    title = f"{grid.get('title', '')}{f' · {path}' if path else ''}"
    on = Canvas(title, bottom + svg.BOTTOM + _KEY)
    low, high = min(0.0, *known), max(1.0, *known)
    width = (WIDTH - RIGHT - _LEFT) / len(across)
    for line, (name, row) in enumerate(zip(down, rows, strict=False)):
        y = TOP + _CELL * line
        on.write(_LEFT - 6, y + _CELL / 2 + 4, _short(name), text_anchor="end")
        for place, value in enumerate(row[: len(across)]):
            where = f"{_short(across[place])}, {_short(name)}"
            _cell(on, (_LEFT + width * place, y, width), value, (low, high), where)
    every = max(1, -(-len(across) // 7))
    for place, name in list(enumerate(across))[::every]:
        middle = _LEFT + width * (place + 0.5)
        on.write(middle, bottom + 15, _short(name), text_anchor="middle")
    middle = (_LEFT + WIDTH - RIGHT) / 2
    words = str(grid.get("x_label", "x"))
    on.write(middle, bottom + 34, words, "axis-label", text_anchor="middle")
    svg.y_label(on, (TOP + bottom) / 2, str(grid.get("y_label", "y")))
    _key(on, bottom + svg.BOTTOM + 6, low, high)
    return on.finish()


def _cell(
    on: Canvas,
    place: tuple[float, float, float],
    value: float | None,
    ends: tuple[float, float],
    where: str,
) -> None:
    x, y, width = place
    step = _step(value, ends)
    shown = "not measured" if value is None else number(value)
    on.add(
        "rect",
        hint=f"{where}: {shown}",
        x=x + 0.5,
        y=y + 0.5,
        width=width - 1,
        height=_CELL - 1,
        class_=f"h{step}",
    )
    if value is not None and width >= 30:
        kind = f"cell on{step}"
        on.write(x + width / 2, y + _CELL / 2 + 4, number(value), kind, text_anchor="middle")


def _step(value: float | None, ends: tuple[float, float]) -> str:
    """Which of the style sheet's steps a value falls on; "n" for none."""
    if value is None:
        return "n"
    part = (value - ends[0]) / ((ends[1] - ends[0]) or 1)
    return str(min(_STEPS - 1, max(0, int(part * _STEPS))))


def _key(on: Canvas, top: float, low: float, high: float) -> None:
    """What the colours mean."""
    width = 40
    for step in range(_STEPS):
        x = _LEFT + width * step
        on.add("rect", x=x, y=top, width=width, height=10, class_=f"h{step}")
    on.write(_LEFT - 6, top + 9, number(low), text_anchor="end")
    on.write(_LEFT + width * _STEPS + 6, top + 9, number(high))


def _short(value: object) -> str:
    """A tick of a few letters: 16K for 16384."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        for unit, amount in (("M", 1 << 20), ("K", 1 << 10)):
            if value >= amount and value % (amount // 16) == 0:
                return f"{value / amount:g}{unit}"
        return f"{value:g}"
    return cut(value, 12)
