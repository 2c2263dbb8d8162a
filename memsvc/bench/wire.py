"""An engine behind gRPC on loopback, in this process, and the SDK in front of it.

Knows the server and the SDK; nothing of questions or measures.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from memsvc_client import AsyncMemoryClient

from memsvc.engine import Engine
from memsvc.pagination import PageTokens
from memsvc.server.app import Application
from memsvc.server.services import Services
from memsvc.telemetry import Metrics

_TOKEN_SECONDS = 3600.0


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[AsyncMemoryClient]:
    """A client of the engine; the server ends with it, the engine does not."""
    tokens = PageTokens(secrets.token_bytes(32), _TOKEN_SECONDS)
    application = Application(Services(engine, tokens), Metrics())
    address = await application.start("127.0.0.1:0")
    try:
        async with AsyncMemoryClient(address) as client:
            yield client
    finally:
        await application.drain(0)
