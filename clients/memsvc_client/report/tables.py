"""The report's tables: headline, pairs, wins and losses, skipped paths, settings and machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memsvc_client.report.markup import chance, number, share, signed, size, table, tag, text
from memsvc_client.report.plots import bytes_of, kept_bytes, metric_title
from memsvc_client.report.reading import Results, colours_of, first_path, metric_of, paths_of

_QUALITY = ("em", "f1", "recall@1", "recall@5", "recall@10", "abstention")
_MORE = ("all@5", "all@10", "ndcg@10", "mrr", "found")
_SURE = 0.05


def headline(results: Results) -> str:
    """Paths against measures: mean and interval, the best marked, and who is surely otherwise."""
    paths = paths_of(results)
    if not paths:
        return tag("p", "No path was measured.")
    taken = [name for one in paths for name in one.get("metrics") or {} if metric_of(one, name)]
    others = [name for name in dict.fromkeys(taken) if name not in (*_QUALITY, *_MORE)]
    columns = [
        *(_quality_column(results, name) for name in _QUALITY if name in taken),
        *_cost_columns(results),
        *(_quality_column(results, name) for name in (*_MORE, *others) if name in taken),
        *_plain_columns(results),
    ]
    rows = []
    for place, path in enumerate(paths):
        rows.append([_swatch(results, path["path"]), *(column[1][place] for column in columns)])
    first = text(first_path(results))
    caption = (
        "Means with 95&nbsp;% bootstrap intervals. ★ best of its column. "
        f"▲ ▼ better or worse than <b>{first}</b> over the same questions (p &lt; {_SURE})."
    )
    return table(["path", *(head for head, _ in columns)], rows, caption)


def _swatch(results: Results, path: str) -> str:
    colour = colours_of(results)[path] % 10
    return tag("span", "", class_=f"swatch s{colour}") + text(path)


def _quality_column(results: Results, name: str) -> tuple[str, list[str]]:
    found = [metric_of(one, name) for one in paths_of(results)]
    # "found" has no better: to answer what cannot be answered is no gain; less of a drop is better.
    means = [one["mean"] for one in found if one] if name not in ("found", "f1_drop") else []
    best = max(means, default=None)
    cells = []
    for path, one in zip(paths_of(results), found, strict=True):
        if one is None:
            cells.append("–")
            continue
        star = "★ " if one["mean"] == best and min(means) < one["mean"] else ""
        low, high = one.get("low"), one.get("high")
        between = "" if low is None else f"{share(low)}–{share(high)}"
        if (n := one.get("n")) is not None and n < len(path.get("questions", [])):
            between += f", n={n:,}"
        sure = _against_first(results, path["path"], name)
        mean = tag("span", f"{star}{share(one['mean'])}{sure}", class_="best" if star else "mean")
        cells.append(mean + tag("small", between))
    return text(metric_title(name)), cells


def _against_first(results: Results, path: str, metric: str) -> str:
    """A mark where the pair with the first path is sure; "" else."""
    first = first_path(results)
    for pair in results.get("pairs", []):
        ends = (pair.get("a"), pair.get("b"))
        if pair.get("metric") != metric or set(ends) != {first, path} or path == first:
            continue
        if pair.get("p") is None or pair["p"] >= _SURE or not pair.get("difference"):
            return ""
        better = (pair["difference"] > 0) == (ends[0] == path)
        hint = f"{chance(pair['p'])} against {first}"
        return tag("span", "▲" if better else "▼", class_="up" if better else "down", title=hint)
    return ""


def _cost_columns(results: Results) -> list[tuple[str, list[str]]]:
    paths = paths_of(results)
    columns = []
    for name in ("p50", "p95"):
        values = [(one.get("latency_ms") or {}).get(name) for one in paths]
        columns.append((f"{name}, ms", _least(values)))
    read = [(one.get("read_tokens") or {}).get("mean") for one in paths]
    columns.append(("tokens read", _least(read)))
    per_token = [number(bytes_of(results, one)) for one in paths]
    columns.append(("bytes per token", per_token))
    return _told(columns)


def _told(columns: list[tuple[str, list[str]]]) -> list[tuple[str, list[str]]]:
    """Those that tell anything."""
    return [column for column in columns if any(cell not in ("–", "0", "") for cell in column[1])]


def _plain_columns(results: Results) -> list[tuple[str, list[str]]]:
    paths = paths_of(results)
    longest = [number((one.get("latency_ms") or {}).get("p99")) for one in paths]
    columns = [("p99, ms", longest)]
    columns.append(("kept", [size(kept_bytes(results, one)) for one in paths]))
    columns.append(("index built, s", [_built(one) for one in paths]))
    columns.append(("questions", [_asked(one) for one in paths]))
    return _told(columns)


def _least(values: list[float | None]) -> list[str]:
    known = [value for value in values if value]
    best = min(known) if len(set(known)) > 1 else None
    return [
        tag("span", f"★ {number(one)}", class_="best")
        if one is not None and one == best
        else number(one)
        for one in values
    ]


def _built(path: Mapping[str, Any]) -> str:
    seconds = (path.get("index") or {}).get("build_seconds")
    return number(seconds) if seconds else "–"


def _asked(path: Mapping[str, Any]) -> str:
    asked = path.get("questions", [])
    failed = sum(bool(one.get("error")) for one in asked)
    return f"{len(asked):,}" + (tag("small", f"{failed:,} failed") if failed else "")


def pairs(results: Results) -> str:
    """Every pair that was tested: those with the first path at once, the others folded."""
    first = first_path(results)
    given = [
        one
        for one in results.get("pairs", [])
        if all(isinstance(one.get(key), int | float) for key in ("difference", "low", "high", "p"))
    ]
    main = [_pair(one) for one in given if first in (one.get("a"), one.get("b"))]
    rest = [_pair(one) for one in given if first not in (one.get("a"), one.get("b"))]
    if not given:
        return ""
    note = (
        "Two paths over the same questions: mean difference, its 95&nbsp;% interval, and p, "
        "not corrected for the number of pairs."
    )
    head = ["pair", "measure", "difference", "95 % interval", "p"]
    shown = table(head, main, note) if main else ""
    if not rest:
        return shown
    words = tag("summary", f"{len(rest)} pairs without {text(first)}")
    return shown + tag("details", words + table(head, rest, note))


def _pair(one: Mapping[str, Any]) -> list[str]:
    return [
        f"{text(one.get('a'))} − {text(one.get('b'))}",
        text(metric_title(str(one.get("metric")))),
        signed(one["difference"]),
        f"{signed(one['low'])} to {signed(one['high'])}",
        tag("b", chance(one["p"])) if one["p"] < _SURE else chance(one["p"]),
    ]


def skipped(results: Results) -> str:
    """Paths that were not taken, and why."""
    rows = [[text(one.get("path")), text(one.get("reason"))] for one in results.get("skipped", [])]
    if not rows:
        return ""
    return table(["path", "reason"], rows, "Paths that were not taken", numbers=False)


def facts(results: Results) -> str:
    """Bank, model, settings, machine and the settings of each path."""
    bank = results.get("bank") or {}
    shown = {
        "bank": {
            "documents": f"{bank.get('documents', 0):,}",
            "tokens": f"{bank.get('tokens', 0):,}",
            "routing keys, in memory": size(bank.get("near_bytes")),
            "content, on disk": size(bank.get("far_bytes")),
        }
        if bank
        else {},
        "model": results.get("model") or {},
        "settings": results.get("settings") or {},
        "machine": results.get("machine") or {},
        **{f"path {one['path']}": one.get("settings") or {} for one in paths_of(results)},
    }
    rows = [
        [text(group), text(name), text(_plain(value))]
        for group, values in shown.items()
        for name, value in values.items()
    ]
    return table(["of", "what", "value"], rows, "What was compared, on what", numbers=False)


def _plain(value: object) -> str:
    if value is None:
        return "default"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return str(value)
