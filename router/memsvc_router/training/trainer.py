"""Training of the small memory model: routing, pointing and knowing when nothing is there.

Deterministic from its seed, resumable from its last checkpoint. Knows tensors and one folder.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from memsvc_kernels import document_max
from torch import Tensor, nn

from memsvc_router.network import MemoryNetwork
from memsvc_router.training.batches import Collator, Step
from memsvc_router.training.data import Example
from memsvc_router.training.losses import routing_loss, span_loss


@dataclass(frozen=True)
class TrainOptions:
    """Sizes and rates of a run.

    It ends, and its rates decay, by `steps` (then a seed gives the same losses) or else by
    `minutes` of processor time per thread. `routing_every`: documents get gradients in every n-th
    step; `frozen_layers`: lowest encoder layers left as they are (as the embeddings always are).
    """

    minutes: float = 60.0
    steps: int | None = None
    questions: int = 24
    backbone_rate: float = 1e-4
    router_rate: float = 1e-4
    new_rate: float = 6e-4
    warmup: int = 60
    routing_every: int = 5
    routing_weight: float = 1.0
    temperature: float = 0.05
    frozen_layers: int = 2
    memory_k: int = 16
    save_every: int = 100
    seed: int = 1


@dataclass
class Losses:
    """Means of one step, for the log."""

    routing: float = 0.0
    span: float = 0.0
    found: float = 0.0


class Trainer:
    """Runs steps until the time budget is spent. State lives in `folder/state.pt`, saved by
    rename, so that a kill leaves the last whole checkpoint."""

    def __init__(
        self, network: MemoryNetwork, collator: Collator, options: TrainOptions, folder: Path
    ) -> None:
        self.network, self.collator, self.options = network, collator, options
        self.folder = folder
        self.optimizer = torch.optim.AdamW(self._groups(), weight_decay=0.01)
        self.rates = [float(g["lr"]) for g in self.optimizer.param_groups]
        self.step_number, self.spent = 0, 0.0
        self._epoch, self._order = -1, list[int]()

    def _groups(self) -> list[dict[str, object]]:
        options, encoder = self.options, self.network.encoder
        encoder.embeddings.requires_grad_(False)
        for layer in encoder.encoder.layer[: options.frozen_layers]:
            layer.requires_grad_(False)
        backbone = [p for p in encoder.parameters() if p.requires_grad]
        router = list(self.network.router.parameters())
        fresh = [*self.network.memory.parameters(), *self.network.pointer.parameters()]
        return [
            {"params": backbone, "lr": options.backbone_rate},
            {"params": router, "lr": options.router_rate},
            {"params": fresh, "lr": options.new_rate},
        ]

    def run(self, examples: Sequence[Example], max_steps: int | None = None) -> None:
        """Train until `minutes` are spent or `max_steps` are made, all resumed parts counted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        while (progress := self._progress()) < 1 and self.step_number != max_steps:
            began = time.process_time()
            rng = random.Random(f"{self.options.seed}/{self.step_number}")
            batch = [self._draw(examples, i) for i in range(self.options.questions)]
            losses = self.train_step(self.collator.step(batch, rng), progress)
            self.step_number += 1
            self.spent += (time.process_time() - began) / torch.get_num_threads()
            self._log(losses)
            if self.step_number % self.options.save_every == 0:
                self.save()
        self.save()

    def _progress(self) -> float:
        """Share of the budget that is spent: of `steps` where given, else of `minutes`."""
        if self.options.steps is not None:
            return self.step_number / self.options.steps
        return self.spent / max(self.options.minutes * 60, 1e-9)

    def _draw(self, examples: Sequence[Example], offset: int) -> Example:
        position = self.step_number * self.options.questions + offset
        epoch, at = divmod(position, len(examples))
        if epoch != self._epoch or not self._order:
            self._epoch, self._order = epoch, list(range(len(examples)))
            random.Random(f"{self.options.seed}/epoch{epoch}").shuffle(self._order)
        return examples[self._order[at]]

    def train_step(self, step: Step, progress: float) -> Losses:
        """One optimizer step; `progress` in 0…1 drives the linear decay."""
        warm = min(1.0, (self.step_number + 1) / self.options.warmup)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * warm * max(0.03, 1 - progress)
        losses = Losses()
        total = self._losses(step, losses)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return losses

    def _losses(self, step: Step, losses: Losses) -> Tensor:
        """The step's total loss; its parts go to the log."""
        routed = self.step_number % self.options.routing_every == 0
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with torch.set_grad_enabled(routed):
                best, content = self._route(step)
            start, end, found = self._read(step, best.detach(), content)
        span, has = self._reading_losses(step, start, end, found)
        losses.span, losses.found = float(span.detach()), float(has.detach())
        total = span + has
        if routed:
            aux = routing_loss(best, step.positive, step.ignored, self.options.temperature)
            losses.routing = float(aux.detach())
            total = total + self.options.routing_weight * aux
        return total

    def _route(self, step: Step) -> tuple[Tensor, Tensor]:
        """Score every document of the step for every question: [B, N], and content per chunk."""
        documents, asked = step.documents, step.queries
        blocks = self.network.blocks(
            documents.batch.ids,
            documents.batch.mask,
            documents.chunk_of_token,
            documents.chunks,
        )
        seen = self.network.read(asked.ids, asked.mask, asked.types)
        queries = self.network.queries(asked.ids, asked.mask, asked.types, seen)
        with torch.autocast("cpu", enabled=False):  # bf16 scores tie
            scores = queries.flatten(1).float() @ blocks.routing.flatten(1).float().T
        best = document_max(scores, documents.document_of_chunk, step.positive.shape[1])
        return best, blocks.content

    def _read(self, step: Step, best: Tensor, content: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Start, end and found logits of every path, over the blocks its question routes to."""
        memory, slots, entries = self._memory(step, content, best)
        batch, of = step.reads.batch, step.reads.question
        seen = self.network.read(batch.ids, batch.mask, batch.types)
        return self.network.point(seen, batch.mask, memory[of], slots[of], entries[of])

    @staticmethod
    def _reading_losses(
        step: Step, start: Tensor, end: Tensor, found: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Span loss per path that holds the answer; found loss per path that is known to or not."""
        reads = step.reads
        blocked = ~reads.choosable
        spans = span_loss(
            start.masked_fill(blocked, -1e9),
            end.masked_fill(blocked, -1e9),
            reads.firsts,
            reads.lasts,
        )
        holding = (reads.firsts[:, 0] >= 0).sum().clamp_min(1)
        known = reads.found >= 0
        has = nn.functional.binary_cross_entropy_with_logits(
            found[known], reads.found[known].float()
        )
        return spans.sum() / holding, has

    def _memory(self, step: Step, content: Tensor, best: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Blocks of each question's top documents: [B, M, ...], their slots, and real entries."""
        owner = step.documents.document_of_chunk
        k = min(self.options.memory_k, best.shape[1])
        rank = torch.full_like(best, -1, dtype=torch.long)
        order = best.topk(k, dim=1).indices
        rank.scatter_(1, order, torch.arange(k).expand_as(order))
        chunk_rank = rank[:, owner]
        most = int((chunk_rank >= 0).sum(1).max())
        chosen = (chunk_rank >= 0).int().topk(most, dim=1).indices
        slots = chunk_rank.gather(1, chosen)
        return content[chosen], slots.clamp_min(0), slots >= 0

    def _log(self, losses: Losses) -> None:
        row = {"step": self.step_number, "minutes": round(self.spent / 60, 2), **asdict(losses)}
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """Write the checkpoint beside the last one and rename it over."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step_number,
            "spent": self.spent,
        }
        part = self.folder / "state.pt.tmp"
        torch.save(state, part)
        part.replace(self.folder / "state.pt")

    def resume(self) -> bool:
        """Continue from the last checkpoint, if there is one."""
        path = self.folder / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_number, self.spent = int(state["step"]), float(state["spent"])
        return True
