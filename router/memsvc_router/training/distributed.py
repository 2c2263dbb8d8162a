"""What the ranks of a run share. Knows tensors and torch.distributed; not what the rows mean."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch import Tensor, distributed


def gather_rows(tensor: Tensor) -> Tensor:
    """The rows of all ranks, in the order of the ranks: [N, ...] -> [N of all, ...].

    Each rank may have another number of rows. A row's gradient is the sum of what all ranks' losses
    ask of it: with losses that are means over each rank's own questions, and gradients that are
    averaged over the ranks, a run on many is the run of one that sees all their batches.
    Every rank must call it, equally often. To know one's own rows again, gather their ids as well.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return tensor
    counts = _counts(tensor)
    gathered: Tensor = _Gather.apply(tensor, counts)  # type: ignore[no-untyped-call]
    return gathered


def leave() -> None:
    """End this process if it is one of several that train together, once all of them are done; does
    nothing else otherwise.

    The interpreter's own clean-up is left out: after gloo it hangs now and then, with all results
    written and the launcher waiting for ever (dev/LOG.md, 2026-11-30).
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    distributed.barrier()  # or the last one waits for those that are gone
    distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _counts(tensor: Tensor) -> list[int]:
    """How many rows each rank has."""
    own = torch.tensor([tensor.shape[0]], device=tensor.device)
    every = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(every, own)
    return [int(count) for count in every]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        padded = tensor.new_zeros(max(counts), *tensor.shape[1:])
        padded[: tensor.shape[0]] = tensor
        every = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(every, padded)
        return torch.cat([rows[:count] for rows, count in zip(every, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        whole = gradients[0].contiguous()
        distributed.all_reduce(whole)
        rank = distributed.get_rank()
        first = sum(ctx.counts[:rank])
        return whole[first : first + ctx.counts[rank]], None
