"""What a retrieval path refuses, and why. Knows no status codes of any wire."""

from __future__ import annotations


class RetrievalError(Exception):
    """The caller asked for a path that cannot be had as it was asked for; nothing was changed."""


class UnknownSetting(RetrievalError):  # noqa: N818
    """A path or an index that does not exist; the message names those that do."""


class EmbedderError(RetrievalError):
    """An embedder that cannot be loaded or used."""


class DimensionMismatch(EmbedderError):  # noqa: N818
    """Vectors of another width than those that the index holds."""


class RerankerError(RetrievalError):
    """A reranker that cannot be loaded or used."""


class PathSkipped(Exception):  # noqa: N818
    """A path that cannot take part here, which is no fault; the message is the reason."""
