"""`memsvc proxy` in a process of its own, before an API that keeps what it was asked."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.e2e_support import environment

READY = re.compile(r"memsvc proxy ready on (http://\S+)\n")


@dataclass
class Upstream:
    """An OpenAI-compatible API that says `answer`, or fails with `status` where that is no 200."""

    url: str
    answer: str = "Noted."
    status: int = 200
    broken: bool = False
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def chat(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        if self.status != 200:
            error = {"error": {"message": "too many", "type": "limit"}}
            return JSONResponse(error, self.status, {"retry-after": "7"})
        if self.bodies[-1].get("stream"):
            return StreamingResponse(self._events(), media_type="text/event-stream")
        message = {"role": "assistant", "content": self.answer}
        return JSONResponse({"choices": [{"index": 0, "message": message}], "odd": [1.5, None]})

    async def _events(self) -> AsyncIterator[str]:
        for event in self.events():
            yield event

    def events(self) -> list[str]:
        """What a stream is made of; a broken one has no end."""
        pieces: list[dict[str, Any]] = [
            {"delta": {"content": one}} for one in re.findall(r"\S+\s*", self.answer)
        ]
        ends: list[dict[str, Any]] = [] if self.broken else [{"delta": {}, "finish_reason": "stop"}]
        lines = [json.dumps({"choices": [{"index": 0, **one}]}) for one in [*pieces, *ends]]
        return [f"data: {one}\n\n" for one in [*lines, *([] if self.broken else ["[DONE]"])]]

    async def models(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        return JSONResponse({"asked": request.url.query}, headers={"x-kind": "models"})

    def system(self) -> str:
        """What memory put before the last request's messages; "" if nothing."""
        first = self.bodies[-1]["messages"][0]
        return str(first["content"]) if first["role"] == "system" else ""


@contextmanager
def upstream() -> Iterator[Upstream]:
    """Serve one in a thread, on a free port."""
    listening = socket.create_server(("127.0.0.1", 0))
    api = Upstream(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
    routes = [
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/models", api.models),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield api
    server.should_exit = True
    thread.join(10)


def command(url: str, target: str, *more: str) -> list[str]:
    """How the proxy is started before `url`."""
    ours = ["proxy", "--upstream", url, "--server", target, "--port", "0", *more]
    return [sys.executable, "-m", "memsvc_client.cli", *ours]


@dataclass
class Proxied:
    """A running proxy; `said`: all that it told, once it has ended."""

    url: str
    said: str = ""


@contextmanager
def proxied(
    url: str, target: str, log: Path, *more: str, env: dict[str, str] | None = None
) -> Iterator[Proxied]:
    """The command on a free port; ended by SIGTERM, which it takes as the end of its work."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command(url, target, *more),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**environment(), **(env or {})},
        )
    assert process.stdout is not None
    try:
        ready = READY.fullmatch(process.stdout.readline())
        assert ready is not None, log.read_text()
        running = Proxied(ready[1])
        yield running
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
        running.said = process.stdout.read() + log.read_text()
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()
