"""The measures agree with SQuAD's definitions on cases worked out by hand."""

from __future__ import annotations

import pytest

from memsvc.bench import metrics


def test_normal_form_drops_case_punctuation_articles_and_spaces() -> None:
    assert metrics.normalise("  The U.S.  'Army', an Example") == "us army example"


@pytest.mark.parametrize(
    ("answer", "golds", "em", "f1"),
    [
        ("the Eiffel Tower!", ["Eiffel tower"], 1.0, 1.0),
        ("in 1902", ["1902", "the winter of 1902"], 0.0, 2 / 3),
        ("Odile", ["two cats"], 0.0, 0.0),
        ("", ["Odile"], 0.0, 0.0),
        ("cat cat dog", ["cat dog dog"], 0.0, 2 / 3),  # words count as often as they are there
    ],
)
def test_exact_match_and_f1(answer: str, golds: list[str], em: float, f1: float) -> None:
    assert metrics.exact_match(answer, golds) == em
    assert metrics.f1(answer, golds) == pytest.approx(f1)


def test_recall_is_the_share_of_evidence_among_the_first_k() -> None:
    found = ["a", "b", "c"]
    assert metrics.evidence_share(found, ["b", "x"], 1) == 0.0
    assert metrics.evidence_share(found, ["b", "x"], 2) == 0.5
    assert metrics.evidence_share(found, ["c", "a"], 16) == 1.0


def test_percentiles_are_interpolated() -> None:
    assert metrics.percentiles([30.0, 10.0, 20.0]) == {"p50": 20.0, "p95": 29.0}


def test_gain_is_one_for_the_best_order_and_less_for_any_other() -> None:
    grades = {"a": 2.0, "b": 1.0}
    assert metrics.ndcg(["a", "b", "x"], grades, 10) == 1.0
    assert metrics.ndcg(["b", "a"], grades, 10) == pytest.approx(
        (1 + 2 / 1.584962500721156) / (2 + 1 / 1.584962500721156)
    )
    assert metrics.ndcg(["x", "a"], grades, 1) == 0.0
    assert metrics.ndcg(["b", "b", "a"], {"b": 1.0}, 10) == 1.0  # found twice counts once


def test_the_first_document_of_the_evidence_counts_by_its_rank() -> None:
    assert metrics.reciprocal_rank(["x", "a", "b"], ["b", "a"]) == 0.5
    assert metrics.reciprocal_rank(["x"], ["a"]) == 0.0
