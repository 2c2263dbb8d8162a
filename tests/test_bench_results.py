"""Figures from raw answers: means and intervals, paired comparisons, curves, and back from JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from memsvc.bench.intervals import interval, paired_p
from memsvc.bench.results import (
    HopFacts,
    PathResult,
    QuestionResult,
    QuoteFacts,
    Results,
    ResultsError,
    curve_recall,
    judged,
    pairs,
    scores_of,
    summarise,
)


def question(number: int, em: float | None = 1.0, **changes: Any) -> QuestionResult:
    base = QuestionResult(
        id=f"q{number}",
        question="Who?",
        answers=["Odile"],
        evidence=["p1", "p2"],
        answer="Odile" if em else "",
        found=bool(em),
        confidence=0.5,
        em=em,
        f1=em,
        hits=["p1", "p9", "p2"],
        hops=[HopFacts(0, ["p1"], ["p1"], 1.5)],
        citations=[QuoteFacts("p1", "Kettle", "by Odile")],
        latency_ms=10.0 + number,
        read_tokens=100,
    )
    return replace(base, **changes)


def results(*paths: PathResult) -> Results:
    return Results(
        title="t",
        created="2026-01-01T00:00:00+00:00",
        command="c",
        machine={},
        model={},
        bank={},
        settings={},
        paths=list(paths),
        pairs=pairs(paths),
    )


def test_means_have_intervals_that_hold_them_and_repeat() -> None:
    asked = [question(n, em=float(n % 4 == 0)) for n in range(40)]
    first, again = summarise("msa", asked), summarise("msa", asked)
    em = first.metrics["em"]
    assert (em.mean, em.n) == (0.25, 40)
    assert 0.1 < em.low < 0.25 < em.high < 0.45
    assert first == again
    assert first.latency_ms["p50"] == 29.5
    assert first.read_tokens == {"mean": 100.0}


def test_ranks_of_the_evidence_are_measured() -> None:
    scores = scores_of(question(0))
    assert (scores["recall@1"], scores["recall@5"], scores["all@5"]) == (0.5, 1.0, 1.0)
    assert scores["mrr"] == 1.0
    assert scores["ndcg@10"] == pytest.approx((1 + 0.5) / (1 + 1 / 1.584962500721156))


def test_a_document_that_is_more_relevant_should_come_first() -> None:
    wrong_order = question(0, grades={"p1": 1.0, "p2": 2.0})
    assert scores_of(wrong_order)["ndcg@10"] < scores_of(question(0))["ndcg@10"]


def test_what_cannot_be_measured_is_absent() -> None:
    plain = question(0, em=None, f1=None, evidence=[], answers=[])
    assert set(summarise("msa", [plain]).metrics) == {"found"}
    short = summarise("msa", [question(0)], {"k": 5}).metrics
    assert "recall@5" in short
    assert not {"recall@10", "all@10", "ndcg@10"} & set(short)
    assert curve_recall([summarise("msa", [plain])]) is None


def test_abstention_is_counted_among_the_unanswerable() -> None:
    right = question(0, em=1.0, answers=[], found=False, answer="")
    wrong = question(1, em=0.0, answers=[], found=True, answer="Odile")
    metrics = summarise("msa", [right, wrong, question(2)]).metrics
    assert (metrics["abstention"].mean, metrics["abstention"].n) == (0.5, 2)
    assert metrics["em"].n == 3


def test_questions_that_failed_are_wrong_and_have_no_latency() -> None:
    failed = question(1, em=0.0, hits=[], latency_ms=9e9, error="broken")
    path = summarise("msa", [question(0), failed])
    assert path.metrics["recall@5"].mean == 0.5
    assert path.latency_ms["p99"] == 10.0


def test_nothing_asked_gives_nothing_and_does_not_fail() -> None:
    path = summarise("msa", [])
    assert (path.metrics, path.latency_ms) == ({}, {})
    assert pairs([path, path]) == []


@pytest.mark.parametrize(
    ("golds", "found", "expected"),
    [(None, True, None), ([], False, (1.0, 1.0)), ([], True, (0.0, 0.0)), (["x"], True, (1, 1))],
)
def test_who_is_right(golds: list[str] | None, found: bool, expected: object) -> None:
    assert judged("x" if found else "", found, golds) == expected


def test_a_path_that_is_always_better_differs_and_equal_ones_do_not() -> None:
    better = summarise("msa", [question(n, em=1.0) for n in range(30)])
    worse = summarise("rag", [question(n, em=float(n < 15)) for n in range(30)])
    found = {pair.metric: pair for pair in pairs([better, worse])}
    em = found["em"]
    assert (em.a, em.b, em.difference) == ("msa", "rag", 0.5)
    assert 0.2 < em.low < em.difference < em.high < 0.8
    assert em.p < 0.001
    assert found["mrr"].p == 1.0
    assert (found["mrr"].low, found["mrr"].high) == (0, 0)


def test_only_questions_that_both_were_asked_are_compared() -> None:
    half = summarise("rag", [question(n, em=0.0) for n in range(5)])
    whole = summarise("msa", [question(n, em=float(n < 5)) for n in range(10)])
    assert next(p.difference for p in pairs([whole, half]) if p.metric == "em") == 1.0


def test_the_test_agrees_with_counting_all_flips() -> None:
    assert paired_p([1.0, 1.0, 1.0], 0) == pytest.approx(2 / 8, abs=0.02)
    assert paired_p([1.0, -1.0], 0) == 1.0


def test_an_interval_of_a_fair_coin_is_as_wide_as_theory_says() -> None:
    low, high = interval([0.0, 1.0] * 200, 0)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.01)


def test_recall_grows_with_the_documents_looked_at() -> None:
    curve = curve_recall(
        [summarise("msa", [question(0)], {"k": 16}), summarise("rag", [question(0)], {"k": 3})]
    )
    assert curve is not None
    assert curve.x == [1, 2, 3, 5, 8, 10, 16]
    assert curve.series["msa"] == [0.5, 0.5, 1, 1, 1, 1, 1]
    assert curve.series["rag"] == [0.5, 0.5, 1, None, None, None, None]


def test_results_come_back_from_json_as_they_were() -> None:
    written = results(summarise("msa", [question(0)]), summarise("rag", [question(0, em=0.0)]))
    assert Results.from_dict(json.loads(json.dumps(written.to_dict()))) == written


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"schema": 2}, "'schema' must be 1, got 2"), ({"paths": [{"path": 1}]}, r"'paths\.0\.path'")],
)
def test_another_schema_is_refused_by_name(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ResultsError, match=problem):
        Results.from_dict({**results().to_dict(), **change})
