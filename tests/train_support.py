"""A small real task for the tests of training: questions find their documents by routing.

Run as a program it trains: `python tests/train_support.py FOLDER STEPS [OPTIONS]`, alone
or under torchrun or accelerate's launcher. Then each rank leaves its parameters and its losses.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from memsvc_router.training.checkpointing import STATE
from memsvc_router.training.distributed import gather_rows, leave
from memsvc_router.training.loop import Loop, LoopOptions, Summary
from memsvc_router.training.losses import routing_loss
from torch import Tensor, nn

WORDS, LENGTH, QUESTIONS = 64, 6, 12
OPTIONS = LoopOptions(steps=12, minutes=None, warmup=2, seed=3, save_every=2, bf16=False)


@dataclass(frozen=True)
class Pairs:
    """questions, documents: words [B, L]; ids: the documents' [B]."""

    questions: Tensor
    documents: Tensor
    ids: Tensor

    def to(self, device: torch.device) -> Pairs:
        return Pairs(*(one.to(device) for one in (self.questions, self.documents, self.ids)))

    @property
    def tokens(self) -> int:
        return self.questions.numel() + self.documents.numel()


class TwoTowers(nn.Module):
    """Each question's document against those of all ranks."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(WORDS, 32)
        self.middle = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Dropout(dropout))
        self.out = nn.Linear(64, 32)
        self.unused = nn.Linear(2, 2)  # as what another stage trains

    def encode(self, words: Tensor) -> Tensor:
        return nn.functional.normalize(self.out(self.middle(self.words(words).mean(1))), dim=-1)

    def forward(self, batch: Pairs) -> dict[str, Tensor]:
        documents, ids = gather_rows(self.encode(batch.documents)), gather_rows(batch.ids)
        scores = self.encode(batch.questions) @ documents.T
        positive = batch.ids[:, None] == ids
        loss = routing_loss(scores.float(), positive, torch.zeros_like(positive), 0.1)
        right = ids[scores.argmax(1)] == batch.ids
        return {"loss": loss, "recall": right.float().mean()}


class PairsTask:
    """A question holds half of its document's words. Ranks share a step's batch between them."""

    def __init__(self, dropout: float = 0.0, pause: float = 0.0) -> None:
        self.module = TwoTowers(dropout)
        self.pause = pause

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.module.parameters()), "lr": 1e-2}]

    def batch(self, step: int, rank: int, world: int) -> Pairs:
        time.sleep(self.pause)
        drawn = torch.Generator().manual_seed(step)
        documents = torch.randint(WORDS, (QUESTIONS, LENGTH), generator=drawn)
        own = slice(rank * QUESTIONS // world, (rank + 1) * QUESTIONS // world)
        questions = documents[:, : LENGTH // 2].repeat(1, 2)
        return Pairs(questions[own], documents[own], torch.arange(QUESTIONS)[own])

    def export(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.module.state_dict(), folder / "weights.pt")


def train(
    folder: Path, task: PairsTask | None = None, until: int | None = None, **changes: Any
) -> Summary:
    """As a process of its own would: a new task, a new loop."""
    loop = Loop(task or PairsTask(dropout=0.2), replace(OPTIONS, **changes), folder)
    return loop.run(until)


def weights(folder: Path) -> dict[str, Tensor]:
    """What a folder's state holds."""
    state = torch.load(folder / STATE, weights_only=True)
    found: dict[str, Tensor] = state["module"]
    return found


def losses(folder: Path) -> dict[int, float]:
    """The loss of each step, from the metrics."""
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows}


def same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    """To the last bit."""
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def die_in_save(which: int) -> None:
    """Kill this process when the bytes of its n-th state are written, but not yet on the disk."""
    really = os.fsync
    synced: list[str] = []

    def sync(file: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{file}"))
        if sum(path.endswith("state.pt.part") for path in synced) == which:
            os.kill(os.getpid(), signal.SIGKILL)
        really(file)

    os.fsync = sync  # type: ignore[assignment]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("steps", type=int)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--save-every", type=int, default=2)
    parser.add_argument("--die-in-save", type=int, help="kill this process in its n-th save")
    parser.add_argument("--total", type=int, help="of the budget; the run stops at STEPS")
    given = parser.parse_args()
    if given.die_in_save:
        die_in_save(given.die_in_save)
    task = PairsTask(given.dropout, given.pause)
    options = replace(OPTIONS, steps=given.total or given.steps, save_every=given.save_every)
    loop = Loop(task, options, given.folder)
    loop.run(given.steps)
    rank = loop.accelerator.process_index
    loop.export(given.folder / "exported", PairsTask)
    if not loop.sharded:
        task.export(given.folder / f"rank{rank}")
    leave()


if __name__ == "__main__":
    main()
