"""Every question with what each path made of it, small enough to be carried in the page.

The page's script shows them one at a time; texts and traces are cut until all fit the budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memsvc_client.report.markup import cut, safe_json, table, tag, text
from memsvc_client.report.reading import Results, first_path, paths_of

BUDGET = 3_500_000  # bytes of all questions; the rest of the page takes far less than 1 MB
_TOP = 5
_EVEN = 1e-9


@dataclass(frozen=True)
class _Cut:
    """How much is told: characters of a text, documents of a hop, citations of an answer."""

    characters: int
    documents: int
    citations: int


_CUTS = (_Cut(600, 16, 6), _Cut(300, 10, 3), _Cut(160, 6, 2), _Cut(90, 3, 1), _Cut(60, 1, 0))


def score(asked: Mapping[str, Any]) -> float | None:
    """What decides between paths: F1, else exact match, else the evidence among the best five."""
    if asked.get("error"):
        return None
    for name in ("f1", "em"):
        if asked.get(name) is not None:
            return float(asked[name])
    evidence = set(asked.get("evidence") or ())
    if not evidence:
        return None
    return len(evidence & set(list(asked.get("hits") or ())[:_TOP])) / len(evidence)


def wins(results: Results) -> str:
    """How often each path does better and worse than the first, question by question."""
    first = first_path(results)
    scores = {
        one["path"]: {_key(asked): score(asked) for asked in one.get("questions", [])}
        for one in paths_of(results)
    }
    rows = []
    for path, own in scores.items():
        if path == first or first not in scores:
            continue
        both = [(own[key], other) for key, other in scores[first].items() if key in own]
        known = [(mine, other) for mine, other in both if mine is not None and other is not None]
        better = sum(mine > other + _EVEN for mine, other in known)
        worse = sum(other > mine + _EVEN for mine, other in known)
        even = len(known) - better - worse
        unknown = len(both) - len(known)
        rows.append([text(path), *(f"{count:,}" for count in (better, even, worse, unknown))])
    if not rows:
        return ""
    caption = (
        f"Questions on which a path does better than <b>{text(first)}</b>, as well, or worse: "
        "by F1, or where no answer is known by the evidence among the best five"
    )
    return table(["path", "better", "even", "worse", "not decided"], rows, caption)


def payload(results: Results, budget: int = BUDGET) -> tuple[str, bool]:
    """All questions as JSON for a script element, and whether texts or traces were cut much."""
    body = ""
    for level, one in enumerate(_CUTS):
        body = safe_json(_packed(results, one))
        if len(body.encode()) <= budget:
            return body, level > 1
    return body, True


def _key(asked: Mapping[str, Any]) -> str:
    return str(asked.get("id") or asked.get("question"))


def _packed(results: Results, most: _Cut) -> dict[str, Any]:
    """Documents are named once and then by number."""
    paths = paths_of(results)
    numbers: dict[str, int] = {}
    rows: dict[str, dict[str, Any]] = {}
    for place, path in enumerate(paths):
        for asked in path.get("questions", []):
            row = rows.setdefault(
                _key(asked),
                {
                    "i": cut(asked.get("id", ""), 60),
                    "q": cut(asked.get("question", ""), most.characters),
                    "g": [cut(one, most.characters) for one in asked.get("answers") or ()][:5],
                    "n": int(asked.get("em") is not None and not asked.get("answers")),
                    "e": _numbered(asked.get("evidence") or (), numbers, 20),
                    "r": [None] * len(paths),
                },
            )
            row["r"][place] = _result(asked, most, numbers)
    names = [cut(one, 128) for one in numbers]
    return {"paths": [one["path"] for one in paths], "docs": names, "rows": list(rows.values())}


def _result(asked: Mapping[str, Any], most: _Cut, numbers: dict[str, int]) -> list[Any]:
    """answer, found, confidence, score, milliseconds, tokens, error, hits, hops, citations."""
    decided = score(asked)
    hops = [
        [
            _numbered(hop.get("routed") or (), numbers, most.documents),
            _numbered(hop.get("read") or (), numbers, most.documents),
            _short(hop.get("ms")),
            len(hop.get("routed") or ()),
        ]
        for hop in asked.get("hops") or ()
    ]
    cited = [
        [
            _numbered([one.get("document", "")], numbers, 1)[0],
            cut(one.get("title", ""), 80),
            cut(one.get("quote", ""), most.characters),
        ]
        for one in (asked.get("citations") or ())[: most.citations]
    ]
    return [
        cut(asked.get("answer") or "", most.characters),
        int(bool(asked.get("found"))),
        _short(asked.get("confidence"), 3),
        None if decided is None else round(decided, 3),
        _short(asked.get("latency_ms")),
        asked.get("read_tokens") or 0,
        cut(asked.get("error") or "", 200),
        _numbered(asked.get("hits") or (), numbers, most.documents),
        hops,
        cited,
    ]


def _short(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(float(value), digits)


def _numbered(documents: Any, numbers: dict[str, int], most: int) -> list[int]:
    return [numbers.setdefault(str(one), len(numbers)) for one in list(documents)[:most]]


def browser(results: Results) -> str:
    """Choices, an empty list, and the questions as data."""
    body, much = payload(results)
    note = (
        "Texts and traces are cut short here; results.json has all of them. " if much else ""
    ) + "Open a question for its answers, sources and hops."
    choices = "".join(
        tag("label", text(label) + tag("select", "", id=name))
        for label, name in (("path A ", "side-a"), ("path B ", "side-b"), ("show ", "which"))
    )
    search = tag("label", "words " + '<input id="words" type="search" autocomplete="off">')
    return (
        tag("p", note, class_="note")
        + tag("div", choices + search, class_="choices")
        + tag("p", "", id="count", role="status")
        + tag("div", "", id="questions")
        + tag("button", "show more", id="more", type="button", hidden="hidden")
        + tag("noscript", tag("p", "The list of questions needs JavaScript."))
        + f'<script type="application/json" id="data">{body}</script>'
    )
