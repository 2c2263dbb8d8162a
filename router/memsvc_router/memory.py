"""A bank held whole in RAM: the `MemoryView` of training, evaluation and tests.

Knows blocks and texts, not where they rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from memsvc_kernels import route
from numpy.typing import NDArray

from memsvc_router.api import CONTENT, ROUTING, SPANS, DocumentText, EncodedDocument, Routes


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
        keys = [e.tensors[ROUTING].reshape(n, -1) for e, n in zip(encoded, chunks, strict=True)]
        self._keys = np.concatenate(keys).astype(np.float32) if keys else np.zeros((0, 0), "f4")

    def __len__(self) -> int:
        return len(self._names)

    def route(self, queries: NDArray[np.float32], k: int) -> Routes:
        """See `MemoryView.route`."""
        flat = queries.reshape(len(queries), -1)
        documents, scores, chunks = route(flat, self._keys, self._document_of_chunk, None, k)
        found = documents >= 0
        chunks[found] -= self._first[documents[found]]
        return Routes(documents, scores, chunks)

    def content(self, handles: Sequence[int]) -> list[NDArray[np.float16]]:
        """See `MemoryView.content`."""
        return [self._encoded[h].tensors[CONTENT].astype(np.float16, copy=False) for h in handles]

    def spans(self, handle: int) -> NDArray[np.int32]:
        """See `MemoryView.spans`."""
        return self._encoded[handle].tensors[SPANS].astype(np.int32, copy=False)

    def texts(self, handles: Sequence[int]) -> list[DocumentText]:
        """See `MemoryView.texts`."""
        return [self._texts[h] for h in handles]

    def document_id(self, handle: int) -> str:
        """See `MemoryView.document_id`."""
        return self._names[handle]
