"""What a measurement was made on. Knows the operating system; nothing of engines."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch
from memsvc_router.hostmem import host_memory

from memsvc.bench.schema import Facts

_GIB = 1 << 30


def facts() -> Facts:
    """Processor, cores that may be used, threads of the forwards, memory, Python, torch."""
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gb": round(host_memory() / _GIB, 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def now() -> str:
    """The time as results files write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in names if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
