"""A waiting line that is fair between lanes: nobody waits behind a neighbour's whole crowd.

Knows nothing of what waits, of threads or of models; whoever shares it brings the lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class FairLine(Generic[T]):
    """Items by lane: first come, first served within a lane; between lanes see `pop`."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[tuple[int, T]]] = {}
        self._numbers = count(1)
        self._served: dict[str, int] = {}  # when a lane had its last turn

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    def push(self, lane: str, item: T) -> None:
        self._lanes.setdefault(lane, deque()).append((next(self._numbers), item))

    def pop(self, active: Mapping[str, int]) -> T:
        """The next item: of the lane with the fewest `active` ones, among those of the lane whose
        last turn is longest ago, then the oldest. Raises ValueError on an empty line."""
        # A lane that is gone is forgotten: what is kept does not grow with the lanes ever seen.
        self._served = {
            lane: turn
            for lane, turn in self._served.items()
            if lane in self._lanes or active.get(lane)
        }
        lane = min(
            self._lanes,
            key=lambda one: (active.get(one, 0), self._served.get(one, 0), self._lanes[one][0][0]),
        )
        _, item = self._lanes[lane].popleft()
        self._served[lane] = next(self._numbers)
        if not self._lanes[lane]:
            del self._lanes[lane]
        return item

    def discard(self, gone: Callable[[T], bool]) -> None:
        """Forget the items of which `gone` says so."""
        for lane, line in list(self._lanes.items()):
            kept = deque(entry for entry in line if not gone(entry[1]))
            if kept:
                self._lanes[lane] = kept
            else:
                del self._lanes[lane]

    def drain(self) -> Iterator[T]:
        """Empty the line, yielding what it held."""
        lanes, self._lanes = self._lanes, {}
        for line in lanes.values():
            for _, item in line:
                yield item
