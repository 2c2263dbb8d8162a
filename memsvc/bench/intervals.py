"""How sure a mean is: seeded bootstrap intervals, and permutation tests of paired differences.

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
