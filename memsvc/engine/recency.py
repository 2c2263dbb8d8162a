"""How the age of documents counts for a question: which were known by a moment, and how much more
the recent ones count. Knows documents' facts and routing scores; nothing of models or banks.

Legend: M queries, K documents routed to for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from memsvc_storage import Document
from numpy.typing import NDArray

from memsvc.engine.filtering import Keyed, both
from memsvc.engine.types import DocumentFilter, Recency

_CANDIDATES = 4  # times as many as are wanted are looked at: what is recent may come from below
_LEAST_CANDIDATES = 64


def happened(document: Document) -> datetime:
    """When what a document tells happened: its `event_time`, else its `create_time`."""
    return document.event_time or document.create_time


@dataclass(frozen=True)
class Prior:
    """What recency adds to scores, seen from `now`."""

    recency: Recency
    now: datetime

    def candidates(self, k: int) -> int:
        """How many documents to weigh for the best k."""
        return max(_CANDIDATES * k, _LEAST_CANDIDATES)

    def factor(self, document: Document) -> float:
        """What a positive score of the document is multiplied by; 1 + weight for what lies ahead of
        `now`."""
        age = max((self.now - happened(document)).total_seconds(), 0.0)
        return 1 + self.recency.weight * float(np.exp2(-age / self.recency.half_life))

    def weighed(
        self,
        documents: NDArray[np.int64],
        scores: NDArray[np.float32],
        facts: Sequence[Document],
    ) -> NDArray[np.float32]:
        """Scores [M, K] of documents [M, K] (-1 pads) with what recency adds to each."""
        factors = {int(one): self.factor(facts[one]) for one in np.unique(documents) if one >= 0}
        own = np.array([[factors.get(one, 1.0) for one in row] for row in documents.tolist()])
        return np.where(scores > 0, scores * own.reshape(scores.shape), scores).astype(np.float32)


@dataclass(frozen=True)
class Sight:
    """What of a bank a question sees: what `filter` lets through and was known at `as_of`; what is
    recent counts for more if `recency` is given."""

    filter: DocumentFilter | None = None
    as_of: datetime | None = None
    recency: Recency | None = None

    @property
    def allows(self) -> DocumentFilter | None:
        """Whether it sees a document; None: it sees all."""
        moment = self.as_of
        if moment is None:
            return self.filter
        known = Keyed(("as_of", moment), lambda document: happened(document) <= moment)
        return both(known, self.filter)

    def prior(self) -> Prior | None:
        """What recency adds, as things stand now."""
        if self.recency is None:
            return None
        return Prior(self.recency, self.as_of or datetime.now(UTC))
