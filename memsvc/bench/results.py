"""Figures from what came of questions: means with intervals, paired comparisons, curves.

Knows the schema and the measures; nothing of engines, files or terminals. All else imports the
schema from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from memsvc.bench import metrics
from memsvc.bench.intervals import interval, paired_p
from memsvc.bench.schema import (
    SCHEMA,
    Curve,
    Estimate,
    Grid,
    HopFacts,
    Pair,
    PathResult,
    QuestionResult,
    QuoteFacts,
    Results,
    ResultsError,
    Skipped,
)

RECALL_CUTOFFS = (1, 5, 10)
ALL_CUTOFFS = (5, 10)
CURVE_CUTOFFS = (1, 2, 3, 5, 8, 10, 16)
RANK = 10  # depth of nDCG
PERCENTILES = (50, 95, 99)


def scores_of(one: QuestionResult, depth: int | None = None) -> dict[str, float]:
    """Every measure that one question has, by name. `depth`: documents looked for; measures of
    longer lists are left out. A question that failed counts as wrong wherever it has a measure."""
    scores = {"found": float(one.found), **one.scores}
    if one.em is not None and one.f1 is not None:
        scores |= {"em": one.em, "f1": one.f1}
        if not one.answers:
            scores["abstention"] = one.em
    if one.evidence:
        scores |= _ranking_scores(one, depth)
    return scores


def _ranking_scores(one: QuestionResult, depth: int | None) -> dict[str, float]:
    def deep(cutoffs: Sequence[int]) -> list[int]:
        return [k for k in cutoffs if depth is None or k <= depth]

    shares = {
        k: metrics.evidence_share(one.hits, one.evidence, k)
        for k in sorted({*deep(RECALL_CUTOFFS), *deep(ALL_CUTOFFS)})
    }
    scores = {f"recall@{k}": shares[k] for k in deep(RECALL_CUTOFFS)}
    scores |= {f"all@{k}": float(shares[k] == 1) for k in deep(ALL_CUTOFFS)}
    if deep([RANK]):
        grades = {document: one.grades.get(document, 1.0) for document in one.evidence}
        scores[f"ndcg@{RANK}"] = metrics.ndcg(one.hits, grades, RANK)
    return scores | {"mrr": metrics.reciprocal_rank(one.hits, one.evidence)}


def summarise(
    path: str,
    questions: Sequence[QuestionResult],
    settings: Mapping[str, Any] | None = None,
    index: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> PathResult:
    """All figures of one path; metrics that no question has are absent. `settings["k"]`, where it
    is there, bounds the measures of lists. Latency is that of questions that did not fail."""
    depth = (settings or {}).get("k")
    columns: dict[str, list[float]] = {}
    for one in questions:
        for name, score in scores_of(one, depth).items():
            columns.setdefault(name, []).append(score)
    done = [one for one in questions if not one.error]
    return PathResult(
        path=path,
        settings=dict(settings or {}),
        index=dict(index or {}),
        metrics={name: estimate(column, seed) for name, column in columns.items()},
        latency_ms=latencies([one.latency_ms for one in done]),
        read_tokens={"mean": metrics.mean([one.read_tokens for one in done]) or 0.0},
        questions=list(questions),
    )


def estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean of values (not empty) with its 95 % bootstrap interval."""
    low, high = interval(values, seed)
    return Estimate(round(sum(values) / len(values), 6), round(low, 6), round(high, 6), len(values))


def latencies(milliseconds: Sequence[float]) -> dict[str, float]:
    """`mean`, `p50`, `p95`, `p99`; empty of nothing."""
    if not milliseconds:
        return {}
    middle = round(sum(milliseconds) / len(milliseconds), 3)
    return {"mean": middle, **metrics.percentiles(milliseconds, PERCENTILES)}


def pairs(paths: Sequence[PathResult], seed: int = 0) -> list[Pair]:
    """Every two paths in every metric that both have, over the questions that both were asked."""
    tables = [_by_question(path) for path in paths]
    found: list[Pair] = []
    for (first, a), (second, b) in combinations(zip(paths, tables, strict=True), 2):
        for name in first.metrics:
            differences = [
                scores[name] - b[key][name]
                for key, scores in a.items()
                if name in scores and name in b.get(key, {})
            ]
            if differences:
                found.append(_pair(first.path, second.path, name, differences, seed))
    return found


def _by_question(path: PathResult) -> dict[str, dict[str, float]]:
    depth = path.settings.get("k")
    return {one.id: scores_of(one, depth) for one in path.questions}


def _pair(a: str, b: str, metric: str, differences: Sequence[float], seed: int) -> Pair:
    of_mean = estimate(differences, seed)
    p = round(paired_p(differences, seed), 6)
    return Pair(a, b, metric, of_mean.mean, of_mean.low, of_mean.high, p)


def curve_recall(paths: Sequence[PathResult]) -> Curve | None:
    """Mean recall against the number of documents looked at; None without any evidence."""
    depths = [path.settings.get("k") or CURVE_CUTOFFS[-1] for path in paths]
    cutoffs = [k for k in CURVE_CUTOFFS if k <= max(depths, default=0)]
    series: dict[str, list[float | None]] = {}
    for path, depth in zip(paths, depths, strict=True):
        asked = [one for one in path.questions if one.evidence]
        if asked:
            series[path.path] = [
                metrics.mean([metrics.evidence_share(o.hits, o.evidence, k) for o in asked])
                if k <= depth
                else None
                for k in cutoffs
            ]
    if not series:
        return None
    x = [float(k) for k in cutoffs]
    return Curve("Recall of the evidence", "documents looked at", "recall", x, series)


def judged(answer: str, found: bool, golds: Sequence[str] | None) -> tuple[float, float] | None:
    """Exact match and F1 of an answer. `golds`: None where nobody said what is right (then the
    result is None, too), empty where the right thing is to abstain."""
    if golds is None:
        return None
    if not golds:
        right = float(not found)
        return right, right
    said = answer if found else ""
    return metrics.exact_match(said, golds), metrics.f1(said, golds)


__all__ = [
    "SCHEMA",
    "Curve",
    "Estimate",
    "Grid",
    "HopFacts",
    "Pair",
    "PathResult",
    "QuestionResult",
    "QuoteFacts",
    "Results",
    "ResultsError",
    "Skipped",
    "curve_recall",
    "estimate",
    "judged",
    "latencies",
    "pairs",
    "scores_of",
    "summarise",
]
