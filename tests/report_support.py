"""Results of schema 1 made by hand, and a page's elements as a list: for tests of the report."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

PATHS = ("msa", "rag", "hybrid", "bm25", "iterative-rag", "files")
EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
_WORDS = ["the", "river", "library", "opened", "in", "March", "under", "Okafor", "blue", "ledger"]
_VOID = {"meta", "link", "img", "br", "input"}


def interval(mean: float, n: int, half: float = 0.04) -> dict[str, float]:
    """A measure with a symmetric interval."""
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half), "n": n}


def _question(draw: random.Random, place: int, level: float, text: str) -> dict[str, Any]:
    right = draw.random() < level
    hits = [f"doc-{(place * 7 + step) % 400:03}" for step in range(16)]
    hits = hits if right else hits[::-1]
    f1 = 1.0 if right else draw.choice([0.0, 0.0, 0.4])
    spent = draw.lognormvariate(3.2 + level, 0.5)
    return {
        "id": f"q{place}",
        "question": f"{text} Where did number {place} go, and {' '.join(draw.sample(_WORDS, 9))}?",
        "answers": [f"under pot {place}"],
        "evidence": hits[:1] if right else hits[-1:],
        "answer": f"under pot {place}" if right else " ".join(draw.sample(_WORDS, 4)),
        "found": True,
        "confidence": round(draw.random(), 3),
        "em": float(right),
        "f1": f1,
        "hits": hits,
        "hops": [
            {"index": hop, "routed": hits, "read": hits[hop * 2 : hop * 2 + 2], "ms": spent / 2}
            for hop in range(2)
        ],
        "citations": [
            {"document": hits[0], "title": text + "A title", "quote": "It is there. " * 9}
        ],
        "latency_ms": spent,
        "read_tokens": int(200 + 300 * level),
        "error": "",
    }


def made_path(name: str, level: float, asked: int, text: str = "") -> dict[str, Any]:
    """One path that is right in a share `level` of its questions."""
    draw = random.Random(name)
    names = {"em": level, "f1": level + 0.1, "recall@1": level, "recall@5": min(1, level + 0.2)}
    names |= {"recall@10": min(1.0, level + 0.25), "abstention": 1 - level}
    return {
        "path": name,
        "settings": {"index": "flat", "embedder": "bundled MiniLM"} if "rag" in name else {},
        "index": {"bytes": 0 if name in ("msa", "files") else 620_000, "build_seconds": 3.25},
        "metrics": {key: interval(value, asked) for key, value in names.items()},
        "latency_ms": {"mean": 60.0, "p50": 40 + level * 40, "p95": 160.0, "p99": 210.0},
        "read_tokens": {"mean": 200 + 300 * level},
        "questions": [_question(draw, place, level, text) for place in range(asked)],
    }


_LENGTHS = [4096 * 4**step for step in range(5)]


def _curves(levels: dict[str, float], text: str) -> list[dict[str, Any]]:
    recall = {
        name: [min(1, level + 0.1 * place) for place in range(5)] for name, level in levels.items()
    }
    decay = {name: [level * 0.95**place for place in range(5)] for name, level in levels.items()}
    return [
        {"title": "Recall against k", "x_label": "k (documents)", "y_label": "recall@k (share)"}
        | {"x": [1, 2, 5, 10, 16], "series": recall},
        {"title": f"{text}Context degradation", "x_label": "bank (tokens, log scale)"}
        | {"y_label": "F1 (share)", "x": _LENGTHS, "series": decay},
    ]


def _grid(text: str) -> dict[str, Any]:
    rows: list[list[float | None]] = [[1 - 0.05 * x * y for x in range(5)] for y in range(4)]
    labels = {"x_label": "bank (tokens)", "y_label": "depth of needle (%)", "path": "msa"}
    values = [*rows, [None] * 5]
    return {"title": f"{text}SA1", **labels, "x": _LENGTHS, "y": [0, 25, 50, 75, 100]} | {
        "values": values
    }


def results(asked: int = 40, text: str = "", paths: tuple[str, ...] = PATHS) -> dict[str, Any]:
    """Results with all that a report can show; `text` goes wherever a user's words go."""
    levels = {name: 0.62 - 0.07 * place for place, name in enumerate(paths)}
    pairs = [
        {"a": "msa", "b": name, "metric": metric, "difference": 0.62 - level, "low": 0.01}
        | {"high": 0.2, "p": 0.0004 if level < 0.5 else 0.2}
        for name, level in levels.items()
        if name != "msa"
        for metric in ("f1", "recall@5")
    ]
    return {
        "schema": 1,
        "title": f"{text}Notes of the house",
        "created": "2026-11-22T16:00:00+00:00",
        "command": f"memsvc compare notes --questions q.jsonl --out out {text}",
        "machine": {
            "cpu": "Some CPU",
            "cores": 2,
            "memory_gb": 8.0,
            "python": "3.11",
            "torch": "2.6",
        },
        "model": {"model": "memsvc-small", "pool_size": 64, "router_layers": [0, 6]},
        "bank": {"documents": 400, "tokens": 41_000, "near_bytes": 640_000, "far_bytes": 1_100_000},
        "settings": {"k": 16, "max_hops": 2, "max_read_tokens": None, "seed": 7},
        "paths": [made_path(name, level, asked, text) for name, level in levels.items()],
        "pairs": pairs,
        "curves": _curves(levels, text),
        "grids": [_grid(text)],
        "skipped": [{"path": "rag+rerank", "reason": f"{text}no reranker given"}],
        "warnings": [f"{text}3 of 40 evidence ids are no documents of the bank"],
    }


@dataclass
class Elements(HTMLParser):
    """What a page is made of. Elements that are not closed, or closed twice, are faults."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)  # (element, text within)
    faults: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    @classmethod
    def of(cls, page: str) -> Elements:
        """The elements of a whole page."""
        found = cls()
        found.feed(page)
        found.close()
        found.faults += [f"<{name}> is never closed" for name in found._open]
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.append((self._open[-1], data))

    def named(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of a name."""
        return [attributes for name, attributes in self.tags if name == tag]
