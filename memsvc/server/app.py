"""The assembled gRPC server: servicers, pipeline, health, reflection and channel options.

Knows how the parts fit; `memsvc.serve` decides when it starts and stops.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import grpc.aio
from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_NAME
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]
from grpc_reflection.v1alpha import reflection
from memsvc_proto.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    bank_pb2,
    bank_pb2_grpc,
    document_pb2,
    document_pb2_grpc,
    feedback_pb2,
    feedback_pb2_grpc,
    memory_pb2,
    memory_pb2_grpc,
    operation_pb2,
    operation_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
)

from memsvc.server import pipeline
from memsvc.server.admin import AdminServicer
from memsvc.server.banks import BankServicer
from memsvc.server.documents import DocumentServicer
from memsvc.server.feedback import FeedbackServicer
from memsvc.server.memory import MemoryServicer
from memsvc.server.operations import OperationServicer
from memsvc.server.services import Services
from memsvc.server.sessions import SessionServicer
from memsvc.telemetry import Metrics

MAX_MESSAGE_BYTES = 64 << 20
HEALTH_SECONDS = 0.25
_ROUND_SECONDS = 0.02
_QUIET_ROUNDS = 5
_FAREWELL_SECONDS = 0.1  # in which gRPC tells clients to go, rather than cut them off
_FILES: tuple[FileDescriptor, ...] = (
    admin_pb2.DESCRIPTOR,
    bank_pb2.DESCRIPTOR,
    document_pb2.DESCRIPTOR,
    feedback_pb2.DESCRIPTOR,
    memory_pb2.DESCRIPTOR,
    operation_pb2.DESCRIPTOR,
    session_pb2.DESCRIPTOR,
)
SERVICE_NAMES = tuple(
    service.full_name for file in _FILES for service in file.services_by_name.values()
)
_SERVICERS: Sequence[tuple[Callable[..., None], Callable[[Services], object]]] = (
    (admin_pb2_grpc.add_AdminServiceServicer_to_server, AdminServicer),
    (bank_pb2_grpc.add_BankServiceServicer_to_server, BankServicer),
    (document_pb2_grpc.add_DocumentServiceServicer_to_server, DocumentServicer),
    (feedback_pb2_grpc.add_FeedbackServiceServicer_to_server, FeedbackServicer),
    (memory_pb2_grpc.add_MemoryServiceServicer_to_server, MemoryServicer),
    (operation_pb2_grpc.add_OperationServiceServicer_to_server, OperationServicer),
    (session_pb2_grpc.add_SessionServiceServicer_to_server, SessionServicer),
)
_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # gRPC's default of five minutes would drop clients that ping through a long answer.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A second server on a taken port must fail, not silently share its calls.
    ("grpc.so_reuseport", 0),
)


class Application:
    """A gRPC server over one engine."""

    def __init__(self, services: Services, metrics: Metrics, keys: Sequence[str] = ()) -> None:
        self._services = services
        self._metrics = metrics
        self._health = health_aio.HealthServicer()
        engine = services.engine
        layers = [
            pipeline.request_id,
            pipeline.measured(metrics),
            pipeline.errors(lambda: engine.model_state == "FAILED"),
            pipeline.refused_while(services.draining),
            pipeline.authenticated(keys),
        ]
        wrapping = pipeline.Pipeline(layers, _request_classes())
        self._server = grpc.aio.server(interceptors=[wrapping], options=_OPTIONS)
        self._register()
        self._watcher: asyncio.Task[None] | None = None

    async def start(self, listen: str) -> str:
        """Bind, serve and return the bound `HOST:PORT`. Raises OSError if that cannot be."""
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}: is it in use?") from error
        await self._report_health()
        await self._server.start()
        self._watcher = asyncio.create_task(self._watch_health())
        return f"{listen.rpartition(':')[0]}:{port}"

    async def drain(self, grace_seconds: float) -> None:
        """Turn health NOT_SERVING, refuse new calls, let those in flight end within the grace."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        await self._health.enter_graceful_shutdown()
        self._services.draining.set()
        # The port stays open: a late caller is told why, where gRPC would cancel some of them.
        # A call that was on its way in is counted a moment later, hence some quiet first.
        # Health watchers never end by themselves; only memsvc's own calls are worth waiting for.
        over = time.monotonic() + grace_seconds
        quiet = 0
        while quiet < _QUIET_ROUNDS and time.monotonic() < over:
            await asyncio.sleep(_ROUND_SECONDS)
            quiet = 0 if self._metrics.calls_in_flight() else quiet + 1
        await self._server.stop(_FAREWELL_SECONDS)

    def _register(self) -> None:
        server = self._server
        for add, servicer in _SERVICERS:
            add(servicer(self._services), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (*SERVICE_NAMES, HEALTH_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)

    async def _watch_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            await self._report_health()

    async def _report_health(self) -> None:
        status = health_pb2.HealthCheckResponse.NOT_SERVING
        if self._services.engine.health().serving:
            status = health_pb2.HealthCheckResponse.SERVING
        for name in ("", *SERVICE_NAMES):
            await self._health.set(name, status)


def _request_classes() -> dict[str, type[Any]]:
    """The request message of every memsvc method, by `/package.Service/Method`."""
    return {
        f"/{service.full_name}/{method.name}": message_factory.GetMessageClass(method.input_type)
        for file in _FILES
        for service in file.services_by_name.values()
        for method in service.methods
    }
