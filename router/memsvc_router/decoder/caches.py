"""Key/value memory of one question: preallocated, read in place, never copied per token.

A layer's buffer is [ memory, right-aligned | prefix | local tokens ]: attention does not mind the
order, so a new selection is written to the left of the prefix and nothing else moves.
Legend: G key heads, D head width, M memory entries, P prefix tokens, T new tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


class LayerCache:
    """Keys and values of one layer of one question."""

    def __init__(self, prefix: Pair, room: int) -> None:
        """prefix: keys and values [G, P, D]; room: local tokens to reserve space for."""
        self._prefix = prefix[0].shape[1]
        self._origin = 0  # where the prefix begins
        self._memory = 0  # entries before it
        groups, _, width = prefix[0].shape
        self._both = [p.new_empty(groups, self._prefix + room, width) for p in prefix]
        for buffer, rows in zip(self._both, prefix, strict=True):
            buffer[:, : self._prefix] = rows

    def remember(self, keys: Tensor, values: Tensor) -> None:
        """Set the memory entries [G, M, D] that the next tokens see; the last selection goes."""
        entries = keys.shape[1]
        if entries > self._origin:
            self._resize(left=entries - self._origin, right=0)
        for buffer, rows in zip(self._both, (keys, values), strict=True):
            buffer[:, self._origin - entries : self._origin] = rows
        self._memory = entries

    def write(self, at: int, keys: Tensor, values: Tensor) -> None:
        """Put local tokens [G, T, D] at position `at`, over whatever a failed try left there."""
        first = self._origin + self._prefix + at
        last = first + keys.shape[1]
        if last > self._both[0].shape[1]:
            self._resize(left=0, right=max(last - self._both[0].shape[1], self._room))
        for buffer, rows in zip(self._both, (keys, values), strict=True):
            buffer[:, first:last] = rows

    def seen(self, length: int) -> Pair:
        """Everything up to `length` local tokens: keys and values [G, M + P + length, D], views."""
        last = self._origin + self._prefix + length
        keys, values = (b[:, self._origin - self._memory : last] for b in self._both)
        return keys, values

    @property
    def before(self) -> int:
        """Entries before the first local token."""
        return self._memory + self._prefix

    @property
    def memory(self) -> int:
        """Memory entries before the prefix."""
        return self._memory

    @property
    def _room(self) -> int:
        return self._both[0].shape[1] - self._origin - self._prefix

    def _resize(self, left: int, right: int) -> None:
        """More space on a side; what is there stays in place relative to the prefix."""
        old = self._both
        groups, size, width = old[0].shape
        self._both = [b.new_empty(groups, left + size + right, width) for b in old]
        for buffer, was in zip(self._both, old, strict=True):
            buffer[:, left : left + size] = was
        self._origin += left


def stack_content(blocks: list[Tensor]) -> Pair:
    """Content blocks [C, 2, G, D] of documents -> keys and values [G, M, D]."""
    both = torch.cat(blocks)
    return both[:, 0].transpose(0, 1), both[:, 1].transpose(0, 1)
