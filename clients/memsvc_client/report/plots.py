"""The plots that compare paths: intervals, curves, latency, tokens and bytes. Knows results of
schema 1 and the drawing; grids stand in `heatmap`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from memsvc_client.report import svg
from memsvc_client.report.markup import number, share
from memsvc_client.report.reading import Results, colours_of, metric_of, paths_of
from memsvc_client.report.svg import LABELS, RIGHT, ROW, TOP, WIDTH, Canvas, row_at

_MOST_DOTS = 60
_CURVE_HEIGHT = 190.0
_FOREST = ("em", "f1", "recall@1", "recall@5", "recall@10", "all@5", "ndcg@10", "mrr", "abstention")
_NO_FOREST = ("found", "all@10")  # in the table alone
_FULL_NAMES = {
    "em": "Exact match",
    "f1": "F1 of the answer",
    "ndcg@10": "nDCG@10",
    "mrr": "Mean reciprocal rank",
    "abstention": "Right abstentions",
    "abstention_auroc": "Abstention, AUROC of confidence",
    "f1_drop": "Relative drop of F1",
    "found": "Answered",
}


def metric_title(name: str) -> str:
    """A measure's name for people."""
    return _FULL_NAMES.get(name, name[:1].upper() + name[1:] if "@" in name else name)


def quality(results: Results) -> list[str]:
    """One plot of means and intervals for each measure that was taken."""
    taken = dict.fromkeys(
        name
        for one in results.get("paths", [])
        for name in one.get("metrics") or {}
        if metric_of(one, name)
    )
    others = [name for name in taken if name not in (*_FOREST, *_NO_FOREST)]
    names = [name for name in _FOREST if name in taken] + others
    return [_forest(results, name) for name in names]


def _rows(names: Sequence[str], title: str) -> tuple[Canvas, float]:
    """A canvas with a row for each name, and where the rows end."""
    bottom = TOP + ROW * len(names)
    on = Canvas(title, bottom + svg.BOTTOM)
    svg.row_names(on, names)
    return on, bottom


def _forest(results: Results, name: str) -> str:
    shown = [(one["path"], metric_of(one, name)) for one in paths_of(results)]
    rows = [(path, found) for path, found in shown if found]
    on, bottom = _rows([path for path, _ in rows], metric_title(name))
    ends = [value for _, one in rows for value in (one.get("low"), one.get("high"), one["mean"])]
    known = [value for value in ends if value is not None]
    pad = max(0.08, (max(known) - min(known)) * 0.1)  # small differences stay small
    low, high = max(0.0, min(known) - pad), min(1.0, max(known) + pad)
    scale = svg.Scale(low, high, LABELS, WIDTH - RIGHT)
    svg.x_axis(on, scale, TOP, bottom, "mean with 95 % interval (share, 0 to 1)")
    colours = colours_of(results)
    for place, (path, one) in enumerate(rows):
        y, colour = row_at(place), colours[path]
        hint = f"{path}: {share(one['mean'])}"
        if one.get("low") is not None:
            hint += f" ({share(one['low'])} to {share(one['high'])}), {one.get('n', '?')} questions"
            kind = f"c{colour % 10} whisker"
            on.add("line", x1=scale(one["low"]), x2=scale(one["high"]), y1=y, y2=y, class_=kind)
        svg.marker(on, scale(one["mean"]), y, colour, hint)
    return on.finish()


def curves(results: Results) -> list[str]:
    """Quality against k, and whatever other curves there are."""
    given = list(results.get("curves", []))
    if not any("recall" in str(one.get("title", "")).lower() for one in given):
        given = [*_recall_curve(results), *given]
    colours = colours_of(results)
    return [_curve(one, colours) for one in given if _points(one)]


def _recall_curve(results: Results) -> list[dict[str, Any]]:
    """Recall against k from the measures, where results bring no such curve."""
    cutoffs = (1, 5, 10)
    series = {
        one["path"]: [(metric_of(one, f"recall@{k}") or {}).get("mean") for k in cutoffs]
        for one in paths_of(results)
    }
    labels = {"x_label": "k (documents)", "y_label": "recall@k (share of evidence)"}
    return [{"title": "Recall against k", **labels, "x": list(cutoffs), "series": series}]


def _points(curve: Mapping[str, Any]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Each path's finite points."""
    found = []
    for path, values in curve.get("series", {}).items():
        pairs = zip(curve.get("x", []), values, strict=False)
        points = [(float(x), float(y)) for x, y in pairs if _finite(x) and _finite(y)]
        if points:
            found.append((path, points))
    return found


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _curve(curve: Mapping[str, Any], colours: Mapping[str, int]) -> str:
    series = _points(curve)
    bottom = TOP + _CURVE_HEIGHT
    height = bottom + svg.BOTTOM + svg.legend_height(len(series))
    on = Canvas(str(curve.get("title", "")), height)
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points]
    wide = min(xs) > 0 and max(xs) / min(xs) >= 50
    left, right = 62.0, float(WIDTH - RIGHT)
    across = svg.logarithmic(xs, left, right) if wide else svg.linear(xs, left + 10, right - 10)
    # From 0 where that wastes little; else the differences, which are what is looked for, drown.
    floor = 0.0 if min(ys) >= 0 and min(ys) < max(ys) * 0.5 else None
    span = max(ys) - min(ys)
    down = svg.linear([*ys, max(ys) + span * 0.05], bottom, TOP + 4, floor)
    svg.x_axis(on, across, TOP, bottom, str(curve.get("x_label", "x")))
    svg.y_axis(on, down, left, right, str(curve.get("y_label", "y")))
    for path, points in series:
        colour = colours[path]
        line = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
        on.add("polyline", points=line, class_=f"c{colour % 10} line")
        for x, y in points:
            hint = f"{path}: {number(x)}, {number(y)}"
            svg.marker(on, across(x), down(y), colour, hint)
    svg.legend(on, [(path, colours[path]) for path, _ in series], bottom + svg.BOTTOM + 8)
    return on.finish()


