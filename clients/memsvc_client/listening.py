"""An HTTP server on a socket of its own: which address, until which signal, how it ends.

Needs uvicorn. Knows no requests.
"""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

DRAIN_SECONDS: Final = 3


def open_socket(host: str, port: int) -> socket.socket:
    """Listen at an address, of IPv6 if it has colons. Raises OSError, and OverflowError on a port
    that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def address_of(listening: socket.socket) -> tuple[str, str]:
    """Host and `host:port` of a socket, as a URL has them."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return shown, f"{shown}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host, with or without brackets, is this machine's own and nobody else's."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def serve(
    app: ASGIApp, listening: socket.socket, ready: Callable[[], None], named: bool = True
) -> None:
    """Serve whoever comes to the socket until SIGTERM or Ctrl-C; `ready` is called before. Answers
    say which server they come from, and when, if `named`."""
    # What it tells of a broken connection holds nothing that helps, and may hold what was said.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=DRAIN_SECONDS
    )
    config.server_header = config.date_header = named
    running = uvicorn.Server(config)

    def stop() -> None:
        running.should_exit = True

    # uvicorn, too, stops on a signal, and raises it once more for whoever handled it before.
    with on_signals(stop):
        ready()
        await running.serve(sockets=[listening])


@contextmanager
def on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGTERM and Ctrl-C, until the block ends."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop()

    former = {one: signal.signal(one, handle) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)
