"""What each part of the method is worth: the tiny decoder is trained anew with one thing changed.

    python -m benchmarks.ablations OUT [--only NAME ...] [--steps N] [--worlds N]

The decoder, its data and its options are those of tests/test_train_tiny.py, the steps fewer. Each
variant becomes a line of OUT/ablations.jsonl and of the table; one that stands there is skipped,
and one that was interrupted goes on from its last state. Minutes are of the processor. Those that
tell most come first; `another seed` tells how far two runs of the same thing lie apart.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.hostmem import keep_freed_memory
from memsvc_router.training.decoder.options import DecoderTraining
from memsvc_router.training.decoder.task import decoder_task
from memsvc_router.training.decoder.tiny import (
    LEARNING,
    TinyScores,
    evaluate,
    make_worlds,
    write_base,
)
from memsvc_router.training.loop import Loop, LoopOptions, TrainingError
from memsvc_router.training.rows import TrainingSet

TRAINED_ON, ASKED = 0, 1  # seeds of worlds
TRAINING_WORLDS = 200
FILE = "ablations.jsonl"
HEAD = (
    "| variant | two hops, exact | one hop, exact | routed first | minutes |\n|---|--:|--:|--:|--:|"
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Learning(DecoderTraining):
    """Options of one stage. aux: weight of L_aux, where it is not the stage's own; share: of all
    steps."""

    aux: float | None = None
    share: float = 1.0

    @property
    def weights(self) -> tuple[float, float]:
        """See `DecoderTraining`."""
        lm, aux = super().weights
        return lm, aux if self.aux is None else self.aux


_MAIN = Learning(**asdict(LEARNING))
_WARMUP = replace(_MAIN, stage="warmup")


@dataclass(frozen=True)
class Variant:
    """One change. router_layers, settings: see `tiny.write_base`; stages: one after another;
    max_hops: at asking; of: the variant whose training this one asks."""

    name: str
    router_layers: str = "upper-half"
    settings: Mapping[str, object] = field(default_factory=dict[str, object])
    stages: tuple[Learning, ...] = (_MAIN,)
    max_hops: int = 4
    of: str | None = None


VARIANTS = (
    Variant("as it is"),
    Variant("no auxiliary loss", stages=(replace(_MAIN, aux=0.0),)),
    Variant("no interleave: one hop", max_hops=1, of="as it is"),
    Variant("another seed", stages=(replace(_MAIN, seed=2),)),
    Variant("routers in the last layer alone", "2"),
    Variant("routers in the middle layer alone", "1"),
    Variant("routers in the first layer alone", "0"),
    Variant("routers in all layers", "all"),
    Variant("query: mean over tokens, not max", settings={"query_reduce_method": "mean"}),
    Variant("query: last token, not max", settings={"query_reduce_method": "last"}),
    Variant("document: mean over chunks, not max", settings={"chunk_reduce_method": "mean"}),
    Variant("chunks of 8 tokens, not 4", settings={"pooling_kernel_size": 8}),
    Variant("chunks of 16 tokens, not 4", settings={"pooling_kernel_size": 16}),
    Variant("stage 1 alone", stages=(_WARMUP,)),
    Variant(
        "stage 1 for a fourth, then stage 2",
        stages=(replace(_WARMUP, share=0.25), replace(_MAIN, share=0.75)),
    ),
    Variant(
        "routers alone for a fourth, then stage 2",
        stages=(
            replace(_WARMUP, share=0.25, freeze_backbone=True),
            replace(_MAIN, share=0.75),
        ),
    ),
    Variant("auxiliary loss weighs 0.01, not 0.1", stages=(replace(_MAIN, aux=0.01),)),
    Variant("auxiliary loss weighs 1, not 0.1", stages=(replace(_MAIN, aux=1.0),)),
    Variant("a third seed", stages=(replace(_MAIN, seed=3),)),
    Variant("one document in context, not 2", settings={"top_k_docs": 1}),
    Variant("4 documents in context, not 2", settings={"top_k_docs": 4}),
    Variant("heads: max, not mean", settings={"head_reduce_method": "max"}),
    Variant("scores without cosine", settings={"aux_loss_method": "INFONCE_DECOUPLE"}),
    Variant("chunks of 2 tokens, not 4", settings={"pooling_kernel_size": 2}),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, line by line as it comes about."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", default=names)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--worlds", type=int, default=4, help="that are asked about")
    given = parser.parse_args(arguments)
    keep_freed_memory()
    print(HEAD)
    wanted = [variant for variant in VARIANTS if variant.name in given.only]
    for row in run(given.out, wanted, given.steps, given.worlds):
        print(line(row), flush=True)


def run(out: Path, variants: Sequence[Variant], steps: int, worlds: int) -> Iterator[Row]:
    """The row of each variant: as it stands in `out`, or measured now and put there."""
    data = make_worlds(TRAINING_WORLDS, TRAINED_ON)
    asked = [make_worlds(1, ASKED, world) for world in range(worlds)]
    file = out / FILE
    for variant in variants:
        name = {"variant": variant.name, "steps": steps, "worlds": worlds}
        found = [row for row in _rows(file) if name.items() <= row.items()]
        if not found:
            work = out / f"{steps}-steps" / (variant.of or variant.name).replace(" ", "-")
            found = [name | measure(variant, data, asked, steps, work)]
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(found[0], ensure_ascii=False) + "\n")
        yield found[0]


def measure(
    variant: Variant, data: TrainingSet, asked: Sequence[TrainingSet], steps: int, work: Path
) -> Row:
    """Train one variant, whose state is kept in `work`, and ask it about each world."""
    with TemporaryDirectory() as folder:
        base, seconds = Path(folder) / "base", 0.0
        write_base(base, router_layers=variant.router_layers, settings=variant.settings)
        for number, stage in enumerate(variant.stages, 1):
            options = _length(stage, ceil(stage.share * steps))
            task = decoder_task(base, data, None, stage)
            try:
                seconds += Loop(task, options, work / str(number), asdict(stage)).run().seconds
            except TrainingError as error:
                return {"failed": str(error)}
            base = Path(folder) / str(number)
            task.export(base)
        model = DecoderMemoryModel(load_decoder(base))
    each = [evaluate(model, world, world.questions, variant.max_hops) for world in asked]
    scores = TinyScores(*(float(share) for share in np.mean([astuple(s) for s in each], 0)))
    return asdict(scores) | {"minutes": seconds / 60}


def line(row: Row) -> str:
    """A row of the table."""
    if "failed" in row:
        return f"| {row['variant']} | {row['failed']} | | | |"
    shares = " | ".join(f"{row[name]:.3f}" for name in ("two_hops", "one_hop", "recall"))
    return f"| {row['variant']} | {shares} | {row['minutes']:.1f} |"


def _length(stage: Learning, steps: int) -> LoopOptions:
    """As `memsvc train` has it."""
    warmup = min(100, round(0.05 * steps))
    return LoopOptions(steps, None, warmup, stage.seed, save_every=100, bf16=False)


def _rows(file: Path) -> list[Row]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
