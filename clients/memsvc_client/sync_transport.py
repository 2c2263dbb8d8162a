"""Runs calls over a blocking gRPC channel. Knows no verbs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from memsvc_client.call import Call
from memsvc_client.errors import from_rpc
from memsvc_client.transport import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT,
    call_metadata,
    channel_options,
    closed_error,
)

T = TypeVar("T")


class SyncTransport:
    """A channel to one server; safe to share between threads.

    `timeout`: seconds for each call that names none. `api_key`: sent with every call.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        api_key: str | None = None,
    ) -> None:
        self._timeout = timeout
        self._api_key = api_key
        self._channel: grpc.Channel | None = grpc.insecure_channel(target, channel_options(target))

    def close(self) -> None:
        """End running calls (they raise Cancelled) and shed the channel. May be called twice."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, call: Call[T], timeout: float | None) -> T:
        """One request, one response. Raises MemsvcError."""
        method = self._open().unary_unary(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        try:
            response = method(
                call.request,
                timeout=self._timeout if timeout is None else timeout,
                metadata=call_metadata(self._api_key, call.call_id),
            )
        except grpc.RpcError as error:
            raise from_rpc(error, call.call_id) from None
        return call.convert(response)

    def _send(self, call: Call[T], messages: Sequence[Message], timeout: float | None) -> T:
        """A stream of requests, one response. Raises MemsvcError."""
        method = self._open().stream_unary(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        try:
            response = method(
                iter(messages),
                timeout=self._timeout if timeout is None else timeout,
                metadata=call_metadata(self._api_key, call.call_id),
            )
        except grpc.RpcError as error:
            raise from_rpc(error, call.call_id) from None
        return call.convert(response)

    def _receive(self, call: Call[T | None], timeout: float | None) -> Generator[T, None, None]:
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
            for response in responses:
                if (item := call.convert(response)) is not None:
                    yield item
        except grpc.RpcError as error:
            raise from_rpc(error, call.call_id) from None
        finally:
            responses.cancel()  # type: ignore[no-untyped-call]

    def _open(self) -> grpc.Channel:
        if self._channel is None:
            raise closed_error()
        return self._channel
