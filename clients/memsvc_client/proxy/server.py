"""How the proxy is run: its socket, its clients, who may come to it, how it ends.

Needs starlette, uvicorn and httpx. Knows neither messages nor memories.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.parse import urlsplit

import httpx
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from memsvc_client.async_client import AsyncMemoryClient
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults
from memsvc_client.errors import DeadlineExceeded, Unavailable
from memsvc_client.listening import address_of, is_loopback, open_socket, serve
from memsvc_client.proxy.app import Proxy, Way
from memsvc_client.proxy.memory import Remembering

__all__ = ["Settings", "SettingsError", "Way", "run"]

CONNECT_SECONDS: Final = 10.0
_REACHABLE = (
    "WARNING: {address} can be reached from other machines. There is no password and no "
    "encryption: whoever reaches it can question this memory, and use the upstream's key if it "
    "was given by --upstream-key-env."
)


class SettingsError(Exception):
    """The upstream or the address cannot be used."""


@dataclass(frozen=True)
class Settings:
    """Which bank of which memsvc server, which way requests go, and where to listen. `tokens`: of
    memories; `wait`: seconds that a request waits for them."""

    bank: str
    memsvc: Defaults
    way: Way
    host: str
    port: int
    tokens: int
    wait: float


def run(settings: Settings, output: Output) -> None:
    """Serve until a signal comes. Raises SettingsError, and MemsvcError if the bank cannot be had;
    a memsvc server that is not there yet is only told of."""
    try:
        upstream = httpx.URL(settings.way.url)
    except httpx.InvalidURL:
        upstream = httpx.URL()
    if upstream.scheme not in ("http", "https") or not upstream.host or upstream.query:
        raise SettingsError(f"--upstream {settings.way.url!r} is not a URL of http or https")
    try:
        listening = open_socket(settings.host, settings.port)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"{settings.host} port {settings.port}: {error}") from None
    asyncio.run(_serve(settings, upstream.host, listening, output))


async def _serve(
    settings: Settings, upstream_host: str, listening: socket.socket, output: Output
) -> None:
    at = settings.memsvc
    memsvc = AsyncMemoryClient(at.server, timeout=at.timeout, api_key=at.api_key)
    http = httpx.AsyncClient(
        # Answers may think for minutes, and are relayed as they are: neither unpacked nor awaited.
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        headers={"accept-encoding": "identity"},
        limits=httpx.Limits(max_connections=None),
        # One caller's cookies are not another's.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # A proxy of the environment cannot reach this machine's own loopback.
        trust_env=not is_loopback(upstream_host),
    )
    async with memsvc, http:
        memory = Remembering(memsvc, settings.bank, settings.tokens, settings.wait)
        try:
            await memory.open()
        except (Unavailable, DeadlineExceeded, TimeoutError):
            output.say(f"No memsvc server at {at.server} yet.", "yellow")
        warn = functools.partial(output.say, style="yellow")
        await _listen(Proxy(memory, http, settings.way, warn).app(), listening, output)


async def _listen(app: ASGIApp, listening: socket.socket, output: Output) -> None:
    host, address = address_of(listening)
    if is_loopback(host):
        app = _OnlyLoopback(app)
    else:
        output.say(_REACHABLE.format(address=address), "bold red")

    def ready() -> None:
        output.out.print(f"memsvc proxy ready on http://{address}/v1")

    # Which server answers, and when, is passed on from upstream.
    await serve(app, listening, ready, named=False)


class _OnlyLoopback:
    """Lets in requests that were sent to loopback, and from no web page of elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            sources = [f"//{headers.get('host', '')}", headers.get("origin", "//localhost")]
            if not all(is_loopback(urlsplit(one).hostname or "") for one in sources):
                refused = PlainTextResponse("only for this machine", 403)
                return await refused(scope, receive, send)
        return await self._app(scope, receive, send)
