"""The page as a whole: chapters in their order, style and script. Knows results of schema 1."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from memsvc_client.report import plots, questions, tables
from memsvc_client.report.heatmap import heatmap
from memsvc_client.report.markup import section, tag, text
from memsvc_client.report.reading import ReportError, Results, fault_of, paths_of

_HEAD = (
    '<meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="generator" content="memsvc report">'
    '<link rel="icon" href="data:,">'  # else a browser asks for one and reports its absence
)
_CLOSING = "<footer>Made by memsvc report from results. It loads nothing from anywhere.</footer>"
_CHAPTERS = {
    "summary": "In short",
    "quality": "Quality",
    "depth": "Quality against k, and other curves",
    "cost": "Latency, tokens and bytes",
    "grids": "Grids",
    "pairs": "Pairs of paths",
    "each": "Question by question",
    "setting": "What was compared, and on what",
}


def render(results: Results) -> str:
    """The report. Raises ReportError for what is no result of schema 1."""
    if problem := fault_of(results):
        raise ReportError(problem)
    title = results.get("title") or "memsvc compare"
    chapters = _chapters(results)
    present = [(name, title_) for name, title_ in _CHAPTERS.items() if chapters[name]]
    nav = tag("nav", "".join(tag("a", text(words), href=f"#{name}") for name, words in present))
    body = "".join(section(name, words, chapters[name]) for name, words in present)
    head = _HEAD + tag("title", text(title)) + tag("style", _asset("style.css"))
    script = tag("script", _asset("script.js")) if chapters["each"] else ""
    page = _opening(results, str(title)) + nav + tag("main", body) + _CLOSING + script
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{page}</body></html>\n'


def _chapters(results: Results) -> dict[str, str]:
    cost = [plots.latency(results), plots.read_tokens(results), plots.bytes_per_token(results)]
    asked = any(path.get("questions") for path in results.get("paths", []))
    each = questions.wins(results) + questions.browser(results) if asked else ""
    return {
        "summary": tables.headline(results) + tables.skipped(results),
        "quality": _grid(plots.quality(results)),
        "depth": _grid(plots.curves(results)),
        "cost": _grid(cost),
        "grids": _grid([heatmap(one) for one in results.get("grids", [])]),
        "pairs": tables.pairs(results),
        "each": each,
        "setting": tables.facts(results),
    }


def _grid(figures: Sequence[str]) -> str:
    drawn = "".join(figures)
    return tag("div", drawn, class_="plots") if drawn else ""


def _opening(results: Results, title: str) -> str:
    bank = results.get("bank") or {}
    model = results.get("model") or {}
    asked = max((len(one.get("questions", [])) for one in paths_of(results)), default=0)
    chips = [
        str(results.get("created", "")),
        f"{asked:,} questions" if asked else "",
        f"{bank['documents']:,} documents" if bank.get("documents") else "",
        f"{bank['tokens']:,} tokens" if bank.get("tokens") else "",
        f"model {model['model']}" if model.get("model") else "",
    ]
    facts = tag("ul", "".join(tag("li", text(one)) for one in chips if one), class_="chips")
    command = results.get("command")
    warnings = "".join(tag("li", text(one)) for one in results.get("warnings", []))
    return tag(
        "header",
        tag("h1", text(title))
        + facts
        + (tag("pre", text(command), tabindex="0") if command else "")
        + (tag("div", tag("ul", warnings), class_="warnings", role="note") if warnings else ""),
    )


def _asset(name: str) -> str:
    return files("memsvc_client.report").joinpath(name).read_text(encoding="utf-8")
