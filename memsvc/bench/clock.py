"""Time by stages over all threads, in shares that add up to what the clock on the wall says.

Functions are the stages; they are replaced by ones that tell when they begin and end. Knows threads
and clocks; nothing of what the stages do.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

Places = Mapping[str, Sequence[tuple[object, str]]]
"""The functions of each stage: where each one stands (a class or module), and its name there."""


class StageClock:
    """Threads that are in stages at once share the time; one that waits within `rest` has none as
    long as another works. Thread-safe."""

    def __init__(self, rest: str) -> None:
        self._rest = rest
        self._lock = threading.Lock()
        self._stacks: dict[int, list[str]] = {}  # by thread, innermost last
        self._since = 0.0
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def clear(self) -> None:
        """Forget what was measured so far."""
        with self._lock:
            self.seconds.clear()

    @contextmanager
    def inside(self, stage: str) -> Iterator[None]:
        """This thread is in a stage meanwhile, and in no other."""
        with self._lock:
            self._account()
            self._stacks.setdefault(threading.get_ident(), []).append(stage)
        try:
            yield
        finally:
            with self._lock:
                self._account()
                self._stacks[threading.get_ident()].pop()

    @contextmanager
    def watching(self, places: Places) -> Iterator[None]:
        """Functions are stages meanwhile. Raises AttributeError where one is not there."""
        with ExitStack() as patches:
            for stage, functions in places.items():
                for owner, name in functions:
                    timed = self._timed(stage, getattr(owner, name))
                    patches.enter_context(patch.object(owner, name, timed))
            yield

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            with self.inside(stage):
                return function(*args, **named)

        return timed

    def _account(self) -> None:
        now = time.perf_counter()
        innermost = [stack[-1] for stack in self._stacks.values() if stack]
        working = [stage for stage in innermost if stage != self._rest] or innermost
        for stage in working:
            self.seconds[stage] += (now - self._since) / len(working)
        self._since = now
