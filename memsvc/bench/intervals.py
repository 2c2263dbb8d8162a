"""How sure a figure is: seeded bootstrap intervals, and permutation tests of paired differences.

Knows numbers; nothing of questions or paths. Everything is repeatable: the same values and seed
give the same figures on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000  # of an interval
FLIPS = 5000  # of a permutation test: the smallest p is 1 / (FLIPS + 1)
_TAILS = (2.5, 97.5)
_BLOCK = 4_000_000  # random numbers drawn at once
_SAME = 1e-5  # float32 sums closer than this share of their terms are ties

Floats = NDArray[np.float32]


def interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """Low and high of the mean: the 95 % percentile bootstrap over `values` (not empty)."""
    means = _weights(len(values), seed) @ np.asarray(values, np.float32)
    low, high = np.percentile(means.astype(np.float64), _TAILS)
    return float(low), float(high)


def paired_p(differences: Sequence[float], seed: int) -> float:
    """How often chance alone gives so great a mean difference: two-sided, each pair's sign flipped
    at random. `differences` is not empty."""
    values = np.asarray(differences, np.float32)
    slack = _SAME * float(np.abs(values).sum())
    sums = np.abs(_signs(len(values), seed) @ values)
    as_great = int((sums >= abs(float(values.sum())) - slack).sum())
    return (as_great + 1) / (FLIPS + 1)


def auroc(above: Sequence[float], below: Sequence[float], seed: int) -> tuple[float, float, float]:
    """How often a value of `above` exceeds one of `below` (ties count half), low and high of that.

    `above[i]` and `below[i]` belong together and are resampled so. Both have one length, not 0.
    """
    high_values, low_values = np.asarray(above), np.sort(np.asarray(below))
    weights = _with_all(len(above), seed)
    sums = np.zeros((len(weights), len(above) + 1))
    np.cumsum(weights[:, np.argsort(below, kind="stable")], axis=1, out=sums[:, 1:])
    under = np.searchsorted(low_values, high_values, "left")
    upto = np.searchsorted(low_values, high_values, "right")
    return _told((weights * (sums[:, under] + sums[:, upto])).sum(axis=1) / 2)


def relative_drop(
    before: Sequence[float], after: Sequence[float], seed: int
) -> tuple[float, float, float] | None:
    """By what share the mean falls from `before` to `after` (negative: it rises), low and high of
    that. Paired as in `auroc`; None where the mean of `before` is 0."""
    weights = _with_all(len(before), seed)
    first, last = weights @ np.asarray(before), weights @ np.asarray(after)
    if first[0] <= 0:
        return None
    some = first > 0  # a resample of nothing but failures has nothing to lose
    return _told(1 - last[some] / first[some])


def _with_all(count: int, seed: int) -> NDArray[np.float64]:
    """[1 + RESAMPLES, count]: the sample itself, then its resamples."""
    whole = np.full((1, count), 1 / count)
    return np.concatenate([whole, _weights(count, seed)])


def _told(values: NDArray[np.float64]) -> tuple[float, float, float]:
    low, high = np.percentile(values[1:], _TAILS) if len(values) > 1 else (values[0], values[0])
    return float(values[0]), float(low), float(high)


@lru_cache(maxsize=4)
def _weights(count: int, seed: int) -> Floats:
    """[RESAMPLES, count]: each row is how often each value is in a resample, over `count`."""
    rng = np.random.default_rng([seed, count])
    weights = np.empty((RESAMPLES, count), np.float32)
    step = max(1, _BLOCK // count)
    for at in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - at)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count)
        weights[at : at + rows] = times.reshape(rows, count) / count
    return weights


@lru_cache(maxsize=4)
def _signs(count: int, seed: int) -> Floats:
    """[FLIPS, count] of -1 and 1."""
    rng = np.random.default_rng([seed, count, 1])
    flips = rng.integers(2, size=(FLIPS, count), dtype=np.int8)
    return (2 * flips - 1).astype(np.float32)
