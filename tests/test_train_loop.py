"""The training loop: runs learn, rates and precision are as asked, and each step is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from memsvc_router.training.checkpointing import STATE
from memsvc_router.training.loop import TrainingError
from memsvc_router.training.metrics import METRICS, ProgressLine, duration, read_rows
from memsvc_router.training.plots import write_plot
from torch import Tensor, nn

from tests.train_support import OPTIONS, PairsTask, losses, train, weights


def test_a_task_is_learned(tmp_path: Path) -> None:
    summary = train(tmp_path, PairsTask(), steps=150)
    rows = read_rows(tmp_path)
    assert summary.finished
    assert summary.steps == len(rows) == 150
    assert sum(row["loss"] for row in rows[-10:]) < 0.6 * sum(row["loss"] for row in rows[:10])
    assert sum(row["recall"] for row in rows[-10:]) > 9


def test_a_row_tells_of_its_step(tmp_path: Path) -> None:
    train(tmp_path, steps=4)
    row = read_rows(tmp_path)[0]
    assert row.keys() == {"step", "loss", "recall", "rate", "seconds", "tokens", "left"}
    assert row["tokens"] == 2 * 12 * 6


def test_rates_rise_and_fall(tmp_path: Path) -> None:
    train(tmp_path, steps=8, warmup=4)
    rates = [row["rate"] for row in read_rows(tmp_path)]
    assert rates[0] == pytest.approx(1e-2 / 4)
    assert max(rates) == max(rates[2:4])
    assert rates[-1] == pytest.approx(1e-2 / 8)


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    train(tmp_path / "one")
    train(tmp_path / "other", seed=4)
    assert losses(tmp_path / "one") != losses(tmp_path / "other")


def test_a_terminal_is_told_how_much_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with ProgressLine(wanted=True) as line:
        line.show({"step": 3, "loss": 1.25, "left": 95}, 0.5)
    told = capsys.readouterr().err
    assert "50 %" in told
    assert "step 3  loss 1.2500  2 min left" in told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0 s"), (59.4, "59 s"), (61, "1 min"), (7500, "2 h 05 min")]
)
def test_durations_for_people(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    train(tmp_path, until=2)
    before = (tmp_path / STATE).read_bytes()
    wrong = PairsTask()
    wrong.module.register_forward_hook(
        lambda *given: {**given[2], "loss": given[2]["loss"] * torch.nan}
    )
    with pytest.raises(TrainingError, match="step 3: the gradient is no longer finite"):
        train(tmp_path, wrong)
    assert (tmp_path / STATE).read_bytes() == before
    assert len(read_rows(tmp_path)) == 2


class Halves(PairsTask):
    """Squares of one line; two of its batches are one of the whole's."""

    def __init__(self, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.module = Squares()  # type: ignore[assignment]

    def batch(self, step: int, rank: int, world: int) -> Any:
        del rank, world
        if not self.halves:
            return torch.cat([Halves(True).batch(2 * step + n, 0, 1) for n in (0, 1)])
        return torch.randn(4, 3, generator=torch.Generator().manual_seed(step))


class Squares(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(3, 1)

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.line(points)[:, 0] - points.sum(1)).pow(2).mean()}


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    train(tmp_path / "whole", Halves(False))
    train(tmp_path / "halves", Halves(True), accumulate=2)
    one, two = losses(tmp_path / "whole"), losses(tmp_path / "halves")
    assert list(one) == list(two)
    assert list(one.values()) == pytest.approx(list(two.values()), rel=1e-5)


def test_bf16_computes_in_it_and_keeps_fp32_weights(tmp_path: Path) -> None:
    task, kinds = PairsTask(), set[torch.dtype]()
    task.module.out.register_forward_hook(lambda *given: kinds.add(given[2].dtype))
    train(tmp_path / "half", task, bf16=True)
    train(tmp_path / "full", PairsTask())  # in the same process
    assert kinds == {torch.bfloat16}
    assert {value.dtype for value in weights(tmp_path / "half").values()} == {torch.float32}
    half, full = losses(tmp_path / "half"), losses(tmp_path / "full")
    assert half != full
    assert list(half.values()) == pytest.approx(list(full.values()), rel=0.1)


def test_a_run_by_minutes_ends(tmp_path: Path) -> None:
    summary = train(tmp_path, steps=None, minutes=0.01)
    assert summary.finished
    assert summary.seconds >= 0.6
    assert read_rows(tmp_path)[-1]["rate"] < 0.2e-2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"steps": None}, "steps or minutes"),
        ({"steps": 0}, "steps: expected more than 0, got 0"),
        ({"minutes": -1.0}, "minutes: expected more than 0"),
        ({"save_every": 0}, "save_every: expected more than 0"),
        ({"warmup": -1}, "warmup: expected 0 or more"),
    ],
)
def test_options_that_make_no_run(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(OPTIONS, **changes)


def test_the_course_of_a_run_is_drawn(tmp_path: Path) -> None:
    tmp_path.joinpath(METRICS).write_text(
        "".join(
            json.dumps({"step": n + 1, "loss": 1 / (n + 1), "rate": 1e-3, "left": 1.0}) + "\n"
            for n in range(1000)
        )
    )
    write_plot(tmp_path)
    drawn = (tmp_path / "metrics.svg").read_bytes()
    assert drawn.startswith(b"<?xml")
    assert b"<!-- loss (means of 3 steps) -->" in drawn
    assert b"<!-- left" not in drawn
    write_plot(tmp_path)
    assert (tmp_path / "metrics.svg").read_bytes() == drawn


def test_no_rows_no_picture(tmp_path: Path) -> None:
    write_plot(tmp_path)
    assert not list(tmp_path.iterdir())
