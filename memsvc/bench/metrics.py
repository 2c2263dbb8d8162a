"""Measures: SQuAD's exact match and F1, ranks of evidence, percentiles.

Knows numbers and text.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise(answer: str) -> str:
    """SQuAD's normal form: lower case, without punctuation and articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """1.0 if the answer is one of `golds` in normal form, else 0.0."""
    return float(any(normalise(answer) == normalise(gold) for gold in golds))


def f1(answer: str, golds: Sequence[str]) -> float:
    """The best F1 over `golds`: harmonic mean of precision and recall of normalised words."""
    return max(_f1(normalise(answer).split(), normalise(gold).split()) for gold in golds)


def _f1(answer: list[str], gold: list[str]) -> float:
    if not answer or not gold:  # nothing to share: SQuAD 2 asks for equality then
        return float(answer == gold)
    shared = (Counter(answer) & Counter(gold)).total()
    return 2 * shared / (len(answer) + len(gold))


def evidence_share(found: Sequence[str], evidence: Sequence[str], k: int) -> float:
    """The share of the evidence ids that is among the first k found."""
    return len(set(found[:k]) & set(evidence)) / len(set(evidence))


def ndcg(found: Sequence[str], grades: Mapping[str, float], k: int) -> float:
    """Normalised discounted cumulative gain of the first k found: a document's grade counts by
    1/log2(rank + 1), over the best possible order. `grades` holds at least one that is positive."""
    gained = _discounted([grades.get(document, 0.0) for document in dict.fromkeys(found)][:k])
    return gained / _discounted(sorted(grades.values(), reverse=True)[:k])


def _discounted(grades: Sequence[float]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def reciprocal_rank(found: Sequence[str], evidence: Sequence[str]) -> float:
    """One over the rank of the first evidence document; 0 where none was found."""
    wanted = set(evidence)
    ranks = (rank for rank, document in enumerate(found, 1) if document in wanted)
    return 1 / next(ranks, math.inf)


def percentiles(values: Sequence[float], of: Sequence[int] = (50, 95)) -> dict[str, float]:
    """Percentiles by name (`p50`), interpolated between neighbours; `values` is not empty."""
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in of}


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return round(sum(values) / len(values), 6) if values else None
