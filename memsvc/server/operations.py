# ruff: noqa: N802, ARG002  (the methods' names and arguments are the proto's)
"""OperationService: follows work that outlives the call that began it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import grpc.aio
from memsvc_proto.v1 import operation_pb2, operation_pb2_grpc
from memsvc_storage import Operation, OperationState

from memsvc.errors import invalid, shutting_down
from memsvc.server import checks, convert, names
from memsvc.server.services import Services

# A wait that is bounded by the call's deadline answers this share of it early, to be in time.
_MARGIN = 0.05
_Context = grpc.aio.ServicerContext[Any, Any]


class OperationServicer(operation_pb2_grpc.OperationServiceServicer):
    """Serves `memsvc.v1.OperationService`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._engine = services.engine

    async def GetOperation(
        self, request: operation_pb2.GetOperationRequest, context: _Context
    ) -> operation_pb2.Operation:
        operation_id = names.parse_operation("name", request.name)
        return convert.operation(await self._engine.get_operation(operation_id))

    async def ListOperations(
        self, request: operation_pb2.ListOperationsRequest, context: _Context
    ) -> operation_pb2.ListOperationsResponse:
        bank = names.parse_bank("bank", request.bank) if request.bank else None
        state = _state(request.state)
        limit = checks.page_size(request.page_size)
        binding = ("ListOperations", bank or "", state or "")
        after = self._services.after_key(request.page_token, *binding)
        page = await self._engine.list_operations(bank, state, limit, after)
        return operation_pb2.ListOperationsResponse(
            operations=[convert.operation(operation) for operation in page.items],
            next_page_token=self._services.tokens.issue(page.next_key, *binding),
        )

    async def WaitOperation(
        self, request: operation_pb2.WaitOperationRequest, context: _Context
    ) -> operation_pb2.Operation:
        operation_id = names.parse_operation("name", request.name)
        remaining = context.time_remaining()
        timeout = None if remaining is None else remaining * (1 - _MARGIN)
        if request.HasField("timeout"):
            asked = request.timeout.seconds + request.timeout.nanos / 1e9
            if asked < 0:
                raise invalid("timeout", "is negative")
            timeout = asked if timeout is None else min(asked, timeout)
        return convert.operation(await self._wait(operation_id, timeout))

    async def CancelOperation(
        self, request: operation_pb2.CancelOperationRequest, context: _Context
    ) -> operation_pb2.Operation:
        operation_id = names.parse_operation("name", request.name)
        return convert.operation(await self._engine.cancel_operation(operation_id))

    async def _wait(self, operation_id: str, timeout: float | None) -> Operation:
        """Wait, but not into the server's end: a caller who hears UNAVAILABLE asks again."""
        waiting = asyncio.ensure_future(self._engine.wait_operation(operation_id, timeout))
        draining = asyncio.ensure_future(self._services.draining.wait())
        try:
            await asyncio.wait({waiting, draining}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise shutting_down()
            return waiting.result()
        finally:
            waiting.cancel()
            draining.cancel()


def _state(value: operation_pb2.Operation.State) -> OperationState | None:
    if value == operation_pb2.Operation.STATE_UNSPECIFIED:
        return None
    if value not in operation_pb2.Operation.State.values():
        raise invalid("state", f"{value} is no state of an operation")
    return cast(OperationState, operation_pb2.Operation.State.Name(value))
