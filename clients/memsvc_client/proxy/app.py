"""The proxy's HTTP: chat completions with memory, everything else as it is.

Needs starlette and httpx. Knows no verbs of memsvc; no text that passes reaches the log.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from memsvc_client.errors import MemsvcError
from memsvc_client.proxy.memory import Remembering, Reminder
from memsvc_client.proxy.messages import Said, answer_in, parsed, said

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SESSION_HEADER: Final = "x-memsvc-session"
AGENT_HEADER: Final = "x-memsvc-agent"
_EVENTS = "text/event-stream"
# What belongs to one connection, and what httpx makes anew.
_OWN = {"connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization"}
_OWN |= {"te", "trailer", "transfer-encoding", "upgrade"}
_NOT_UP = _OWN | {SESSION_HEADER, AGENT_HEADER, "accept-encoding"}
_NOT_DOWN = _OWN | {"content-encoding"}
_Headers = list[tuple[bytes, bytes]]
_Keep = Callable[[bytes, bool], Awaitable[None]]


@dataclass(frozen=True)
class Way:
    """How requests go: to the API at `url`, with `key` in place of the caller's where there is one;
    as `agent` where they name none; `required`: rather not at all than without memory."""

    url: str
    key: str | None
    agent: str
    required: bool


class Proxy:
    """Forwards by `http`; `warn` tells people."""

    def __init__(
        self, memory: Remembering, http: httpx.AsyncClient, way: Way, warn: Callable[[str], None]
    ) -> None:
        self._memory, self._http, self._way, self._warn = memory, http, way, warn
        self._run = f"proxy-{uuid4()}"

    def app(self) -> Starlette:
        """The routes."""
        chat = Route("/v1/chat/completions", self._chat, methods=["POST"])
        return Starlette(routes=[chat, Route("/v1/{rest:path}", self._pass, methods=METHODS)])

    async def _pass(self, request: Request) -> Response:
        return await self._forward(request, await request.body(), None)

    async def _chat(self, request: Request) -> Response:
        body = await request.body()
        asked = parsed(body)
        if asked is None:  # Upstream says what is wrong with it.
            return await self._forward(request, body, None)
        heard = said(asked["messages"], request.headers.get("idempotency-key", ""))
        session = request.headers.get(SESSION_HEADER) or asked.get("user") or self._run
        agent = request.headers.get(AGENT_HEADER, self._way.agent)
        try:
            reminder = await self._memory.remind(heard, str(session), agent)
        except (MemsvcError, TimeoutError) as error:
            self._warn(f"A request had no memory: {_name(error)}")
            if self._way.required:
                return _refusal(503, "memory_unavailable", f"memsvc: {_name(error)}")
            return await self._forward(request, body, None)
        if reminder.text:
            told = {"role": "system", "content": reminder.text}
            body = json.dumps({**asked, "messages": [told, *asked["messages"]]}).encode()
        return await self._forward(request, body, self._keeper(heard, reminder))

    def _keeper(self, heard: Said, reminder: Reminder) -> _Keep:
        async def keep(answer: bytes, streamed: bool) -> None:
            text = answer_in(answer, streamed)
            if not text.strip():
                return
            try:
                await self._memory.keep(reminder.chat, heard.answer(text))
            except (MemsvcError, TimeoutError) as error:
                self._warn(f"An answer was not kept: {_name(error)}")

        return keep

    async def _forward(self, request: Request, body: bytes, keep: _Keep | None) -> Response:
        """Upstream's answer; `keep` takes it in before its end reaches the caller."""
        if ".." in request.url.path.split("/"):
            return _refusal(404, "not_found", "no such path")
        path = request.scope["raw_path"].removeprefix(b"/v1") + b"?" + request.scope["query_string"]
        url = self._way.url.rstrip("/") + path.decode("latin-1").removesuffix("?")
        headers = _kept(request.headers.raw, _NOT_UP)
        if self._way.key is not None:
            headers = [one for one in headers if one[0].lower() != b"authorization"]
            headers.append((b"authorization", f"Bearer {self._way.key}".encode()))
        sent = self._http.build_request(request.method, url, headers=headers, content=body)
        try:
            answer = await self._http.send(sent, stream=True)
            streams = keep is None or _EVENTS in answer.headers.get("content-type", "")
            content = b"" if streams else await answer.aread()
        except httpx.HTTPError as error:
            self._warn(f"Upstream did not answer: {type(error).__name__}")
            return _refusal(502, "upstream_unreachable", "the proxy's upstream does not answer")
        keep = keep if answer.is_success else None
        response: Response
        if streams:
            response = StreamingResponse(_relayed(answer, keep), answer.status_code)
            response.raw_headers = _kept(answer.headers.raw, _NOT_DOWN)
            return response
        if keep is not None:
            await keep(content, False)
        response = Response(content, answer.status_code)
        response.raw_headers += _kept(answer.headers.raw, _NOT_DOWN)
        return response


async def _relayed(answer: httpx.Response, keep: _Keep | None) -> AsyncIterator[bytes]:
    heard = bytearray()
    try:
        async for chunk in answer.aiter_bytes():
            if keep is not None:
                heard += chunk
                # Who has read this may go on, or leave: then the answer has to be kept already.
                if heard[-16:].rstrip().endswith(b"[DONE]"):
                    await keep(bytes(heard), True)
                    keep = None
            yield chunk
        if keep is not None:
            await keep(bytes(heard), True)
    finally:
        await answer.aclose()


def _kept(headers: Iterable[tuple[bytes, bytes]], left_out: set[str]) -> _Headers:
    return [one for one in headers if one[0].decode("latin-1").lower() not in left_out]


def _name(error: MemsvcError | TimeoutError) -> str:
    """What an error is called; its message may tell what was said."""
    if not isinstance(error, MemsvcError):
        return "DEADLINE_EXCEEDED"
    name = f"{error.code}/{error.reason}" if error.reason else error.code
    return f"{name} (request {error.request_id})" if error.request_id else name


def _refusal(status: int, kind: str, message: str) -> JSONResponse:
    """An error of the proxy itself, as clients of the protocol read errors."""
    error = {"message": message, "type": kind, "param": None, "code": kind}
    return JSONResponse({"error": error}, status)
