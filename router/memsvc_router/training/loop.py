"""The training loop: steps, rates, saving and resuming, on one device or many.

On top of `accelerate`, which places tensors, casts to bf16, accumulates gradients, and runs DDP or
FSDP as its launcher is told. A step is a function of the seed and its number, so that a run that
was killed ends where it would have ended. Knows no model and no data: those are the task's.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, send_to_device, set_seed
from torch import Tensor, nn

from memsvc_router.training.checkpointing import (
    SaveError,
    collect,
    read_state,
    restore,
    restore_weights,
    write_state,
)
from memsvc_router.training.metrics import ProgressLine, append_row, keep_until

B_co = TypeVar("B_co", covariant=True)
_LOWEST = 0.03  # of the peak rate, at the end


class TrainingError(RuntimeError):
    """Training went wrong: nothing can be learned from here on."""


class Task(Protocol[B_co]):
    """What is trained, and on what."""

    @property
    def module(self) -> nn.Module:
        """`module(batch)` gives a mapping of scalars: "loss" is minimised, the others are logged.

        The names are the same in every step and on every rank.
        """
        ...

    def groups(self) -> list[dict[str, Any]]:
        """AdamW's parameter groups, each with "params" and "lr" (its peak)."""
        ...

    def batch(self, step: int, rank: int, world: int) -> B_co:
        """A function of the task's seed and these numbers only; ranks draw disjoint batches.

        With `accumulate` n, optimizer step s draws the batches n·s … n·s + n - 1. A batch that
        is neither a tensor nor a collection of them has `to(device)`; its `tokens`, if it has
        any, are logged.
        """
        ...

    def export(self, folder: Path) -> None:
        """Write the checkpoint that users load (memsvc_router.models.load_model)."""
        ...


