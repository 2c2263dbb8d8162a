"""Pages that end early where they grow too large for a message. Knows no resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from memsvc_storage import Page

PAGE_BYTES = 8 << 20
_STEP = 16

T = TypeVar("T")


async def by_size(
    fetch: Callable[[int, str | None], Awaitable[Page[T]]],
    size: Callable[[T], int],
    limit: int,
    after: str | None = None,
    most: int = PAGE_BYTES,
) -> Page[T]:
    """Up to `limit` items, fetched some at a time until their sizes make `most`."""
    items: list[T] = []
    total = 0
    while True:
        page = await fetch(min(limit - len(items), _STEP), after)
        items += page.items
        total += sum(size(item) for item in page.items)
        after = page.next_key
        if after is None or len(items) >= limit or total >= most:
            return Page(items, after)
