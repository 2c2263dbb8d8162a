"""The decoder as a module that is trained: documents, then questions, then the losses (MSA §5).

Knows the network and its passes; no texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad
from transformers import PreTrainedModel

from memsvc_router.decoder.attention import Hook, attach_hook
from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.passes import EncodePass
from memsvc_router.training.decoder.asking import Asked, AskPass
from memsvc_router.training.decoder.packing import Packed, PackedPass
from memsvc_router.training.decoder.samples import UNTAUGHT
from memsvc_router.training.losses import routing_loss

_Tensors = TypeVar("_Tensors", Packed, Asked)


@dataclass(frozen=True)
class Batch:
    """The documents of a step, and its questions."""

    documents: Packed
    asked: Asked

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(_moved(self.documents, device), _moved(self.asked, device))

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return self.documents.tokens + int((self.asked.positions > 0).sum())


class DecoderModule(nn.Module):
    """`loss` = lm_weight · L_LM + aux_weight · L_aux of a batch. Beside the losses it tells the
    share of taught tokens that were foreseen, and of wanted documents that were routed to first
    (a mean over the router layers)."""

    def __init__(
        self, network: PreTrainedModel, config: MsaConfig, weights: tuple[float, float]
    ) -> None:
        """weights: of L_LM and of L_aux."""
        super().__init__()
        self.network, self.config, self._weights = network, config, weights
        self.hook = attach_hook(network)

    def forward(self, batch: Batch) -> Mapping[str, Tensor]:
        """Losses, scalars fp32."""
        asked = batch.asked
        encoded = self.encode(batch.documents)
        taught = (asked.labels.flatten() != UNTAUGHT).nonzero().squeeze(1)
        asking, logits = self.ask(asked, encoded, batch.documents.document_of_chunk, taught)
        labels = asked.labels.flatten()[taught]
        lm = cross_entropy(logits, labels)
        aux, first = self._routing(asking, asked)
        loss = self._weights[0] * lm + self._weights[1] * aux
        foreseen = (logits.detach().argmax(1) == labels).float().mean()
        return {"loss": loss, "lm": lm, "aux": aux, "foreseen": foreseen, "routed_first": first}

    def encode(self, packed: Packed) -> PackedPass:
        """Run documents: their blocks, with gradient."""
        run = PackedPass(self.config, packed)
        with self.hook.during(run):
            self.network.base_model(
                input_ids=packed.ids, position_ids=packed.positions, use_cache=False
            )
        return run

    def ask(
        self, asked: Asked, encoded: EncodePass, document_of_chunk: Tensor, wanted: Tensor
    ) -> tuple[AskPass, Tensor]:
        """Run questions over a pool [C]: their routes, and logits fp32 [len(wanted), V] of tokens
        of the flattened batch."""
        run = AskPass(self.config, asked, encoded, document_of_chunk)
        call: dict[str, Any] = {
            "input_ids": asked.ids.reshape(1, -1),
            "position_ids": asked.positions.reshape(1, -1),
            "logits_to_keep": wanted,
            "use_cache": False,
        }
        with self.hook.during(run):
            out = self.network(**call)
        logits: Tensor = out.logits[0].float()
        return run, logits

    def _routing(self, asking: AskPass, asked: Asked) -> tuple[Tensor, Tensor]:
        """L_aux, and the share of positives that score higher than every negative."""
        at = torch.arange(len(asked.last), device=asked.last.device)
        passage = torch.cat((asked.passage, asking.others.passage))
        evidence = (passage[:, None] == asked.evidence[:, None]).any(2)
        positive = pad(asked.positive, (0, asking.others.documents))
        losses, first = [], []
        for scores in asking.scores.values():
            own = scores[at, asked.last]
            losses.append(routing_loss(own, positive, evidence, self.config.temperature))
            best = own.masked_fill(positive | evidence, float("-inf")).amax(1, keepdim=True)
            first.append(((own > best) & positive).sum() / positive.sum().clamp_min(1))
        return torch.stack(losses).mean(), torch.stack(first).mean().detach()


def checkpoint_gradients(module: DecoderModule) -> None:
    """Keep no activations inside layers: they are computed anew, under the pass that ran then."""
    hook = module.hook
    module.network.train()
    module.network.gradient_checkpointing_enable(
        gradient_checkpointing_kwargs={
            "use_reentrant": False,
            "context_fn": lambda: _contexts(hook),
        }
    )


def _contexts(hook: Hook) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    assert hook.running is not None
    return nullcontext(), hook.during(hook.running)


def _moved(found: _Tensors, device: torch.device) -> _Tensors:
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    tensors: dict[str, Any] = {n: x.to(device) for n, x in values.items() if isinstance(x, Tensor)}
    return replace(found, **tensors)
