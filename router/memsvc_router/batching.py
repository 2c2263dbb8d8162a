"""Which inputs share a forward: alike in length, within a budget of padded tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


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
