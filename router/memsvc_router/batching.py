"""Which inputs share a forward: alike in length, within a budget of padded tokens."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def by_length(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Indices in groups of similar length; a group's padded size is at most `most_tokens` or it
    holds one input."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    group: list[int] = []
    for i in order:
        if group and (len(group) + 1) * lengths[i] > most_tokens:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def shared_out(lengths: Sequence[int], most_tokens: int, workers: int) -> list[list[int]]:
    """Groups as `by_length` makes them, so many and so alike in padded size that each of the
    workers has as much to do."""
    groups = list(by_length(lengths, most_tokens))
    wanted = -(-len(groups) // workers) * workers
    low, high = max(lengths, default=0), most_tokens
    while low < high:
        budget = (low + high) // 2
        closer = list(by_length(lengths, budget))
        if len(closer) <= wanted:
            groups, high = closer, budget
        else:
            low = budget + 1
    return groups


def all_steps(steps: Generator[None, None, T]) -> T:
    """Take all steps at once; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
