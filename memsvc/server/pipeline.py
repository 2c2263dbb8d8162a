"""What wraps every call of memsvc's services, from the outside in: request id, telemetry, errors,
draining, authentication, validation of the message.

Errors stand outside authentication and validation because they put those refusals on the wire,
too. Knows gRPC and the error table, no service. Health and reflection pass by untouched: probes
carry no key, and the schema is public.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio

from memsvc import telemetry
from memsvc.errors import ApiError, Reason, invalid, shutting_down, to_status, translate
from memsvc.server.wire import Malformed, tolerant

REQUEST_ID_HEADER = "x-request-id"
STATUS_TRAILER = "grpc-status-details-bin"
_PREFIX = "/memsvc."
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger("memsvc.calls")


@dataclass(frozen=True)
class Call:
    """One call in progress. `method` is `/package.Service/Method`."""

    method: str
    context: grpc.aio.ServicerContext[Any, Any]
    metadata: dict[str, str]

    @property
    def request_id(self) -> str:
        """The caller's own id of this call, or one of ours."""
        return telemetry.request_id.get()


Layer = Callable[[Call], AbstractAsyncContextManager[None]]


class Pipeline(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # no generic at run time
    """Runs every memsvc call inside the given layers, the first outermost."""

    def __init__(self, layers: Sequence[Layer], classes: dict[str, type[Any]]) -> None:
        """`classes`: the request message of every method, by its full path."""
        self._layers = layers
        self._classes = classes

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Wrap the handler of a memsvc method; leave all others alone."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_PREFIX):
            return handler
        return self._wrapped(method, handler)

    def _wrapped(self, method: str, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        codecs = {
            "request_deserializer": tolerant(self._classes[method]),
            "response_serializer": handler.response_serializer,
        }

        async def unary(request: Any, context: Any) -> Any:
            async with self._entered(method, context):
                return await handler.unary_unary(_parsed(request), context)

        async def consume(requests: Any, context: Any) -> Any:
            async with self._entered(method, context):
                return await handler.stream_unary(_all_parsed(requests), context)

        async def stream(request: Any, context: Any) -> None:
            # Written here, not yielded: so a caller who goes away is felt inside the layers.
            async with (
                self._entered(method, context),
                aclosing(handler.unary_stream(_parsed(request), context)) as events,
            ):
                async for event in events:
                    await context.write(event)

        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(consume, **codecs)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(stream, **codecs)
        return grpc.unary_unary_rpc_method_handler(unary, **codecs)

    @asynccontextmanager
    async def _entered(self, method: str, context: Any) -> AsyncIterator[None]:
        metadata = {
            key: value
            for key, value in context.invocation_metadata() or ()
            if isinstance(value, str)
        }
        async with AsyncExitStack() as stack:
            for layer in self._layers:
                await stack.enter_async_context(layer(Call(method, context, metadata)))
            yield


@asynccontextmanager
async def request_id(call: Call) -> AsyncIterator[None]:
    """Name the call: in logs, in errors and in the trailer `x-request-id`."""
    given = call.metadata.get(REQUEST_ID_HEADER, "")
    name = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    telemetry.request_id.set(name)
    call.context.set_trailing_metadata(((REQUEST_ID_HEADER, name),))
    yield


def measured(metrics: telemetry.Metrics) -> Layer:
    """Count, time and log each call: its method and code, never its content."""

    @asynccontextmanager
    async def layer(call: Call) -> AsyncIterator[None]:
        method = call.method.rpartition("/")[2]
        started = time.perf_counter()
        code = grpc.StatusCode.CANCELLED.name
        metrics.call_began()
        try:
            yield
            code = grpc.StatusCode.OK.name
        except grpc.aio.AbortError:
            code = _code_name(call.context.code())
            raise
        finally:
            seconds = time.perf_counter() - started
            metrics.call_ended(method, code, seconds)
            data = {"method": method, "code": code, "milliseconds": round(seconds * 1000, 2)}
            _log.info("call", extra={"data": data})

    return layer


def errors(model_failed: Callable[[], bool]) -> Layer:
    """Put every refusal and every fault on the wire as a google.rpc.Status."""

    @asynccontextmanager
    async def layer(call: Call) -> AsyncIterator[None]:
        try:
            yield
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            refusal = translate(error, model_failed())
            if refusal.reason is Reason.INTERNAL:
                _log.exception("a call failed by a fault of the server")
            status = to_status(refusal, call.request_id).SerializeToString()
            trailers = ((STATUS_TRAILER, status), (REQUEST_ID_HEADER, call.request_id))
            await call.context.abort(refusal.reason.code, refusal.message, trailers)

    return layer


def refused_while(draining: asyncio.Event) -> Layer:
    """Refuse what arrives while the server drains: another one, or this one later, can serve it."""

    @asynccontextmanager
    async def layer(_: Call) -> AsyncIterator[None]:
        if draining.is_set():
            raise shutting_down()
        yield

    return layer


def authenticated(keys: Sequence[str]) -> Layer:
    """Refuse callers without one of the keys; without any keys everyone is let in."""
    known = [key.encode() for key in keys]

    @asynccontextmanager
    async def layer(call: Call) -> AsyncIterator[None]:
        scheme, _, sent = call.metadata.get("authorization", "").partition(" ")
        # Every key is compared, in constant time: the time taken tells nothing about them.
        matches = [hmac.compare_digest(sent.strip().encode(), key) for key in known]
        if known and not (scheme.lower() == "bearer" and any(matches)):
            message = "send one of the server's keys as `authorization: Bearer KEY`"
            raise ApiError(Reason.API_KEY_REQUIRED, message)
        yield

    return layer


def _parsed(request: Any) -> Any:
    if isinstance(request, Malformed):
        raise invalid(request.field, request.problem, Reason.INVALID_ENCODING)
    return request


async def _all_parsed(requests: Any) -> AsyncIterator[Any]:
    async for request in requests:
        yield _parsed(request)


def _code_name(code: Any) -> str:
    return code.name if isinstance(code, grpc.StatusCode) else str(code)
