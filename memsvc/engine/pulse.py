"""A bell that wakes everyone who waits for something to have changed. Knows nothing of what did."""

from __future__ import annotations

import asyncio


class Pulse:
    """Take `turn` first, look at the state, then wait for the turn: no ring is ever missed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.turn = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait. Thread-safe."""
        self._loop.call_soon_threadsafe(self._next)

    def _next(self) -> None:
        turn, self.turn = self.turn, asyncio.Event()
        turn.set()
