# ruff: noqa: N802, ARG002  (the methods' names and arguments are the proto's)
"""AdminService: what server is this, and is it well? Answers from the first moment."""

from __future__ import annotations

import os
import time
from functools import cache
from importlib import metadata
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from memsvc_proto.v1 import admin_pb2, admin_pb2_grpc

from memsvc.server.services import Services

_Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """Serves `memsvc.v1.AdminService`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._started = time.time()
        self._clock = time.monotonic()

    async def GetServerInfo(
        self, request: admin_pb2.GetServerInfoRequest, context: _Context
    ) -> admin_pb2.ServerInfo:
        engine = self._services.engine
        health = engine.health()
        started, uptime = Timestamp(), Duration()
        started.FromNanoseconds(int(self._started * 1e9))
        uptime.FromNanoseconds(int((time.monotonic() - self._clock) * 1e9))
        state = "READY" if health.serving else "FAILED"
        if engine.model_state == "LOADING":
            state = "LOADING"
        return admin_pb2.ServerInfo(
            version=version(),
            model=engine.identity.model if engine.identity else "",
            identity_digest=self._services.identity_digest,
            state=state,
            state_reason=health.reason,
            pid=os.getpid(),
            start_time=started,
            uptime=uptime,
        )


@cache  # reading it takes longer than the rest of a call
def version() -> str:
    """The installed memsvc's version; "unknown" in a tree that was never installed."""
    try:
        return metadata.version("memsvc")
    except metadata.PackageNotFoundError:
        return "unknown"
