"""Tensor kernels of the memory: pool, route, top-k, attend.

Knows tensors only, never models or files. Callers get whatever serves best on the device of their
tensors (`dispatch`).
"""

from memsvc_kernels.dispatch import (
    Spans,
    attend,
    attend_rows,
    chunk_mean,
    chunk_offsets,
    collapse_queries,
    document_best,
    document_max,
    gather_attention,
    pool_chunks,
    route,
    route_batch,
    route_layer,
    score_chunks,
    top_documents,
    top_k,
)

__all__ = [
    "Spans",
    "attend",
    "attend_rows",
    "chunk_mean",
    "chunk_offsets",
    "collapse_queries",
    "document_best",
    "document_max",
    "gather_attention",
    "pool_chunks",
    "route",
    "route_batch",
    "route_layer",
    "score_chunks",
    "top_documents",
    "top_k",
]
