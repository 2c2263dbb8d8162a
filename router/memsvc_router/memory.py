"""A bank held whole in RAM: the `MemoryView` of training, evaluation and tests.

Knows blocks and texts, not where they rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from memsvc_kernels import route, route_layer
from numpy.typing import NDArray

from memsvc_router.api import (
    ROUTING,
    SPANS,
    DocumentText,
    EncodedDocument,
    RouteRule,
    Routes,
    content_name,
)


class ResidentMemory:
    """Documents in the order given; a handle is a position in that order."""

    def __init__(
        self,
        names: Sequence[str],
        texts: Sequence[DocumentText],
        encoded: Sequence[EncodedDocument],
    ) -> None:
        if not len(names) == len(texts) == len(encoded):
            raise ValueError(f"{len(names)} names, {len(texts)} texts, {len(encoded)} blocks")
        self._names, self._texts = list(names), list(texts)
        self._encoded = list(encoded)
        chunks = [len(e.tensors[SPANS]) for e in encoded]
        self._document_of_chunk = np.repeat(np.arange(len(encoded)), chunks)
        self._first = np.concatenate(([0], np.cumsum(chunks)))[:-1].astype(np.int64)
        keys = [e.tensors[ROUTING] for e in encoded]
        self._keys = np.concatenate(keys).astype(np.float32) if keys else np.zeros((0, 0, 0), "f4")

    def __len__(self) -> int:
        return len(self._names)

    def route(self, queries: NDArray[np.float32], k: int) -> Routes:
        """See `MemoryView.route`."""
        flat = queries.reshape(len(queries), -1)
        keys = self._keys.reshape(len(self._keys), -1) if len(self) else flat[:0]
        return self._counted(*route(flat, keys, self._document_of_chunk, None, k))

    def route_layer(
        self, layer: int, queries: NDArray[np.float32], k: int, rule: RouteRule
    ) -> Routes:
        """See `MemoryView.route_layer`."""
        keys = self._keys[:, layer] if len(self) else queries[:0, 0]
        return self._counted(
            *route_layer(queries, keys, self._document_of_chunk, None, k, rule.query, rule.chunk)
        )

    def _counted(
        self,
        documents: NDArray[np.int64],
        scores: NDArray[np.float32],
        chunks: NDArray[np.int64],
    ) -> Routes:
        """Chunks counted within their documents."""
        found = documents >= 0
        chunks[found] -= self._first[documents[found]]
        return Routes(documents, scores, chunks)

    def content(self, handles: Sequence[int], layer: int = 0) -> list[NDArray[np.floating]]:
        """See `MemoryView.content`."""
        name = content_name(layer)
        return [cast("NDArray[np.floating]", self._encoded[h].tensors[name]) for h in handles]

    def spans(self, handle: int) -> NDArray[np.int32]:
        """See `MemoryView.spans`."""
        return self._encoded[handle].tensors[SPANS].astype(np.int32, copy=False)

    def texts(self, handles: Sequence[int]) -> list[DocumentText]:
        """See `MemoryView.texts`."""
        return [self._texts[h] for h in handles]

    def document_id(self, handle: int) -> str:
        """See `MemoryView.document_id`."""
        return self._names[handle]
