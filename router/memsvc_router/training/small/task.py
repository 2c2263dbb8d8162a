"""The small model's training task: what is trained, at which rates, on which questions.

Knows the network and a corpus; what a step computes is `module`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from memsvc_router.checkpoint import save_checkpoint
from memsvc_router.network import MemoryNetwork
from memsvc_router.precision import compute_dtype
from memsvc_router.training.small.corpus import Corpus
from memsvc_router.training.small.module import Asked, SmallModule
from memsvc_router.training.small.options import SmallTraining
from memsvc_router.training.small.samples import Mix, Sample


class SmallTask:
    """A `training.loop.Task` on the small model."""

    def __init__(
        self,
        network: MemoryNetwork,
        tokenizer: Tokenizer,
        corpus: Corpus,
        samples: Sequence[Sample],
        options: SmallTraining,
    ) -> None:
        self.network, self.tokenizer, self.options = network, tokenizer, options
        self._mix = Mix(samples, options.weights, options.seed)
        self._freeze()
        self.module = SmallModule(network, corpus, options)

    def _freeze(self) -> None:
        """Leave what documents are encoded by as it is, in the precision it serves in."""
        network = self.network
        left: list[nn.Module] = [network.encoder, network.router.word_weight]
        if not self.options.reading:
            left += [network.memory, network.pointer]
        for part in left:
            part.requires_grad_(False)
            part.to(compute_dtype())
        for one in network.reader.encoder.layer[network.config.shared_layers :].modules():
            if isinstance(one, nn.Dropout):
                one.p = self.options.dropout

    def groups(self) -> list[dict[str, Any]]:
        """See `Task`."""
        options, network = self.options, self.network
        router = [p for p in network.router.parameters() if p.requires_grad]
        heads = [*network.memory.parameters(), *network.pointer.parameters()]
        known = {id(p) for p in (*router, *heads)}
        reader = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
        return [
            {"params": reader, "lr": options.reader_rate},
            {"params": router, "lr": options.router_rate},
            {"params": [p for p in heads if p.requires_grad], "lr": options.head_rate},
        ]

    def batch(self, step: int, rank: int, world: int) -> Asked:
        """See `Task`."""
        first = (step * world + rank) * self.options.questions
        samples = [self._mix.at(first + i) for i in range(self.options.questions)]
        return Asked(samples, f"{self.options.seed}/{step}/{rank}")

    def export(self, folder: Path) -> None:
        """See `Task`."""
        save_checkpoint(self.network, self.tokenizer, folder)
