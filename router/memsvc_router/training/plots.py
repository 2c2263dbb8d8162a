"""The course of a training run as a picture: each figure of its metrics by step.

Knows the rows of metrics.jsonl and matplotlib; no terminal and no window.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memsvc_router.training.checkpointing import SaveError
from memsvc_router.training.metrics import read_rows

PLOT = "metrics.svg"
_POINTS = 400  # more of them show no more
_NO_CURVES = ("step", "seconds", "tokens", "left")


def write_plot(folder: Path) -> None:
    """Draw `folder/metrics.svg` from `folder/metrics.jsonl`; nothing where that has no rows.

    Raises SaveError where the disk takes no more.
    """
    rows = read_rows(folder)
    if not rows:
        return
    names = sorted({name for row in rows for name in row} - set(_NO_CURVES), key=_order)
    figure = Figure(figsize=(7, 1.9 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), sharex=True, squeeze=False)[:, 0]
    for name, axis in zip(names, axes, strict=True):
        _draw(axis, name, [(row["step"], row[name]) for row in rows if name in row])
    axes[-1].set_xlabel("step")
    part = folder / f"{PLOT}.part"
    try:
        with rc_context({"svg.hashsalt": "memsvc"}):  # the same rows, the same bytes
            figure.savefig(part, format="svg", metadata={"Date": None})
        part.replace(folder / PLOT)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise SaveError(f"{folder / PLOT} could not be written: {error.strerror}.") from error


def _order(name: str) -> tuple[int, str]:
    """The loss first, the rate last."""
    return {"loss": 0, "rate": 2}.get(name, 1), name


def _draw(axis: Axes, name: str, points: Sequence[tuple[float, float]]) -> None:
    size = -(-len(points) // _POINTS)
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    steps, values = zip(*(_mean(group) for group in groups), strict=True)
    axis.plot(steps, values, linewidth=1.2)
    told = f"{name} (means of {size} steps)" if size > 1 else name
    axis.set_title(told, fontsize=9, loc="left")
    axis.grid(alpha=0.3)
    axis.tick_params(labelsize=8)


def _mean(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    steps, values = zip(*points, strict=True)
    return sum(steps) / len(points), sum(values) / len(points)
