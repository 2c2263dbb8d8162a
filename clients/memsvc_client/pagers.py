"""Listings that fetch page after page as they are read. Knows no channels."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from memsvc_client.call import Page

T = TypeVar("T")


class Pager(Generic[T]):
    """Iterates over all items of all pages; each iteration begins anew.

    `fetch` takes a page token and raises MemsvcError as any call does.
    """

    def __init__(self, fetch: Callable[[str], Page[T]], page_token: str = "") -> None:
        self._fetch = fetch
        self._first = page_token

    def pages(self) -> Iterator[Page[T]]:
        """Page by page, for who keeps `next_page_token` to go on later."""
        token = self._first
        while True:
            page = self._fetch(token)
            yield page
            token = page.next_page_token
            if not token:
                return

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.items


class AsyncPager(Generic[T]):
    """`Pager` for `async for`."""

    def __init__(self, fetch: Callable[[str], Awaitable[Page[T]]], page_token: str = "") -> None:
        self._fetch = fetch
        self._first = page_token

    async def pages(self) -> AsyncIterator[Page[T]]:
        """Page by page, for who keeps `next_page_token` to go on later."""
        token = self._first
        while True:
            page = await self._fetch(token)
            yield page
            token = page.next_page_token
            if not token:
                return

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item
