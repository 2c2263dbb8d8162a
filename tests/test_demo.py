"""`make demo` as a user meets it: the real server, the real model, the corpus that ships."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
INTERRUPTED = 130
RUN = "import sys; from pathlib import Path; from demo.run import main; sys.exit(main(Path(%r)))"


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-c", RUN % str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def servers_of(folder: Path) -> list[str]:
    """Command lines of running processes that name the folder, other than our own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has ended meanwhile
            found += [line] if str(folder) in line else []
    return found


def test_two_runs_hold_what_they_claim_and_leave_nothing_running(tmp_path: Path) -> None:
    first = start(tmp_path)
    said = first.communicate()[0]
    assert first.returncode == 0, said
    assert "0 failed checks" in said
    assert "not in memory" in said
    assert "encoded (answerable)" in said
    assert servers_of(tmp_path) == []
    second = start(tmp_path)
    said = second.communicate()[0]
    assert second.returncode == 0, said
    assert "reused" in said
    assert "encoded (answerable)" not in said


def test_an_interrupted_run_stops_its_server_and_the_next_one_completes_the_bank(
    tmp_path: Path,
) -> None:
    run = start(tmp_path)
    assert run.stdout is not None
    for line in run.stdout:
        if re.search(r"ready in", line):
            break
    run.send_signal(signal.SIGINT)
    said = run.communicate()[0]
    assert run.returncode == INTERRUPTED, said
    assert servers_of(tmp_path) == []
    again = start(tmp_path)
    said = again.communicate()[0]
    assert again.returncode == 0, said
