"""Blocks at rest: content at 8 bits, routing keys at 8 and 4 more, every row with its own scale.

A row is what one router layer has of a chunk, or one head. Knows tensors by name, not models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from memsvc_kernels import eight_bits, four_more, full_width
from memsvc_router.api import ROUTING, EncodedDocument, is_content
from numpy.typing import NDArray

_SCALE = "scale."
FINER = f"finer.{ROUTING}"
"""The tensor that holds four more bits of the routing keys."""


def scale_name(name: str) -> str:
    """The tensor that holds the scales of another."""
    return _SCALE + name


def at_rest(block: EncodedDocument) -> EncodedDocument:
    """A block as it is stored: codes int8 of the same shape, scales fp32 without the last axis,
    and of the keys what `four_more` makes."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, values in block.tensors.items():
        tensors[name] = values
        if name == ROUTING or is_content(name):
            tensors[name], tensors[scale_name(name)] = eight_bits(values)
        if name == ROUTING:
            tensors[FINER] = four_more(values, tensors[name], tensors[scale_name(name)])
    return replace(block, tensors=tensors)


def restored(tensors: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float32]:
    """A tensor of a stored block, fp32."""
    finer = tensors[FINER] if name == ROUTING else None
    return full_width(tensors[name], tensors[scale_name(name)], finer)
