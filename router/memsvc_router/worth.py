"""What speaks for a document: before it is read, by its score; after it, by what the reader said.

Everything is a log-probability that a path's documents matter, so that documents read and unread,
found at once or by way of others, stand in one order. Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from memsvc_router.reading import Path, Reading

# Fitted on multi-hop questions (dev/LOG.md, M4): what a routed document's score and its rank among
# those its path routed to say before it is read, what the reader adds, and how much of a path's own
# doubts a document inherits.
_SLOPE, _RANK, _OFFSET = 9.5, 0.8, -4.8
_RELEVANT, _SCORE, _READ_OFFSET = 0.65, 7.0, -2.6
_INHERITED = 0.6
# An answer's odds to be right: the reader's judgements of it, then what led to its text (with a
# retriever: what that adds on average).
_COMPLETE, _SPAN, _MATTERS, _WORTH, _LED, _SURE = 0.49, 0.19, 0.33, 1.63, 2.24, -3.4
_READER_SURE = -1.8


class Worth(Protocol):
    """Orders candidates and readings."""

    def hope(self, parent: Path, score: float, rank: int) -> float:
        """Of reading the document that `parent` found at a rank (from 0) with a score."""
        ...

    def after(self, reading: Reading) -> float:
        """Of a path that was read."""
        ...

    def answer(self, reading: Reading) -> float:
        """Of the answer that a reading points at: the logit of its being right."""
        ...


class Learned:
    """Routing was trained and calibrated, and the reader says whether a text matters."""

    def hope(self, parent: Path, score: float, rank: int) -> float:
        """See `Worth.hope`."""
        own = _SLOPE * score - _RANK * math.log1p(rank) + _OFFSET
        return _INHERITED * parent.worth + log_sigmoid(own)

    def after(self, reading: Reading) -> float:
        """See `Worth.after`: of the path before its last document, and of that document."""
        path, last = reading.path, reading.path.sources[-1]
        own = _RELEVANT * reading.relevant + _SCORE * last.score - _RANK * math.log1p(last.rank)
        return _INHERITED * path.worth + log_sigmoid(own + _READ_OFFSET)

    def answer(self, reading: Reading) -> float:
        """See `Worth.answer`."""
        path = reading.path
        return _read(reading) + _WORTH * path.worth + _LED * path.sources[-1].score + _SURE


class ByScore:
    """A retriever's scores know no such scale: a path is worth the mean of them."""

    def hope(self, parent: Path, score: float, rank: int) -> float:
        """See `Worth.hope`."""
        del rank
        return _mean([*(s.score for s in parent.sources), score])

    def after(self, reading: Reading) -> float:
        """See `Worth.after`."""
        return _mean([s.score for s in reading.path.sources])

    def answer(self, reading: Reading) -> float:
        """See `Worth.answer`: the reader alone says."""
        return _read(reading) + _READER_SURE


def _read(reading: Reading) -> float:
    judged = _COMPLETE * reading.complete + _MATTERS * reading.relevant
    return judged + _SPAN * reading.span_logprob


def log_sigmoid(logit: float) -> float:
    """log(1 / (1 + e^-logit)), without overflow."""
    return min(logit, 0.0) - math.log1p(math.exp(-abs(logit)))


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / max(len(scores), 1)
