"""Results of schema 1 from a file, and what of them the report relies on. Knows no HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = 1
Results = Mapping[str, Any]
_PARTS: dict[str, type] = {"paths": list, "pairs": list, "curves": list, "grids": list}
_ORDER = (
    "msa",
    "rag",
    "rag+rerank",
    "hybrid",
    "bm25",
    "iterative-rag",
    "full-context",
    "files",
)


class ReportError(ValueError):
    """A file that is no result of schema 1; the message names the file and what is wrong."""


def load_results(path: Path) -> dict[str, Any]:
    """The results in a file. Raises ReportError."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ReportError(f"{path}: not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ReportError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if problem := fault_of(body):
        raise ReportError(f"{path}: {problem}")
    return dict(body)


def fault_of(body: object) -> str:
    """What keeps a value from being results of schema 1; "" if nothing does."""
    if not isinstance(body, dict) or "schema" not in body:
        return 'no results: an object with "schema": 1 was expected'
    if body["schema"] != SCHEMA:
        return f"schema {body['schema']!r} is not known; this version reads schema {SCHEMA}"
    for name, kind in _PARTS.items():
        if not isinstance(body.get(name, kind()), kind):
            return f"{name!r} is no {kind.__name__}"
    for place, one in enumerate(body.get("paths", [])):
        if not isinstance(one, dict) or not isinstance(one.get("path"), str):
            return f"paths[{place}] has no name"
        if not isinstance(one.get("questions", []), list):
            return f"paths[{place}].questions is no list"
    return ""


def paths_of(results: Results) -> list[Mapping[str, Any]]:
    """The paths that were taken, in the usual order; unknown ones last."""
    known = {name: place for place, name in enumerate(_ORDER)}
    return sorted(results.get("paths", []), key=lambda one: known.get(one["path"], len(known)))


def colours_of(results: Results) -> dict[str, int]:
    """A colour's number for each path: always the same for those known."""
    colours = {name: number for number, name in enumerate(_ORDER)}
    names = [one["path"] for one in results.get("paths", [])]
    names += [name for curve in results.get("curves", []) for name in curve.get("series", {})]
    for name in names:
        colours.setdefault(name, len(colours))
    return colours


def metric_of(path: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A measure with its interval; None where it was not taken."""
    found = (path.get("metrics") or {}).get(name)
    return found if isinstance(found, dict) and found.get("mean") is not None else None


def first_path(results: Results) -> str:
    """Whom the others are measured against: msa, or the first there is."""
    names = [one["path"] for one in paths_of(results)]
    return "msa" if "msa" in names or not names else names[0]
