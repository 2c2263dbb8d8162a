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
