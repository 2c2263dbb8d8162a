"""A real run that is told to stop leaves what it has, and goes on when it is started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import small_set
from memsvc.bench.results import Results
from tests.engine_support import PATIENCE


def bench(out: Path) -> list[str]:
    files = ["--passages", str(small_set.PASSAGES), "--questions", str(small_set.QUESTIONS)]
    return [
        *(sys.executable, "-m", "memsvc_client.cli", "bench", "run", *files),
        *("--limit", "60", "--paths", "msa,bm25", "--out", str(out)),
    ]


def answers(out: Path) -> int:
    path = out / "answers.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_stop_goes_on_later(tmp_path: Path, told: signal.Signals) -> None:
    out = tmp_path / "out"
    running = subprocess.Popen(bench(out), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while answers(out) < 10 and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(told)
    _, said = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, said
    assert "interrupted" in said
    before = answers(out)
    left = Results.from_dict(json.loads((out / "results.json").read_text()))
    assert 10 <= before == sum(len(path.questions) for path in left.paths) < 120
    subprocess.run(bench(out), check=True, capture_output=True, timeout=2 * PATIENCE)
    assert answers(out) == 120
    whole = Results.from_dict(json.loads((out / "results.json").read_text()))
    first = left.paths[0].questions
    assert whole.paths[0].questions[: len(first)] == first
