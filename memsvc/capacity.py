"""What so much text would cost in memory, on disk and in time, without encoding any of it.

Knows what a model says a chunk costs; nothing of banks or the wire.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from memsvc_router.api import Footprint


@dataclass(frozen=True)
class Shape:
    """Into how many documents and chunks some text falls."""

    documents: int
    chunks: float


@dataclass(frozen=True)
class Estimate:
    """Near bytes: routing keys in memory. Far bytes: content, routing keys and spans on disk.
    Hop bytes: the content of `k` documents. `encode_seconds` is None where no speed is known."""

    documents: int
    chunks: int
    near_bytes: int
    far_bytes: int
    hop_bytes: int
    k: int
    encode_seconds: float | None


def unknown_shape(footprint: Footprint, tokens: int, documents: int) -> Shape:
    """The shape of text of which only the mean length of a document is known.

    Lengths are taken to be geometrically distributed. Long documents then lose half a chunk each,
    as with any spread-out lengths; short ones tend to one chunk each.
    """
    mean = tokens / documents + footprint.overhead_tokens
    ends_within = -math.expm1(footprint.pool_size * math.log1p(-1 / mean)) if mean > 1 else 1.0
    return Shape(documents, documents / ends_within)


def known_shape(
    footprint: Footprint, tokens: int, documents: int, chunks: int, of_tokens: int
) -> Shape:
    """The shape of text that falls into documents and chunks as encoded text of `of_tokens` does,
    each document's overhead included. Raises ValueError where that is nothing."""
    text = of_tokens - documents * footprint.overhead_tokens
    if documents < 1 or text < 1:
        raise ValueError("nothing is encoded there by the loaded model")
    share = tokens / text
    return Shape(max(1, round(documents * share)), chunks * share)


def estimate(
    footprint: Footprint, tokens: int, shape: Shape, k: int, rate: float | None
) -> Estimate:
    """`rate`: tokens encoded in a second."""
    chunks = max(round(shape.chunks), shape.documents)
    routed = min(k, shape.documents)
    worked = tokens + shape.documents * footprint.overhead_tokens
    return Estimate(
        documents=shape.documents,
        chunks=chunks,
        near_bytes=chunks * footprint.near_chunk_bytes,
        far_bytes=chunks * footprint.far_chunk_bytes,
        hop_bytes=round(routed * chunks / shape.documents * footprint.content_chunk_bytes),
        k=k,
        encode_seconds=None if rate is None else worked / rate,
    )
