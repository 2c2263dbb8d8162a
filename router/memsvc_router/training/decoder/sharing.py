"""Documents of other ranks as further negatives: their routing keys alone travel.

Knows tensors; a rank that is alone has none of it.
Legend: C chunks, N documents of a rank's own pool; R routing width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from memsvc_router.training.distributed import gather_rows


@dataclass(frozen=True)
class Others:
    """Documents of the other ranks, counted from N on. rows: their chunks among those of all ranks;
    document_of_chunk: of those chunks; passage: of each document, its number in the set."""

    rows: Tensor
    document_of_chunk: Tensor
    passage: Tensor

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.passage)

    def keys(self, own: Tensor) -> Tensor:
        """A layer's routing keys [C, R] of this rank -> those of the others, with gradient."""
        return gather_rows(own)[self.rows]


def others(document_of_chunk: Tensor, passage: Tensor) -> Others:
    """What the other ranks have beside this one's pool: document_of_chunk [C], passage [N].

    Every rank must call it, and `keys` equally often.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        none = document_of_chunk[:0]
        return Others(none, none, passage[:0])
    rank = distributed.get_rank()
    owner = gather_rows(torch.full_like(passage, rank))
    owner_of_chunk = gather_rows(torch.full_like(document_of_chunk, rank))
    sizes = torch.bincount(owner, minlength=distributed.get_world_size())
    starts = sizes.cumsum(0) - sizes
    document = starts[owner_of_chunk] + gather_rows(document_of_chunk)
    number = len(passage) + (owner != rank).cumsum(0) - 1
    rows = (owner_of_chunk != rank).nonzero().squeeze(1)
    return Others(rows, number[document[rows]], gather_rows(passage)[owner != rank])
