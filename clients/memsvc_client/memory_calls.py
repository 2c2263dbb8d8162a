"""The verbs of MemoryService, OperationService, AdminService and of gRPC health as calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2
from memsvc_proto.v1 import admin_pb2, memory_pb2, operation_pb2

from memsvc_client import memory_wire, wire
from memsvc_client.call import Call, Page, make_call
from memsvc_client.events import AskOptions, Context, Event, Recall, Recency
from memsvc_client.names import bank_name, operation_name
from memsvc_client.resources import HealthStatus, Operation, OperationState, ServerInfo


def recall(
    bank: str,
    question: str,
    options: AskOptions,
    filter: str,
    as_of: datetime | None,
    recency: Recency | None,
) -> Call[Recall]:
    def convert(message: memory_pb2.RecallResponse) -> Recall:
        return memory_wire.recall(message, request.bank, question)

    request = memory_pb2.RecallRequest(
        bank=bank_name(bank),
        question=wire.unicode_only(question, "question"),
        options=memory_wire.options(options),
        filter=filter,
        as_of=wire.to_optional(as_of, "as_of"),
        recency=memory_wire.recency(recency),
    )
    return make_call("MemoryService/Recall", request, memory_pb2.RecallResponse, convert)


def ask(
    bank: str,
    question: str,
    options: AskOptions,
    filter: str,
    as_of: datetime | None,
    recency: Recency | None,
) -> Call[Event | None]:
    """The call answers with a stream; each message of it is converted."""
    request = memory_pb2.AskRequest(
        bank=bank_name(bank),
        question=wire.unicode_only(question, "question"),
        options=memory_wire.options(options),
        filter=filter,
        as_of=wire.to_optional(as_of, "as_of"),
        recency=memory_wire.recency(recency),
    )
    return make_call("MemoryService/Ask", request, memory_pb2.AskEvent, memory_wire.event)


def build_context(
    bank: str,
    query: str,
    max_tokens: int,
    options: AskOptions,
    filter: str,
    as_of: datetime | None,
    recency: Recency | None,
) -> Call[Context]:
    def convert(message: memory_pb2.BuildContextResponse) -> Context:
        sources = tuple(memory_wire.citation(one) for one in message.citations)
        return Context(message.text, sources, message.tokens)

    request = memory_pb2.BuildContextRequest(
        bank=bank_name(bank),
        query=wire.unicode_only(query, "query"),
        max_tokens=max_tokens,
        options=memory_wire.options(options),
        filter=filter,
        as_of=wire.to_optional(as_of, "as_of"),
        recency=memory_wire.recency(recency),
    )
    response = memory_pb2.BuildContextResponse
    return make_call("MemoryService/BuildContext", request, response, convert)


def get_operation(operation: str) -> Call[Operation]:
    request = operation_pb2.GetOperationRequest(name=operation_name(operation))
    return _operation_call("GetOperation", request)


def list_operations(
    bank: str | None, state: OperationState | None, page_size: int, page_token: str
) -> Call[Page[Operation]]:
    def convert(message: operation_pb2.ListOperationsResponse) -> Page[Operation]:
        operations = tuple(wire.operation(one) for one in message.operations)
        return Page(operations, message.next_page_token)

    request = operation_pb2.ListOperationsRequest(
        bank="" if bank is None else bank_name(bank),
        state=state or "STATE_UNSPECIFIED",
        page_size=page_size,
        page_token=page_token,
    )
    response = operation_pb2.ListOperationsResponse
    return make_call("OperationService/ListOperations", request, response, convert)


def wait_operation(operation: str, seconds: float) -> Call[Operation]:
    timeout = Duration()
    timeout.FromMicroseconds(round(seconds * 1e6))
    request = operation_pb2.WaitOperationRequest(name=operation_name(operation), timeout=timeout)
    return _operation_call("WaitOperation", request)


def cancel_operation(operation: str) -> Call[Operation]:
    request = operation_pb2.CancelOperationRequest(name=operation_name(operation))
    return _operation_call("CancelOperation", request)


def _operation_call(
    method: str,
    request: operation_pb2.GetOperationRequest
    | operation_pb2.WaitOperationRequest
    | operation_pb2.CancelOperationRequest,
) -> Call[Operation]:
    response = operation_pb2.Operation
    return make_call(f"OperationService/{method}", request, response, wire.operation)


def server_info() -> Call[ServerInfo]:
    request = admin_pb2.GetServerInfoRequest()
    return make_call("AdminService/GetServerInfo", request, admin_pb2.ServerInfo, wire.server_info)


def health(service: str) -> Call[HealthStatus]:
    """`service`: "" for the whole server, or for example "memsvc.v1.MemoryService"."""

    def convert(message: Any) -> HealthStatus:
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(message.status)
        return cast("HealthStatus", name)

    return Call(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest(service=service),
        health_pb2.HealthCheckResponse,
        convert,
    )
