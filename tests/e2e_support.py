"""A real memsvc server in a process of its own, started as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memsvc_client import NewDocument

ROOT = Path(__file__).parent.parent
FOLDERS = (".", "proto", "router", "storage", "kernels", "clients")
READY = re.compile(r"memsvc ready on (\S+:\d+)\n")

FACTS = [
    NewDocument(
        "The key of the cellar hangs under the blue pot beside the garden door.",
        "Keys of the house",
        "keys",
        {"kind": "house", "year": 2024},
    ),
    NewDocument(
        "Marie Curie was born in Warsaw in 1867. She discovered polonium and radium.",
        "Marie Curie",
        "curie",
        {"kind": "person", "year": 1867},
    ),
    NewDocument(
        "The town library opens at nine in the morning and closes at six.",
        "Town library",
        "library",
        {"kind": "place", "year": 2025},
    ),
]

TALK = [
    ("user", "My sister Wilhelmina keeps her sailing boat in the harbour of Flensburg."),
    ("assistant", "Noted: Wilhelmina's boat lies in Flensburg."),
    ("user", "For lunch I had lentil soup with too much pepper."),
    ("assistant", "I hope that it was good nevertheless."),
]
QUESTION = "Where does Wilhelmina keep her sailing boat?"


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Return once it is true. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"not true after {seconds} s")
        time.sleep(0.05)


def environment() -> dict[str, str]:
    path = os.pathsep.join(str(ROOT / folder) for folder in FOLDERS)
    ours = {key: value for key, value in os.environ.items() if not key.startswith("MEMSVC_")}
    return {**ours, "PYTHONPATH": path}


@dataclass(frozen=True)
class Served:
    """A running server; `process` for who wants to stop it."""

    target: str
    data: Path
    process: subprocess.Popen[str]


@contextmanager
def serving(data: Path, *more: str) -> Iterator[Served]:
    """Serve `data` on a free port, with `more` options; stopped at the end by SIGTERM."""
    command = [sys.executable, "-m", "memsvc_client.cli", "serve"]
    log = data.with_name(f"{data.name}.log")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--data", str(data), *more],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
        )
    assert process.stdout is not None
    try:
        ready = READY.fullmatch(process.stdout.readline())
        assert ready is not None, log.read_text()
        yield Served(ready[1], data, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def files_with(word: str, data: Path) -> list[Path]:
    """Files of the server's that hold the word."""
    files = [path for path in data.rglob("*") if path.is_file()]
    return [path for path in files if word.encode() in path.read_bytes()]
