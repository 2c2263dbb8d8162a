"""What speaks for a document: before it is read, by its score; after it, by what the reader said.

Everything is a log-probability that a path's documents matter, so that documents read and unread,
found at once or by way of others, stand in one order. Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from memsvc_router.reading import Path, Reading

# A routed document's chance to matter by its score, fitted on questions of the training sets.
_SLOPE, _OFFSET = 12.0, 8.0
_SCORE_SHARE = 2.0  # of the score beside the reader's logit


class Worth(Protocol):
    """Orders candidates and readings."""

    def hope(self, parent: Path, score: float) -> float:
        """Of reading a document that `parent` found with this score."""
        ...

    def after(self, reading: Reading) -> float:
        """Of a path that was read."""
        ...


class Learned:
    """Routing was trained and calibrated, and the reader says whether a text matters."""

    def hope(self, parent: Path, score: float) -> float:
        """See `Worth.hope`."""
        return parent.worth + log_sigmoid(_SLOPE * score - _OFFSET)

    def after(self, reading: Reading) -> float:
        """See `Worth.after`: the path before its last document, and that document."""
        path = reading.path
        own = reading.relevant + _SCORE_SHARE * path.sources[-1].score
        return path.worth + log_sigmoid(own)


class ByScore:
    """A retriever's scores know no such scale: a path is worth the mean of them."""

    def hope(self, parent: Path, score: float) -> float:
        """See `Worth.hope`."""
        return _mean([*(s.score for s in parent.sources), score])

    def after(self, reading: Reading) -> float:
        """See `Worth.after`."""
        return _mean([s.score for s in reading.path.sources])


def log_sigmoid(logit: float) -> float:
    """log(1 / (1 + e^-logit)), without overflow."""
    return min(logit, 0.0) - math.log1p(math.exp(-abs(logit)))


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / max(len(scores), 1)
