"""Work in a process of its own, and the memory that processes have.

Knows the operating system; nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")


def alone(work: Callable[..., T], *given: object) -> T:
    """What `work`, a module's function, returns in a new process: its memory is nobody else's.
    Raises what it raises."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def resident(field: Literal["VmHWM", "VmRSS"], pid: int | Literal["self"] = "self") -> int:
    """The most resident memory that a process had so far (VmHWM), or has, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the kernel tells no {field}")
