"""Tensor kernels of the memory: pool, route, top-k, attend.

Knows tensors only, never models or files.
"""

from memsvc_kernels.attention import attend, attend_rows
from memsvc_kernels.pooling import chunk_mean, chunk_offsets
from memsvc_kernels.routing import collapse_queries, document_max, route, route_layer, top_documents

__all__ = [
    "attend",
    "attend_rows",
    "chunk_mean",
    "chunk_offsets",
    "collapse_queries",
    "document_max",
    "route",
    "route_layer",
    "top_documents",
]
