"""Tunes a model's routing on a training set: which task a checkpoint takes, and running it.

Knows checkpoints and tasks; nothing of banks, versions or judging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from memsvc_router.config import MODEL_TYPE as SMALL
from memsvc_router.decoder.source import read_config
from memsvc_router.training.loop import Loop, LoopOptions, Summary
from memsvc_router.training.question_side import QuestionSide, QuestionSideOptions
from memsvc_router.training.rows import TrainingSet

_WARMUP = 0.05  # of the steps


@dataclass(frozen=True)
class Tuning:
    """How long, and from which seed."""

    steps: int = 300
    seed: int = 0


def tune_router(
    base: Path,
    data: TrainingSet,
    avoided: Mapping[str, Sequence[str]],
    out: Path,
    options: Tuning,
) -> Summary:
    """Write a copy of the checkpoint `base` that routes the set's questions better, into `out`.

    avoided: passage ids by question id that were of no use. Raises ValueError for a checkpoint of
    another architecture, and for a set that holds no question to learn routing from.
    """
    kind = read_config(base).get("model_type")
    if kind != SMALL:
        raise ValueError(
            f"{base}: model_type {kind!r} cannot learn from a bank; expected {SMALL!r} (train a "
            "decoder from files, with `memsvc train --data`)"
        )
    task = QuestionSide(base, data, QuestionSideOptions(seed=options.seed), avoided)
    warmup = round(options.steps * _WARMUP)
    # The state is of use only while this runs: a run of a minute is begun anew.
    with TemporaryDirectory(prefix="memsvc-train-") as work:
        loop = LoopOptions(options.steps, None, warmup, options.seed, options.steps, bf16=False)
        summary = Loop(task, loop, Path(work)).run()
    task.export(out)
    return summary
