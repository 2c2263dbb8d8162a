"""Tensor kernels of the memory: pool, route, top-k, attend.

Knows tensors only, never models or files. Callers get whatever serves best on the device of their
tensors (`dispatch`).
"""

from memsvc_kernels.dispatch import (
    Codes,
    Spans,
    attend,
    attend_masked,
    attend_rows,
    chunk_mean,
    chunk_offsets,
    codes_of,
    collapse_queries,
    document_best,
    document_max,
    eight_bits,
    four_more,
    full_width,
    gather_attention,
    pool_chunks,
    route,
    route_batch,
    route_codes,
    route_layer,
    route_layer_codes,
    score_chunks,
    top_documents,
    top_k,
)

__all__ = [
    "Codes",
    "Spans",
    "attend",
    "attend_masked",
    "attend_rows",
    "chunk_mean",
    "chunk_offsets",
    "codes_of",
    "collapse_queries",
    "document_best",
    "document_max",
    "eight_bits",
    "four_more",
    "full_width",
    "gather_attention",
    "pool_chunks",
    "route",
    "route_batch",
    "route_codes",
    "route_layer",
    "route_layer_codes",
    "score_chunks",
    "top_documents",
    "top_k",
]