@dataclass(frozen=True)
class LoopOptions:
    """How long, how fast, how often saved.

    steps, minutes: the run ends, and its rates decay, by what is spent first. Minutes are of
    processor time per thread on a CPU, of the clock elsewhere; only `steps` alone gives the same
    losses again. warmup: steps until the rates are at their peaks. save_every: steps between two
    states. accumulate: batches per step. clip: longest gradient.
    """

    steps: int | None
    minutes: float | None
    warmup: int
    seed: int
    save_every: int
    bf16: bool
    accumulate: int = 1
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("how long to train: expected steps or minutes, got neither")
        for name in ("steps", "minutes", "save_every", "accumulate", "clip"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected more than 0, got {value}")
        if self.warmup < 0:
            raise ValueError(f"warmup: expected 0 or more steps, got {self.warmup}")


@dataclass(frozen=True)
class Summary:
    """steps: made in all, the resumed ones too; resumed: how many of them; seconds: spent in all
    (as the budget counts them); losses: of the last step; finished: the budget is spent."""

    steps: int
    resumed: int
    seconds: float
    losses: Mapping[str, float]
    finished: bool


class Loop:
    """Runs a task until its budget is spent. `folder` holds state.pt and metrics.jsonl.

    identity: what else a state must agree in to be resumed (data, base, stage, mode…).
    """

    def __init__(
        self,
        task: Task[Any],
        options: LoopOptions,
        folder: Path,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self.task, self.options, self.folder = task, options, folder
        own = {"seed": options.seed, "bf16": options.bf16, "accumulate": options.accumulate}
        self.accelerator = _accelerator(options)
        self.sharded = self.accelerator.distributed_type == DistributedType.FSDP
        self.identity = {**(identity or {}), **own, "sharded": self.sharded}
        optimizer = torch.optim.AdamW(task.groups(), weight_decay=0.01)
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._module, self._optimizer = self.accelerator.prepare(task.module, optimizer)
        self.step_number, self.spent = 0, 0.0
        self._resumed: int | None = None
        self._losses: dict[str, float] = {}

    def run(self, until: int | None = None) -> Summary:
        """Train until the budget is spent, or until step `until`; then the state is saved.

        Raises ResumeError for a state of another run, SaveError for a full disk, TrainingError
        if the loss is no longer finite. The last saved state is intact after each.
        """
        resumed = self._resume() if self._resumed is None else self._resumed
        first, began, saved = self._progress(), time.monotonic(), self.step_number
        with ProgressLine(self.accelerator.is_main_process) as line:
            while self._progress() < 1 and (until is None or self.step_number < until):
                row = self._step()
                gained = max(self._progress() - first, 1e-9)
                left = (time.monotonic() - began) * max(1 - self._progress(), 0) / gained
                self._log({**row, "left": round(left, 1)}, line)
                if self.step_number % self.options.save_every == 0:
                    saved = self._save()
        if saved != self.step_number or not self.step_number:
            self._save()
        return Summary(
            self.step_number, resumed, self.spent, dict(self._losses), self._progress() >= 1
        )

    def export(self, folder: Path, anew: Callable[[], Task[Any]]) -> None:
        """Write the trained checkpoint to `folder`; the main rank does.

        anew: builds the task again, where FSDP has its module in pieces, for the saved state.
        """
        if not self.accelerator.is_main_process:
            return
        task = self.task
        if self.sharded:
            task, state = anew(), read_state(self.folder, self.identity)
            assert state is not None, "a run ends with its state saved"
            restore_weights(task.module, state)
        task.export(folder)

    def _progress(self) -> float:
        """Share of the budget that is spent."""
        steps, minutes = self.options.steps, self.options.minutes
        by_steps = self.step_number / steps if steps else 0.0
        return max(by_steps, self.spent / (minutes * 60) if minutes else 0.0)

    def _step(self) -> dict[str, float]:
        """One optimizer step; its row for the metrics."""
        began, clock = self._now(), time.monotonic()
        rate = self._set_rates()
        parts = [self._pass(number) for number in range(self.options.accumulate)]
        names = sorted(parts[0][0])
        means = [sum(float(losses[name]) for losses, _ in parts) / len(parts) for name in names]
        own = sum(count for _, count in parts)
        *values, seconds, tokens = self._mean_of_ranks([*means, self._now() - began, own])
        self._losses = dict(zip(names, values, strict=True))
        self.step_number += 1
        self.spent += seconds
        row = {"step": self.step_number, **self._losses, "rate": rate}
        row["seconds"] = round(time.monotonic() - clock, 4)
        whole = round(tokens * self.accelerator.num_processes)
        return row | ({"tokens": whole} if whole else {})

    def _pass(self, number: int) -> tuple[dict[str, Tensor], int]:
        """Forward and backward of the step's n-th batch; after the last one, the update."""
        at = self.step_number * self.options.accumulate + number
        rank = self.accelerator.process_index
        set_seed(_seed(self.options.seed, at, rank))
        batch = self.task.batch(at, rank, self.accelerator.num_processes)
        with self.accelerator.accumulate(self._module):
            losses = self._module(send_to_device(batch, self.accelerator.device))
            self.accelerator.backward(losses["loss"])
            if self.accelerator.sync_gradients:
                trained = self._module.parameters()
                norm = self.accelerator.clip_grad_norm_(trained, self.options.clip)
                self._check(cast("Tensor", norm), losses["loss"])
            self._optimizer.step()
            self._optimizer.zero_grad()
        return {name: value.detach() for name, value in losses.items()}, getattr(batch, "tokens", 0)

    def _check(self, norm: Tensor, loss: Tensor) -> None:
        """The norm is the same on every rank, so that all of them stop together."""
        if not math.isfinite(float(norm)):
            raise TrainingError(
                f"step {self.step_number + 1}: the gradient is no longer finite (loss "
                f"{float(loss.detach()):.4g}). The last saved state is intact; train with a lower "
                "rate."
            )

    def _set_rates(self) -> float:
        """Linear warm-up, then linear decay; returns the highest of the groups' rates."""
        warm = min(1.0, (self.step_number + 1) / max(self.options.warmup, 1))
        share = warm * max(_LOWEST, 1 - self._progress())
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * share
        return max(self._peaks) * share

    def _mean_of_ranks(self, figures: list[float]) -> list[float]:
        """So that all ranks log, and end by, the same."""
        mine = torch.tensor(figures, dtype=torch.float64, device=self.accelerator.device)
        means = cast("Tensor", self.accelerator.reduce(mine, "mean"))
        found: list[float] = means.tolist()
        return found

    def _now(self) -> float:
        """Seconds of the budget's clock."""
        if self.accelerator.device.type == "cpu":
            return time.process_time() / torch.get_num_threads()
        return time.monotonic()

    def _resume(self) -> int:
        """Go on from the last state, if there is one; the number of its step, else 0."""
        state = read_state(self.folder, self.identity)
        if state is not None:
            restore(self._module, self._optimizer.optimizer, state, self.sharded)
            self.step_number, self.spent = int(state["step"]), float(state["spent"])
            self._losses = dict(state["losses"])
        self.accelerator.wait_for_everyone()  # all have read before one writes
        self._on_main(lambda: keep_until(self.folder, self.step_number))
        self._resumed = self.step_number
        return self.step_number

    def _log(self, row: Mapping[str, float], line: ProgressLine) -> None:
        self._on_main(lambda: append_row(self.folder, row))
        line.show(row, self._progress())

    def _save(self) -> int:
        """Every rank takes part; the main one writes. Returns the step that is safe now."""
        state = collect(self._module, self._optimizer.optimizer, self.sharded) | {
            "step": self.step_number,
            "spent": self.spent,
            "losses": self._losses,
        }
        self._on_main(lambda: write_state(self.folder, state, self.identity))
        return self.step_number

    def _on_main(self, write: Callable[[], None]) -> None:
        """What the main rank writes; where it cannot, every rank raises, and none waits for it."""
        failed: list[SaveError | None] = [None]
        if self.accelerator.is_main_process:
            try:
                write()
            except SaveError as error:
                failed = [error]
        broadcast_object_list(failed)
        if failed[0] is not None:
            raise failed[0]


def _accelerator(options: LoopOptions) -> Accelerator:
    AcceleratorState._reset_state()  # else one process could not train in bf16, then in fp32
    # A part that a step does not use (a stage, a path) has no gradient in it.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(
        mixed_precision="bf16" if options.bf16 else "no",
        gradient_accumulation_steps=options.accumulate,
        kwargs_handlers=[unused],
    )


def _seed(seed: int, batch: int, rank: int) -> int:
    """Of dropout and all else that draws from the global generators in this batch."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{batch}/{rank}".encode()).digest()[:4])
