"""The training task of a decoder: what the loop runs (`training.loop.Task`).

Knows how texts become batches and where the checkpoint came from; no steps, no rates over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from memsvc_router.decoder.loading import Checkpoint, load_network, open_checkpoint
from memsvc_router.decoder.prompts import Prompts
from memsvc_router.training.decoder.adapters import groups, prepare
from memsvc_router.training.decoder.batches import Batches
from memsvc_router.training.decoder.export import export_checkpoint, require_names
from memsvc_router.training.decoder.module import Batch, DecoderModule, checkpoint_gradients
from memsvc_router.training.decoder.options import DecoderTraining
from memsvc_router.training.rows import TrainingSet


def decoder_task(
    base: str | Path,
    data: TrainingSet,
    negatives: Sequence[Sequence[int]] | None,
    options: DecoderTraining,
) -> DecoderTask:
    """Training of a checkpoint in the published format, a directory or a hub id.

    negatives: numbers of passages mined for each question. Raises FileNotFoundError or ValueError
    for a checkpoint that cannot be trained, DataError for rows that cannot teach it.
    """
    found = open_checkpoint(base)
    if found.is_plain:
        raise ValueError(
            f"{found.folder}: a plain {found.backbone.model_type}, without routers; "
            f"`memsvc model init {base} OUT` gives it some, then train OUT"
        )
    method = found.config.aux_loss_method
    if not method.startswith("INFONCE"):
        raise ValueError(
            f"{found.folder}: msa_config.aux_loss_method is {method!r}; routing is trained by "
            "INFONCE (or INFONCE_DECOUPLE) alone"
        )
    return DecoderTask(found, data, negatives, options)


class DecoderTask:
    """See `decoder_task`."""

    def __init__(
        self,
        base: Checkpoint,
        data: TrainingSet,
        negatives: Sequence[Sequence[int]] | None,
        options: DecoderTraining,
    ) -> None:
        self._base, self._options = base, options
        self._batches = Batches(base.config, Prompts(base.tokenizer), data, negatives, options)
        self._dtype = base.shards.dtype()
        network = load_network(base.shards, base.backbone, base.config, torch.float32)
        require_names(base, network)
        prepare(network, base.config, options)
        self.module = DecoderModule(network, base.config, options.weights)
        if options.gradient_checkpointing:
            checkpoint_gradients(self.module)

    def groups(self) -> list[dict[str, Any]]:
        """See `Task`."""
        return groups(self.module, self._options)

    def export(self, folder: Path) -> None:
        """See `Task`."""
        export_checkpoint(self._base, self.module.network, folder, self._dtype)

    def batch(self, step: int, rank: int, world: int) -> Batch:
        """See `Task`."""
        return self._batches.batch(step, step * world + rank)