def latency(results: Results) -> str:
    """Boxes from the quarter to the three quarters, whiskers from 5 to 95 %, on a log scale."""
    spent = [
        (one["path"], sorted(_milliseconds(one)))
        for one in paths_of(results)
        if any(_milliseconds(one))
    ]
    if not spent:
        return ""
    on, bottom = _rows([path for path, _ in spent], "Latency of a question")
    everything = [value for _, values in spent for value in values]
    scale = svg.logarithmic(everything, LABELS, WIDTH - RIGHT)
    svg.x_axis(on, scale, TOP, bottom, "ms, log scale; box 25–75 %, whiskers 5–95 %")
    colours = colours_of(results)
    for place, (path, values) in enumerate(spent):
        _box(on, scale, row_at(place), path, values, colours[path])
    return on.finish()


def _milliseconds(path: Mapping[str, Any]) -> list[float]:
    asked = path.get("questions", [])
    return [
        float(one["latency_ms"])
        for one in asked
        if not one.get("error") and _finite(one.get("latency_ms")) and one["latency_ms"] > 0
    ]


def quantile(ordered: Sequence[float], part: float) -> float:
    """Between neighbours, of values that are in order and at least one."""
    at = part * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def _box(
    on: Canvas, scale: svg.Scale, y: float, path: str, values: Sequence[float], colour: int
) -> None:
    marks = [quantile(values, part) for part in (0.05, 0.25, 0.5, 0.75, 0.95)]
    low, first, middle, third, high = (scale(value) for value in marks)
    kind = f"c{colour % 10}"
    step = max(1, math.ceil(len(values) / _MOST_DOTS))
    for value in {*values[::step], values[0], values[-1]}:
        on.add("circle", cx=scale(value), cy=y, r=1.6, class_=f"{kind} dot")
    on.add("line", x1=low, x2=high, y1=y, y2=y, class_=f"{kind} whisker")
    told = f"p50 {number(marks[2])} ms, p95 {number(marks[4])} ms, {len(values)} questions"
    width = max(third - first, 1.5)
    on.add("rect", hint=f"{path}: {told}", x=first, y=y - 7, width=width, height=14, class_=kind)
    on.add("line", x1=middle, x2=middle, y1=y - 9, y2=y + 9, class_="median")


def read_tokens(results: Results) -> str:
    """Tokens of text that a question has read, on the mean."""
    rows = [(one["path"], (one.get("read_tokens") or {}).get("mean")) for one in paths_of(results)]
    known = [(path, float(mean)) for path, mean in rows if mean is not None]
    if not any(mean for _, mean in known):
        return ""
    return _bars(results, "Text read for a question", "tokens, mean over questions", known)


def bytes_per_token(results: Results) -> str:
    """What a path keeps for each token of the bank's text."""
    known = [
        (one["path"], kept)
        for one in paths_of(results)
        if (kept := bytes_of(results, one)) is not None
    ]
    if not known:
        return ""
    return _bars(results, "Kept for each token of text", "bytes per token", known)


def bytes_of(results: Results, path: Mapping[str, Any]) -> float | None:
    """Bytes per token of the bank that a path keeps; None where that is not known."""
    tokens = (results.get("bank") or {}).get("tokens")
    kept = kept_bytes(results, path)
    return None if kept is None or not tokens else kept / float(tokens)


def kept_bytes(results: Results, path: Mapping[str, Any]) -> float | None:
    """Bytes that a path keeps besides the texts: the bank's blocks for msa, its index for others;
    None where that is not known."""
    bank = results.get("bank") or {}
    index = (path.get("index") or {}).get("bytes")
    if path["path"] == "msa":
        blocks = (bank.get("near_bytes") or 0) + (bank.get("far_bytes") or 0)
        return float(index or blocks) or None
    return None if index is None else float(index)


def _bars(results: Results, title: str, label: str, rows: Sequence[tuple[str, float]]) -> str:
    on, bottom = _rows([path for path, _ in rows], title)
    most = max(value for _, value in rows) or 1
    scale = svg.Scale(0, most * 1.15, LABELS, WIDTH - RIGHT)
    svg.x_axis(on, scale, TOP, bottom, label)
    colours = colours_of(results)
    for place, (path, value) in enumerate(rows):
        y, width = row_at(place), max(scale(value) - LABELS, 0.5)
        hint = f"{path}: {number(value)} {label}"
        kind = f"c{colours[path] % 10} bar"
        on.add("rect", hint=hint, x=LABELS, y=y - 8, width=width, height=16, class_=kind)
        on.write(LABELS + width + 5, y + 4, number(value), "value")
    return on.finish()
