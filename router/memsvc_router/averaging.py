"""One small model out of several that were trained further from the same one: the mean of their
weights reads better than each of them (model soups: Wortsman et al. 2022, arXiv 2203.05482).

Knows checkpoints, not how they came to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from memsvc_router.api import Identity
from memsvc_router.checkpoint import load_checkpoint, save_checkpoint

_FROZEN = ("encoder.", "router.word_weight.")


def average_checkpoints(folders: Sequence[Path], out: Path) -> Identity:
    """Write the mean of checkpoints, all weighing the same, and tell what its blocks are known by.

    Raises ValueError for fewer than two, and for models that do not encode documents alike or are
    not made alike; FileExistsError if `out` is there already, and what `load_checkpoint` raises.
    """
    if len(folders) < 2:
        raise ValueError("expected at least two checkpoints to average")
    if out.exists():
        raise FileExistsError(f"{out} is there already")
    network, tokenizer, identity = load_checkpoint(folders[0], torch.float32)
    first = network.state_dict()
    sums = {name: value.double() for name, value in first.items()}
    for folder in folders[1:]:
        other, _, its = load_checkpoint(folder, torch.float32)
        weights = other.state_dict()
        if (
            other.config != network.config
            or its.tokenizer_digest != identity.tokenizer_digest
            or any(not torch.equal(first[n], weights[n]) for n in first if n.startswith(_FROZEN))
        ):
            raise ValueError(f"{folder}: does not come from the same model as {folders[0]}")
        for name, weight in weights.items():
            sums[name] = sums[name] + weight.double()
    network.load_state_dict(
        {
            name: weight if name.startswith(_FROZEN) else (sums[name] / len(folders)).to(weight)
            for name, weight in first.items()
        }
    )
    save_checkpoint(network, tokenizer, out)
    return load_checkpoint(out)[2]
