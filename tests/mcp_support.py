"""`memsvc mcp` in a process of its own, and the real client of the protocol before it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from tests.e2e_support import environment

READY = re.compile(r"memsvc mcp ready on (http://\S+)\n")
Transport = Literal["stdio", "http"]
Mode = Literal["auto", "legacy"]  # the newest protocol, and the one with a handshake
NOBODY = "127.0.0.1:1"


def arguments(target: str, bank: str, *more: str) -> list[str]:
    """What comes after the interpreter's name."""
    return ["-m", "memsvc_client.cli", "mcp", "--server", target, "--bank", bank, *more]


def started(target: str, bank: str, *more: str) -> subprocess.Popen[str]:
    """The command with pipes to all its streams."""
    pipe = subprocess.PIPE
    command = [sys.executable, *arguments(target, bank, *more)]
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment()
    )


@dataclass(frozen=True)
class Http:
    """A server of streamable HTTP."""

    url: str
    process: subprocess.Popen[str]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and what it said to people."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@contextmanager
def serving_http(target: str, bank: str, *more: str, listen: str = "0") -> Iterator[Http]:
    """On a free port; killed at the end if it still runs."""
    with started(target, bank, "--http", listen, *more) as process:
        try:
            assert process.stdout is not None
            ready = READY.fullmatch(process.stdout.readline())
            assert ready is not None, process.communicate()
            yield Http(ready[1], process)
        finally:
            process.kill()


@asynccontextmanager
async def connected(
    transport: Transport, target: str, bank: str, *more: str, mode: Mode = "auto"
) -> AsyncIterator[Client]:
    """The client, connected to a server of its own."""
    if transport == "stdio":
        parameters = StdioServerParameters(
            command=sys.executable, args=arguments(target, bank, *more), env=environment()
        )
        async with Client(parameters, mode=mode) as client:
            yield client
    else:
        with serving_http(target, bank, *more) as http:
            async with Client(http.url, mode=mode) as client:
                yield client


def text(result: CallToolResult) -> str:
    """What a reader sees."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


async def call(client: Client, tool: str, **named: Any) -> dict[str, Any]:
    """The structured outcome of a tool that succeeds."""
    result = await client.call_tool(tool, named)
    assert not result.is_error, text(result)
    assert text(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refused(client: Client, tool: str, **named: Any) -> str:
    """What a tool says that does not succeed."""
    result = await client.call_tool(tool, named)
    assert result.is_error, text(result)
    assert result.structured_content is None
    return text(result)
