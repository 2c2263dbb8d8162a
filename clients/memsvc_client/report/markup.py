"""Pieces of HTML with everything escaped, and numbers and sizes for people. Knows no results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape

# What HTML forbids even as a reference, and what turns the direction of text around.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def text(value: object) -> str:
    """Anything as text between tags or in a quoted attribute."""
    return escape(_CONTROL.sub("�", str(value)), quote=True)


def tag(element: str, inner: str = "", /, **attributes: object) -> str:
    """An element around finished markup; a trailing underscore of a name is left out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{element}{shown}>{inner}</{element}>"


def section(anchor: str, title: str, *parts: str) -> str:
    """A chapter of the page; nothing where it has no content."""
    body = "".join(parts)
    return tag("section", tag("h2", text(title)) + body, id=anchor) if body else ""


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, *, numbers: bool = True
) -> str:
    """A table of finished cells that scrolls in a box of its own."""
    heads = "".join(tag("th", one, scope="col") for one in head)
    body = "".join(
        tag("tr", tag("th", row[0], scope="row") + "".join(tag("td", one) for one in row[1:]))
        for row in rows
    )
    kind = "numbers" if numbers else "facts"
    made = tag("table", tag("thead", tag("tr", heads)) + tag("tbody", body), class_=kind)
    # Below the box, not a <caption> in it: that would be scrolled away with the columns.
    return tag("div", made, class_="scroll", tabindex="0") + tag("p", caption, class_="note")


def safe_json(value: object) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or begins another."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        body = body.replace(mark, f"\\u{ord(mark):04x}")
    return _CONTROL.sub("�", body)


def cut(value: object, most: int) -> str:
    """The text with at most so many characters."""
    flat = str(value)
    return flat if len(flat) <= most else flat[: max(0, most - 1)] + "…"


def share(value: float | None) -> str:
    """A measure between 0 and 1."""
    return "–" if value is None else f"{value:.3f}"


def signed(value: float) -> str:
    """A difference of shares."""
    rounded = round(value, 3)
    return "0.000" if rounded == 0 else f"{rounded:+.3f}".replace("-", "−")


def number(value: float | None) -> str:
    """A count or measurement with about three digits that matter."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def tick(value: float) -> str:
    """A round number on an axis, short: 5, 0.25, 20k, 1M."""
    for unit, amount in (("M", 1e6), ("k", 1e4)):
        if abs(value) >= amount:
            return f"{value / (1e6 if unit == 'M' else 1e3):g}{unit}"
    return f"{value:g}"


def size(count: float | None) -> str:
    """Bytes for people."""
    if count is None:
        return "–"
    amount, unit = float(count), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, bigger
    return f"{amount:,.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def chance(p: float) -> str:
    """A p value."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
