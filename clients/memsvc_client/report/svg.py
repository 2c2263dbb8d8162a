"""Drawing: a canvas of SVG parts, scales, ticks, axes and legends. Knows no measures.

All plots share one width, so that their letters have one size, on a phone, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from memsvc_client.report.markup import cut, tag, text, tick

WIDTH = 460
LABELS = 118  # room at the left for the names of rows
TOP, BOTTOM, RIGHT = 34, 46, 14
ROW = 26
_SHAPES = 6


@dataclass
class Canvas:
    """Parts of one picture, in the order of painting."""

    title: str
    height: float
    parts: list[str] = field(default_factory=list)

    def add(self, name: str, inner: str = "", hint: str = "", **attributes: object) -> None:
        """One element; `hint` is shown where the pointer rests on it."""
        rounded: dict[str, str] = {
            key: f"{value:.5g}" if isinstance(value, float) else str(value)
            for key, value in attributes.items()
        }
        words = tag("title", text(hint)) if hint else ""
        self.parts.append(tag(name, words + inner, **rounded))

    def write(self, x: float, y: float, words: str, kind: str = "tick", **more: str) -> None:
        """Words at a place; `kind` is a class of the style sheet."""
        self.add("text", text(words), x=x, y=y, class_=kind, **more)

    def finish(self) -> str:
        """The figure."""
        head = tag("title", text(self.title))
        self.parts.insert(0, tag("text", text(cut(self.title, 62)), x=4, y=16, class_="plot-title"))
        box = f"0 0 {WIDTH} {self.height:.0f}"
        return tag(
            "figure",
            tag("svg", head + "".join(self.parts), viewBox=box, role="img", class_="plot"),
        )


@dataclass(frozen=True)
class Scale:
    """From values to places on the canvas, linear or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        turn: Callable[[float], float] = math.log10 if self.log else float
        low, high = turn(self.low), turn(self.high)
        share = (turn(max(value, self.low) if self.log else value) - low) / ((high - low) or 1)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values across the range."""
        return _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high)


def linear(values: Sequence[float], start: float, end: float, least: float | None = None) -> Scale:
    """A scale over values; it begins at `least`, where that is given."""
    low = min(values) if least is None else least
    high = max([*values, low])
    return Scale(low, high if high > low else low + 1, start, end)


def logarithmic(values: Sequence[float], start: float, end: float) -> Scale:
    """A scale over those values that are more than 0, with room for at least a factor of 4."""
    above = [value for value in values if value > 0] or [1.0, 10.0]
    low, high = min(above) / 1.15, max(above) * 1.15
    if high / low < 4:
        middle = math.sqrt(low * high)
        low, high = middle / 2, middle * 2
    return Scale(low, high, start, end, log=True)


def _ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = math.log10(high / low)
    factors = (1, 2, 5) if decades < 2 else (1,)
    span = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [f * 10.0**d for d in span for f in factors if low <= f * 10.0**d <= high]


def x_axis(on: Canvas, scale: Scale, top: float, bottom: float, label: str) -> None:
    """Ticks and lines of the horizontal axis, and what it measures."""
    for value in scale.ticks():
        x = scale(value)
        on.add("line", x1=x, y1=top, x2=x, y2=bottom, class_="grid")
        on.write(x, bottom + 15, tick(value), text_anchor="middle")
    middle = (scale.start + scale.end) / 2
    on.write(middle, bottom + 34, label, "axis-label", text_anchor="middle")


def y_axis(on: Canvas, scale: Scale, left: float, right: float, label: str) -> None:
    """Ticks and lines of the vertical axis, and what it measures."""
    for value in scale.ticks():
        y = scale(value)
        on.add("line", x1=left, y1=y, x2=right, y2=y, class_="grid")
        on.write(left - 6, y + 4, tick(value), text_anchor="end")
    y_label(on, (scale.start + scale.end) / 2, label)


def y_label(on: Canvas, middle: float, label: str) -> None:
    """What the vertical axis measures, upwards."""
    turned = f"rotate(-90 12 {middle:.1f})"
    on.write(12, middle, label, "axis-label", text_anchor="middle", transform=turned)


def row_names(on: Canvas, names: Sequence[str], label: str = "path") -> None:
    """Names of rows at the left, one below the other."""
    for place, name in enumerate(names):
        on.write(LABELS - 8, row_at(place) + 4, cut(name, 15), "row", text_anchor="end")
    y_label(on, TOP + ROW * len(names) / 2, label)


def row_at(place: int) -> float:
    """The middle of a row."""
    return TOP + ROW * (place + 0.5)


def marker(on: Canvas, x: float, y: float, colour: int, hint: str = "", r: float = 4.5) -> None:
    """A point; its shape tells paths apart where colours do not."""
    points = {
        1: [(-r, -r), (r, -r), (r, r), (-r, r)],
        2: [(0, -r * 1.2), (r * 1.1, r), (-r * 1.1, r)],
        3: [(0, -r * 1.3), (r * 1.3, 0), (0, r * 1.3), (-r * 1.3, 0)],
        4: [(0, r * 1.2), (r * 1.1, -r), (-r * 1.1, -r)],
        5: [(-r * 1.5, -r), (r * 1.5, -r), (0, 0), (r * 1.5, r), (-r * 1.5, r), (0, 0)],
    }.get(colour % _SHAPES)
    kind = f"c{colour % 10} mark"
    if points is None:
        on.add("circle", hint=hint, cx=x, cy=y, r=r, class_=kind)
        return
    where = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in points)
    on.add("polygon", hint=hint, points=where, class_=kind)


def legend(on: Canvas, names: Sequence[tuple[str, int]], top: float) -> None:
    """Names with their markers, three in a line."""
    for place, (name, colour) in enumerate(names):
        x, y = 14 + 150 * (place % 3), top + 18 * (place // 3)
        marker(on, x, y - 4, colour)
        on.write(x + 11, y, cut(name, 18), "legend")


def legend_height(count: int) -> float:
    """How much room a legend takes."""
    return 18.0 * ((count + 2) // 3) + 4
