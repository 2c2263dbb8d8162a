"""Counts of what the engine did, for metrics and tests. Knows nothing of what they mean."""

from __future__ import annotations

import threading
from collections import Counter


class Counters:
    """Thread-safe counts by name."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        with self._lock:
            self._counts[name] += count

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)
