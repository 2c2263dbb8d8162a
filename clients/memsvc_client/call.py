"""One verb of the API as a value: path, request, and what to make of the response.

Both clients run the same `Call`s; only how they wait differs. Knows no channels and no verbs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from google.protobuf.message import Message

T = TypeVar("T")
M = TypeVar("M", bound=Message)


def new_uuid() -> str:
    """A fresh id: names a call, or (as `request_id`) makes a write safe to repeat."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call. `convert` turns a response of type `response` into what the caller gets;
    `call_id` names the call in the server's log."""

    path: str
    request: Message
    response: type[Message]
    convert: Callable[[Message], T]
    call_id: str = field(default_factory=new_uuid)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items of a listing; an empty `next_page_token` means that it was the last page."""

    items: tuple[T, ...]
    next_page_token: str


def make_call(
    method: str,
    request: Message,
    response: type[M],
    convert: Callable[[M], T],
    call_id: str | None = None,
) -> Call[T]:
    """`method`: `Service/Method` of package memsvc.v1."""

    def checked(message: Message) -> T:
        assert isinstance(message, response)
        return convert(message)

    return Call(f"/memsvc.v1.{method}", request, response, checked, call_id or new_uuid())
