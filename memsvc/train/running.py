"""A training run from files: which task a base takes, the run itself, its checkpoint.

Knows how these follow one another; nothing of the command line, of batches or of networks.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from memsvc_router.config import MODEL_TYPE as SMALL_TYPE
from memsvc_router.decoder.source import find, read_config
from memsvc_router.hostmem import keep_freed_memory
from memsvc_router.training.checkpointing import SaveError
from memsvc_router.training.decoder.options import DecoderTraining
from memsvc_router.training.loop import Loop, LoopOptions, Summary, Task
from memsvc_router.training.mining import load_negatives
from memsvc_router.training.plots import write_plot
from memsvc_router.training.rows import TrainingSet, read_set
from memsvc_router.training.small.options import SmallTraining

SMALL = "small"
_WARMUP_SHARE, _MOST_WARMUP = 0.05, 100
_WEIGHTS = ("*.safetensors", "*.json")


@dataclass(frozen=True)
class Request:
    """What to train, on what, for how long; `work` keeps the state, `out` gets the checkpoint.

    base: "small", a directory or a hub id. settings: fields of `SmallTraining` or
    `DecoderTraining` that are not as by default, and `rate`. negatives: the folder of a mining.
    """

    base: str
    data: Path
    work: Path
    out: Path
    steps: int | None
    minutes: float | None
    seed: int
    save_every: int
    bf16: bool | None
    negatives: Path | None
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a run ended. main: this is the process that tells of it."""

    summary: Summary
    out: Path
    work: Path
    main: bool


def train(request: Request) -> Outcome:
    """Run, or go on with, what is asked for, and export the checkpoint.

    Raises FileNotFoundError or ValueError (DataError, ResumeError) for what cannot be trained,
    SaveError for a full disk, TrainingError where the loss is no longer finite.
    """
    if request.out.exists():
        raise FileExistsError(f"{request.out}: is there already; name another directory with --out")
    small, folder = _base(request.base)
    options = _small_options(request) if small else _decoder_options(request)
    length = _length(request, small)  # before the data, which takes time to read
    data = read_set(request.data)
    build = _builder(request, options, folder, data)
    identity = {"base": _known_as(request.base, folder), "data": data.digest(), **asdict(options)}
    keep_freed_memory()
    loop = Loop(build(), length, request.work, identity)
    main = bool(loop.accelerator.is_main_process)
    try:
        summary = loop.run()
    finally:
        if main:
            write_plot(request.work)
    if main:
        with _whole(request.out) as part:
            loop.export(part, build)
    return Outcome(summary, request.out, request.work, main)


def _base(base: str) -> tuple[bool, Path | None]:
    """Whether it is a small model, and its folder; None is for a fresh small model."""
    if base == SMALL:
        return True, None
    folder, _ = find(base)
    return read_config(folder).get("model_type") == SMALL_TYPE, folder


def _small_options(request: Request) -> SmallTraining:
    given = dict(request.settings)
    only = {"questions", "rate", "stage", "mode", "dropout", "masked", "weights", "words_from"}
    if unread := sorted(given.keys() - only):
        raise ValueError(f"{_flag(unread[0])}: is for decoders; the small model has no such choice")
    for name, told in (("bf16", request.bf16), ("negatives", request.negatives)):
        if told is not None:
            raise ValueError(f"{_flag(name)}: is for decoders; the small model does it its own way")
    if given.get("mode") == "lora":
        raise ValueError("--mode lora: is for decoders; the small model takes full or router")
    plain = SmallTraining(seed=request.seed)
    scale = given.get("rate", plain.reader_rate) / plain.reader_rate
    if scale <= 0:
        raise ValueError(f"--rate: expected more than 0, got {given['rate']}")
    return replace(
        plain,
        questions=given.get("questions", plain.questions),
        reader_rate=plain.reader_rate * scale,
        router_rate=plain.router_rate * scale,
        head_rate=plain.head_rate * scale,
        stage=given.get("stage", plain.stage),
        reading=given.get("mode") != "router",
        dropout=_share(given, "dropout"),
        masked=_share(given, "masked"),
        weights=_weights(given.get("weights", ())),
        words_from=tuple(given.get("words_from", ())),
    )


def _share(given: Mapping[str, Any], name: str) -> float:
    """0 where it is not given."""
    value = float(given.get(name, 0.0))
    if not 0 <= value < 1:
        raise ValueError(f"{_flag(name)}: expected from 0 to less than 1, got {value}")
    return value


def _weights(given: Sequence[str]) -> dict[str, float]:
    """`NAME=NUMBER` of each data set."""
    found = {}
    for one in given:
        name, _, number = one.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not name or not weight >= 0:
            raise ValueError(f"--weight {one!r}: expected a data set and a share, as squad=0.3")
        found[name] = weight
    return found


def _decoder_options(request: Request) -> DecoderTraining:
    given = dict(request.settings)
    for name, flag in (("weights", "--weight"), ("words_from", "--words-from")):
        if name in given:
            raise ValueError(f"{flag}: is for the small model; a decoder draws from all alike")
    for name in ("dropout", "masked"):
        if name in given:
            raise ValueError(f"{_flag(name)}: is for the small model; a decoder sees all")
    if given.get("stage") == "sft" and request.steps is not None:
        given["context_steps"] = request.steps
    return DecoderTraining(seed=request.seed, **given)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _builder(
    request: Request,
    options: SmallTraining | DecoderTraining,
    folder: Path | None,
    data: TrainingSet,
) -> Callable[[], Task[Any]]:
    """Builds the task, as often as asked. Raises DataError for negatives of another set."""
    if isinstance(options, SmallTraining):
        from memsvc_router.training.small.build import small_task

        return lambda: small_task(data, request.work, options, folder)
    from memsvc_router.training.decoder.task import decoder_task

    mined = None if request.negatives is None else load_negatives(request.negatives, data)
    return lambda: decoder_task(request.base, data, mined, options)


def _length(request: Request, small: bool) -> LoopOptions:
    warmup = _MOST_WARMUP
    if request.steps is not None:
        warmup = min(warmup, round(_WARMUP_SHARE * request.steps))
    return LoopOptions(
        steps=request.steps,
        minutes=request.minutes,
        warmup=warmup,
        seed=request.seed,
        save_every=request.save_every,
        bf16=not small and request.bf16 is not False,
    )


def _known_as(base: str, folder: Path | None) -> str:
    """What a base is: its files' digest, wherever they lie."""
    if folder is None:
        return base
    found = hashlib.sha256()
    for path in sorted(path for kind in _WEIGHTS for path in folder.glob(kind)):
        found.update(path.name.encode())
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return f"{folder.resolve().name}@{found.hexdigest()[:16]}"


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes it, or is gone if writing it fails."""
    part = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(out)
    except OSError as error:
        raise SaveError(
            f"{out} could not be written: {error.strerror or error}. The trained state is intact; "
            "make room and run the same command again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
