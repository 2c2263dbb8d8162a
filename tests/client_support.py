"""A small memsvc server on loopback, in memory: for what the client does, not the service.

It speaks the real protocol over a real channel, and can be told to fail. Tests of the service
itself run against the service.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from memsvc_proto.v1 import (
    admin_pb2,
    bank_pb2,
    bank_pb2_grpc,
    document_pb2,
    document_pb2_grpc,
    memory_pb2,
    memory_pb2_grpc,
    operation_pb2,
    operation_pb2_grpc,
)


def status(code: grpc.StatusCode, message: str, *details: Message) -> status_pb2.Status:
    """A google.rpc.Status with packed details."""
    made = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        made.details.append(packed)
    return made


def reason(name: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=name, domain="memsvc")


def abort(context: Any, made: status_pb2.Status) -> None:
    """End a call as the real server does: the status in a trailer."""
    context.set_trailing_metadata((("grpc-status-details-bin", made.SerializeToString()),))
    code = next(one for one in grpc.StatusCode if one.value[0] == made.code)
    context.abort(code, made.message)


@dataclass
class Record:
    """What the server saw and how it shall behave."""

    calls: Counter[str] = field(default_factory=Counter)
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    streams: list[list[Any]] = field(default_factory=list)
    # The next so many calls end in UNAVAILABLE before anything is done.
    unavailable: int = 0
    # What the next call ends in.
    error: status_pb2.Status | None = None
    events: list[memory_pb2.AskEvent] = field(default_factory=list)
    # Set by tests to let the stream of events go on after the first.
    go_on: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    answer_call: Callable[[], None] = lambda: None

    def enter(self, method: str, request: Any, context: Any) -> None:
        self.calls[method] += 1
        self.requests.append(request)
        pairs = context.invocation_metadata()
        self.headers.append({key: value for key, value in pairs if isinstance(value, str)})
        if self.unavailable:
            self.unavailable -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "come again")
        if self.error is not None:
            abort(context, self.error)
        self.answer_call()


class Banks(bank_pb2_grpc.BankServiceServicer):
    def __init__(self, record: Record) -> None:
        self.record = record
        self.names = [f"bank-{number}" for number in range(7)]

    def CreateBank(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("CreateBank", request, context)
        made = bank_pb2.Bank()
        made.CopyFrom(request.bank)
        made.name = f"banks/{request.bank_id}"
        return made

    def GetBank(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("GetBank", request, context)
        return bank_pb2.Bank(name=request.name, etag="e1")

    def ListBanks(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("ListBanks", request, context)
        first = int(request.page_token or 0)
        last = first + (request.page_size or 3)
        page = [bank_pb2.Bank(name=f"banks/{name}") for name in self.names[first:last]]
        token = str(last) if last < len(self.names) else ""
        return bank_pb2.ListBanksResponse(banks=page, next_page_token=token)

    def UpdateBank(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("UpdateBank", request, context)
        return request.bank

    def DeleteBank(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("DeleteBank", request, context)
        return Empty()


class Documents(document_pb2_grpc.DocumentServiceServicer):
    def __init__(self, record: Record) -> None:
        self.record = record

    def _results(self, documents: Sequence[Any]) -> list[Any]:
        refused = status(grpc.StatusCode.ALREADY_EXISTS, "taken", reason("DOCUMENT_EXISTS"))
        return [
            document_pb2.DocumentResult(error=refused)
            if one.document_id == "taken"
            else document_pb2.DocumentResult(
                document=document_pb2.Document(
                    name=f"banks/b/documents/{one.document_id or 'made'}", state="PENDING"
                )
            )
            for one in documents
        ]

    def AddDocuments(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("AddDocuments", request, context)
        operation = operation_pb2.Operation(name="operations/1", total=len(request.documents))
        return document_pb2.AddDocumentsResponse(
            results=self._results(request.documents), operation=operation
        )

    def IngestDocuments(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        messages = list(request_iterator)
        self.record.streams.append(messages)
        self.record.enter("IngestDocuments", messages[0], context)
        name = f"operations/{len(self.record.streams)}"
        return document_pb2.IngestDocumentsResponse(
            results=self._results([one.document for one in messages[1:]]),
            operations=[operation_pb2.Operation(name=name, total=len(messages) - 1)],
        )

    def GetDocument(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("GetDocument", request, context)
        return document_pb2.Document(name=request.name, text="text", state="READY")

    def UpdateDocument(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("UpdateDocument", request, context)
        return document_pb2.UpdateDocumentResponse(document=request.document)

    def DeleteDocument(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("DeleteDocument", request, context)
        return Empty()

    def ForgetDocuments(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("ForgetDocuments", request, context)
        done = request.compact and not request.validate_only
        return document_pb2.ForgetDocumentsResponse(
            document_count=3, version_count=2, session_count=1, text_bytes=2048, compacted=done
        )

    def ListDocumentVersions(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("ListDocumentVersions", request, context)
        first = int(request.page_token or 9)
        one = document_pb2.DocumentVersion(revision=first, title="T", text=f"text {first}")
        token = str(first - 1) if first > 7 else ""
        return document_pb2.ListDocumentVersionsResponse(versions=[one], next_page_token=token)


class Memory(memory_pb2_grpc.MemoryServiceServicer):
    def __init__(self, record: Record) -> None:
        self.record = record

    def Recall(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("Recall", request, context)
        hops = [one.hop for one in self.record.events if one.WhichOneof("event") == "hop"]
        hits = [hit for hop in hops for hit in hop.routed]
        return memory_pb2.RecallResponse(hits=hits, hops=hops)

    def Ask(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self.record.enter("Ask", request, context)
        context.add_callback(self.record.cancelled.set)
        for place, event in enumerate(self.record.events):
            if place == 1 and not self.record.go_on.wait(30):
                return
            yield event


class Operations(operation_pb2_grpc.OperationServiceServicer):
    """Every operation needs three looks until it has ended."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def WaitOperation(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.record.enter("WaitOperation", request, context)
        looks = self.record.calls["WaitOperation"]
        ended = looks >= 3 and not request.name.endswith("/endless")
        state = "DONE" if ended else "RUNNING"
        return operation_pb2.Operation(name=request.name, state=state, total=3, done=min(looks, 3))


