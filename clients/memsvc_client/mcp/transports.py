"""How an MCP server is reached: stdin and stdout, or streamable HTTP. Both end by SIGTERM or
Ctrl-C as they do when the client leaves. Knows no tools."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from memsvc_client.cli.output import Output
from memsvc_client.listening import address_of, is_loopback, on_signals, open_socket, serve

PATH: Final = "/mcp"
LOOPBACK: Final = "127.0.0.1"
# A text of 1 MiB takes up to six times that as JSON with escapes.
BODY_BYTES: Final = 8 * 2**20
_READ_BYTES = 65_536
_REACHABLE = (
    "WARNING: {address} can be reached from other machines. There is no password and no "
    "encryption: whoever reaches it can read and forget this memory. Better listen on 127.0.0.1, "
    "behind a proxy that knows its users."
)


class ListenError(Exception):
    """The address is wrong, or taken."""


async def over_stdio(server: MCPServer[Any]) -> None:
    """Serve who started this process, until stdin ends."""
    if sys.platform == "win32":  # There the signals end the process at once.
        await server.run_stdio_async()
        return
    with on_signals(_endable_stdin()):
        await server.run_stdio_async()


def listen(address: str) -> socket.socket:
    """A socket at `[HOST:]PORT`, by default of loopback. Raises ListenError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or LOOPBACK
    if not port.isascii() or not port.isdigit():
        raise ListenError(f"--http {address!r} is not HOST:PORT or PORT")
    try:
        return open_socket(host, int(port))
    except (OSError, OverflowError) as error:
        raise ListenError(f"--http {address}: {error}") from None


async def over_http(server: MCPServer[Any], listening: socket.socket, output: Output) -> None:
    """Serve whoever comes to the socket, until a signal."""
    host, address = address_of(listening)
    protection = None
    if is_loopback(host):
        protection = _against_rebinding(host)
    else:
        output.say(_REACHABLE.format(address=address), "bold red")
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=BODY_BYTES,
        transport_security=protection,
        host=host.strip("[]"),
    )
    await serve(
        app, listening, lambda: output.out.print(f"memsvc mcp ready on http://{address}{PATH}")
    )


def _against_rebinding(shown: str) -> TransportSecuritySettings:
    """Lets in requests that were sent to loopback, and from no web page of elsewhere."""
    names = ("127.0.0.1", "localhost", "[::1]", shown)
    return TransportSecuritySettings(
        allowed_hosts=[f"{name}:*" for name in names],
        allowed_origins=[f"http://{name}:*" for name in names],
    )


def _endable_stdin() -> Callable[[], None]:
    """Puts a relay before stdin; what is returned ends it, at once and more than once.

    A read of stdin itself cannot be ended from here, and the server would wait for it.
    """
    source = os.dup(0)
    inner, outer = socket.socketpair()
    os.dup2(inner.fileno(), 0)
    inner.close()

    def stop() -> None:
        with suppress(OSError):
            outer.shutdown(socket.SHUT_RDWR)

    def relay() -> None:
        with suppress(OSError):
            while chunk := os.read(source, _READ_BYTES):
                outer.sendall(chunk)
        with suppress(OSError):
            outer.shutdown(socket.SHUT_WR)

    threading.Thread(target=relay, name="stdin", daemon=True).start()
    return stop
