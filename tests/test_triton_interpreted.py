"""The tests of kernels in Triton's interpreter, which has to be chosen before kernels are defined:
so they run in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

TESTS = [
    Path(__file__).with_name(f"test_triton_{one}.py") for one in ("kernels", "decoder", "routing")
]


def test_kernels_come_to_what_plain_torch_comes_to() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *map(str, TESTS)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