def _generic(record: Record) -> list[Any]:
    """Health and admin: one method each."""

    def check(request: Any, context: Any) -> Any:
        record.enter("Check", request, context)
        return health_pb2.HealthCheckResponse(status=1)

    def info(request: Any, context: Any) -> Any:
        record.enter("GetServerInfo", request, context)
        return admin_pb2.ServerInfo(version="0.1.0", state="LOADING", pid=7)

    checking: Any = grpc.unary_unary_rpc_method_handler(
        check,
        health_pb2.HealthCheckRequest.FromString,
        health_pb2.HealthCheckResponse.SerializeToString,
    )
    telling: Any = grpc.unary_unary_rpc_method_handler(
        info, admin_pb2.GetServerInfoRequest.FromString, admin_pb2.ServerInfo.SerializeToString
    )
    return [
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": checking}),
        grpc.method_handlers_generic_handler("memsvc.v1.AdminService", {"GetServerInfo": telling}),
    ]


@contextmanager
def small_server(*more: tuple[Any, Any]) -> Iterator[tuple[str, Record]]:
    """The address of a running server, and its record. `more`: what adds a service to a server, and
    the service's class."""
    record = Record()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    services: list[tuple[Any, Any]] = [
        (bank_pb2_grpc.add_BankServiceServicer_to_server, Banks),
        (document_pb2_grpc.add_DocumentServiceServicer_to_server, Documents),
        (memory_pb2_grpc.add_MemoryServiceServicer_to_server, Memory),
        (operation_pb2_grpc.add_OperationServiceServicer_to_server, Operations),
        *more,
    ]
    for add_to, servicer in services:
        add_to(servicer(record), server)
    server.add_generic_rpc_handlers(tuple(_generic(record)))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", record
    finally:
        record.go_on.set()
        server.stop(None).wait()
