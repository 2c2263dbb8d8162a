"""A real gRPC server on loopback over the small model, and how its refusals are read."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2, status_pb2
from memsvc_proto.v1 import (
    admin_pb2_grpc,
    bank_pb2,
    bank_pb2_grpc,
    document_pb2,
    document_pb2_grpc,
    memory_pb2_grpc,
    operation_pb2,
    operation_pb2_grpc,
    session_pb2_grpc,
)

from memsvc.engine import Engine
from memsvc.pagination import PageTokens
from memsvc.server.app import Application
from memsvc.server.services import Services
from memsvc.telemetry import Metrics
from tests.engine_support import BagModel, running

BANK = "banks/b"


@dataclass
class Served:
    """A running server and a channel to it. Stubs are untyped: grpc's generated code is."""

    channel: grpc.aio.Channel
    address: str
    engine: Engine
    application: Application
    metrics: Metrics
    banks: Any = field(init=False)
    documents: Any = field(init=False)
    memory: Any = field(init=False)
    operations: Any = field(init=False)
    admin: Any = field(init=False)
    sessions: Any = field(init=False)

    def __post_init__(self) -> None:
        self.banks = stub(bank_pb2_grpc.BankServiceStub, self.channel)
        self.documents = stub(document_pb2_grpc.DocumentServiceStub, self.channel)
        self.memory = stub(memory_pb2_grpc.MemoryServiceStub, self.channel)
        self.operations = stub(operation_pb2_grpc.OperationServiceStub, self.channel)
        self.admin = stub(admin_pb2_grpc.AdminServiceStub, self.channel)
        self.sessions = stub(session_pb2_grpc.SessionServiceStub, self.channel)

    async def create_bank(self, bank_id: str = "b", **fields: Any) -> bank_pb2.Bank:
        """Make a bank with these fields."""
        request = bank_pb2.CreateBankRequest(bank_id=bank_id, bank=bank_pb2.Bank(**fields))
        made: bank_pb2.Bank = await self.banks.CreateBank(request)
        return made

    async def add(self, *texts: str, **fields: Any) -> document_pb2.AddDocumentsResponse:
        """Add documents to `banks/b`, named d0, d1, …, and wait until they are encoded."""
        documents = [
            document_pb2.NewDocument(document_id=f"d{index}", text=text, **fields)
            for index, text in enumerate(texts)
        ]
        request = document_pb2.AddDocumentsRequest(parent=BANK, documents=documents)
        added: document_pb2.AddDocumentsResponse = await self.documents.AddDocuments(request)
        await self.done(added.operation)
        return added

    async def done(self, operation: operation_pb2.Operation) -> operation_pb2.Operation:
        """Wait for an operation and see it DONE."""
        request = operation_pb2.WaitOperationRequest(name=operation.name)
        request.timeout.FromSeconds(30)
        ended: operation_pb2.Operation = await self.operations.WaitOperation(request)
        assert ended.state == operation_pb2.Operation.DONE
        return ended


@dataclass
class Refusal:
    """An error as a caller sees it."""

    code: grpc.StatusCode
    message: str
    details: list[Message]
    trailers: dict[str, Any]

    def detail(self, kind: type[Message]) -> Any:
        """The one detail of a kind."""
        found = [detail for detail in self.details if isinstance(detail, kind)]
        assert len(found) == 1, f"{len(found)} details of {kind.__name__} in {self.message}"
        return found[0]

    @property
    def reason(self) -> str:
        info = self.detail(error_details_pb2.ErrorInfo)
        assert info.domain == "memsvc"
        return str(info.reason)

    @property
    def fields(self) -> list[str]:
        """The fields that BadRequest names."""
        return [v.field for v in self.detail(error_details_pb2.BadRequest).field_violations]


_DETAILS: Iterable[type[Message]] = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.RetryInfo,
    error_details_pb2.QuotaFailure,
    error_details_pb2.RequestInfo,
)


async def refused(call: Awaitable[Any] | AsyncIterable[Any]) -> Refusal:
    """Make a call (unary or a stream) that must fail; returns how it did."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _run(call)
    sent: Any = caught.value.trailing_metadata() or ()
    trailers = dict(sent)
    packed = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    assert packed.code == caught.value.code().value[0]
    return Refusal(
        caught.value.code(), caught.value.details() or "", unpacked(packed.details), trailers
    )


def item_refused(status: status_pb2.Status) -> Refusal:
    """The refusal of one document in a batch."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return Refusal(code, status.message, unpacked(status.details), {})


def unpacked(details: Iterable[AnyMessage]) -> list[Message]:
    """The details of a status as the messages they are."""
    messages: list[Message] = []
    for detail in details:
        kind = next(k for k in _DETAILS if detail.TypeName() == k.DESCRIPTOR.full_name)
        message = kind()
        detail.Unpack(message)
        messages.append(message)
    return messages


@asynccontextmanager
async def serving(
    data_dir: Path,
    model: BagModel | Callable[[], BagModel] | None = None,
    ready: bool = True,
    keys: tuple[str, ...] = (),
    token_seconds: float = 3600,
    services: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """A server over an engine, on a port of its own. `services`: further fields of `Services`."""
    async with running(data_dir, model, ready, **settings) as engine:
        metrics = Metrics()
        tokens = PageTokens.open(data_dir, token_seconds)
        application = Application(Services(engine, tokens, **services or {}), metrics, keys)
        address = await application.start("127.0.0.1:0")
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                yield Served(channel, address, engine, application, metrics)
        finally:
            await application.drain(0.2)


async def _run(call: Any) -> None:
    if hasattr(call, "__await__"):
        await call
    else:
        async for _ in call:
            pass


def struct(**values: Any) -> Struct:
    """Metadata as it travels."""
    message = Struct()
    message.update(values)
    return message


def stub(kind: Callable[..., Any], channel: grpc.aio.Channel) -> Any:
    """A stub, untyped as the generated code is."""
    return kind(channel)
