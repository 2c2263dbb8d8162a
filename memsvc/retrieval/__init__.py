"""Other ways of finding documents than the model's own routing: same reader, same events."""

from __future__ import annotations

from memsvc.retrieval.errors import (
    DimensionMismatch,
    EmbedderError,
    PathSkipped,
    RerankerError,
    RetrievalError,
    UnknownSetting,
)
from memsvc.retrieval.paths import INDEXES, PATHS, IndexKind, PathSettings, max_hops
from memsvc.retrieval.service import Retrieval

__all__ = [
    "INDEXES",
    "PATHS",
    "DimensionMismatch",
    "EmbedderError",
    "IndexKind",
    "PathSettings",
    "PathSkipped",
    "RerankerError",
    "Retrieval",
    "RetrievalError",
    "UnknownSetting",
    "max_hops",
]
