"""Runs calls over an asyncio gRPC channel. Knows no verbs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from memsvc_client.call import Call
from memsvc_client.errors import Cancelled, from_rpc
from memsvc_client.transport import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT,
    call_metadata,
    channel_options,
    closed_error,
)

T = TypeVar("T")


class AsyncTransport:
    """A channel to one server, for one event loop.

    `timeout`: seconds for each call that names none. `api_key`: sent with every call.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        api_key: str | None = None,
    ) -> None:
        self._target = target
        self._timeout = timeout
        self._api_key = api_key
        self._channel: grpc.aio.Channel | None = None
        self._closed = False

    async def close(self) -> None:
        """End running calls (they raise Cancelled) and shed the channel. May be called twice."""
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, call: Call[T], timeout: float | None) -> T:
        """One request, one response. Raises MemsvcError."""
        method = self._open().unary_unary(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        try:
            response = await method(
                call.request,
                timeout=self._timeout if timeout is None else timeout,
                metadata=call_metadata(self._api_key, call.call_id),
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error, call.call_id) from None
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise
        return call.convert(response)

    async def _send(self, call: Call[T], messages: Sequence[Message], timeout: float | None) -> T:
        """A stream of requests, one response. Raises MemsvcError."""
        method = self._open().stream_unary(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        try:
            response = await method(
                iter(messages),
                timeout=self._timeout if timeout is None else timeout,
                metadata=call_metadata(self._api_key, call.call_id),
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error, call.call_id) from None
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise
        return call.convert(response)

    async def _receive(
        self, call: Call[T | None], timeout: float | None
    ) -> AsyncGenerator[T, None]:
        """One request, a stream of responses (those converted to None are skipped).

        Leaving it early cancels the call.
        """
        method = self._open().unary_stream(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        responses = method(
            call.request,
            timeout=self._timeout if timeout is None else timeout,
            metadata=call_metadata(self._api_key, call.call_id),
        )
        try:
            async for response in responses:
                if (item := call.convert(response)) is not None:
                    yield item
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error, call.call_id) from None
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise
        finally:
            responses.cancel()

    def _raise_if_closed(self) -> None:
        """gRPC cancels the awaiting code when a channel closes under it. Unless its own task was
        cancelled, that is an error of the call."""
        task = asyncio.current_task()
        if self._closed and (task is None or not task.cancelling()):
            raise Cancelled("the client was closed", reason="CLIENT_CLOSED") from None

    def _open(self) -> grpc.aio.Channel:
        """The channel, made at the first call, when the event loop runs."""
        if self._closed:
            raise closed_error()
        if self._channel is None:
            options = channel_options(self._target)
            self._channel = grpc.aio.insecure_channel(self._target, options)
        return self._channel
