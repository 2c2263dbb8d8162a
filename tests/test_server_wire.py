"""What holds for every call: malformed messages, keys, request ids, faults, health, metrics."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from memsvc_proto.v1 import admin_pb2, bank_pb2, document_pb2, memory_pb2

from memsvc import errors, telemetry
from memsvc.server import checks
from memsvc.server.app import SERVICE_NAMES
from tests.engine_support import BagModel
from tests.server_support import BANK, Served, refused, serving

_KEY = "0123456789abcdef"
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served


def _raw(server: Served, method: str, body: bytes) -> Any:
    """Send bytes that no generated code would let through."""
    channel: Any = server.channel
    return channel.unary_unary(f"/memsvc.v1.{method}")(body)


def _string(number: int, value: bytes) -> bytes:
    """A length-delimited field of under 128 bytes, as it travels."""
    return bytes([number << 3 | 2, len(value)]) + value


_ADD = _string(1, BANK.encode()) + _string(2, _string(3, b"ok")) + _string(2, _string(3, b"\xe9"))
_MALFORMED = [
    ("BankService/GetBank", _string(1, b"banks/\xff"), "name"),
    ("BankService/CreateBank", _string(2, _string(2, b"\xc3\x28")), "bank.display_name"),
    ("DocumentService/AddDocuments", _ADD, "documents[1].text"),
    ("MemoryService/Recall", _string(2, b"\xed\xa0\x80"), "question"),
    ("BankService/GetBank", b"\x0a\x7fcut", "request"),
    ("BankService/GetBank", b"\xff\xff\xff", "request"),
    ("BankService/GetBank", b"\x0b\x01", "request"),
]


async def test_malformed_messages_are_the_callers_mistake(server: Served) -> None:
    for method, body, field in _MALFORMED:
        refusal = await refused(_raw(server, method, body))
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
        assert (refusal.fields, refusal.reason) == ([field], "INVALID_ENCODING")


async def test_a_malformed_message_in_a_stream_is_named(server: Served) -> None:
    await server.create_bank()
    header = document_pb2.IngestHeader(parent=BANK).SerializeToString()
    messages = [_string(1, header), _string(2, _string(3, b"\xff"))]
    channel: Any = server.channel
    call = channel.stream_unary("/memsvc.v1.DocumentService/IngestDocuments")
    refusal = await refused(call(iter(messages)))
    assert (refusal.code, refusal.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["document.text"],
    )
    stream = channel.unary_stream("/memsvc.v1.MemoryService/Ask")
    refusal = await refused(stream(_string(2, b"\xff")))
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["question"])


async def test_unknown_methods_are_unimplemented(server: Served) -> None:
    for method in ("BankService/Nothing", "NoService/GetBank"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _raw(server, method, b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_every_call_has_a_request_id(server: Served) -> None:
    call = server.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
    await call
    made = dict(await call.trailing_metadata())["x-request-id"]
    assert len(made) == 32
    headers = (("x-request-id", "my-call.7"),)
    call = server.admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), metadata=headers)
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "my-call.7"
    request = bank_pb2.GetBankRequest(name="banks/none")
    refusal = await refused(server.banks.GetBank(request, metadata=headers))
    assert refusal.trailers["x-request-id"] == "my-call.7"
    assert refusal.detail(error_details_pb2.RequestInfo).request_id == "my-call.7"
    odd = (("x-request-id", "two words"),)
    refusal = await refused(server.banks.GetBank(request, metadata=odd))
    assert len(refusal.trailers["x-request-id"]) == 32


async def test_with_keys_every_call_needs_one(tmp_path: Path) -> None:
    async with serving(tmp_path, keys=("another-key-of-ours", _KEY)) as server:
        request = admin_pb2.GetServerInfoRequest()
        for headers in (
            (),
            (("authorization", "Bearer wrong"),),
            (("authorization", f"Basic {_KEY}"),),
            (("authorization", "Bearer "),),
        ):
            refusal = await refused(server.admin.GetServerInfo(request, metadata=headers))
            assert refusal.code == grpc.StatusCode.UNAUTHENTICATED
            assert refusal.reason == "API_KEY_REQUIRED"
        good = (("authorization", f"Bearer {_KEY}"),)
        assert (await server.admin.GetServerInfo(request, metadata=good)).pid > 0
        stub: Any = health_pb2_grpc.HealthStub(server.channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == _SERVING


async def test_a_fault_of_the_server_tells_nothing_but_the_request_id(
    tmp_path: Path,
) -> None:
    class Faulty(BagModel):
        def recall(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("the secret text of a document")

    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(telemetry.JsonFormatter())
    log = logging.getLogger("memsvc")
    log.addHandler(handler)
    try:
        async with serving(tmp_path, Faulty()) as server:
            await server.create_bank()
            request = memory_pb2.RecallRequest(bank=BANK, question="what?")
            refusal = await refused(server.memory.Recall(request))
    finally:
        log.removeHandler(handler)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in refusal.message
    assert not [d for d in refusal.details if "secret" in str(d)]
    request_id = refusal.detail(error_details_pb2.RequestInfo).request_id
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    fault = next(line for line in lines if line["level"] == "error")
    assert fault["request_id"] == request_id
    assert fault["exception"]["type"] == "builtins.RuntimeError"
    assert "secret" not in stream.getvalue()


async def test_calls_are_logged_and_counted_without_their_text(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await server.create_bank()
        await server.add("The zebra is striped.", title="Zebra")
        request = memory_pb2.AskRequest(bank=BANK, question="Which zebra is striped?")
        assert [event async for event in server.memory.Ask(request)]
        await refused(server.banks.GetBank(bank_pb2.GetBankRequest(name="banks/none")))
    formatter = telemetry.JsonFormatter()
    lines = [formatter.format(record) for record in caplog.records]
    assert not [line for line in lines if "zebra" in line.lower()]
    calls = [json.loads(line) for line in lines if '"logger": "memsvc.calls"' in line]
    assert [(call["method"], call["code"]) for call in calls[-2:]] == [
        ("Ask", "OK"),
        ("GetBank", "NOT_FOUND"),
    ]
    metrics = server.metrics.exposition().decode()
    assert 'memsvc_requests_total{code="OK",method="Ask"} 1.0' in metrics
    assert 'memsvc_requests_total{code="NOT_FOUND",method="GetBank"} 1.0' in metrics
    assert "memsvc_requests_in_flight 0.0" in metrics


async def test_metrics_are_served_over_http(server: Served) -> None:
    server.metrics.watch(lambda: {"blocks_corrupt": 3})
    await server.create_bank()
    with server.metrics.serving("127.0.0.1:0") as address:
        body = await asyncio.to_thread(_fetch, f"http://{address}/metrics")
    assert 'memsvc_requests_total{code="OK",method="CreateBank"} 1.0' in body
    assert "memsvc_blocks_corrupt_total 3.0" in body


def _fetch(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        return str(response.read().decode())


async def test_reflection_lists_the_services(server: Served) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = [reply async for reply in stub.ServerReflectionInfo(iter([request]))]
    names = {service.name for service in answer.list_services_response.service}
    assert names >= {*SERVICE_NAMES, "grpc.health.v1.Health"}
    assert len(SERVICE_NAMES) == 7


def test_the_manual_holds_every_reason_and_limit() -> None:
    manual = (Path(__file__).parent.parent / "docs" / "errors.md").read_text()
    assert errors.table() in manual
    for what, limit in checks.LIMITS.items():
        assert f"| {what} | {limit} |" in manual


def test_long_messages_are_cut_to_fit_into_trailers() -> None:
    error = errors.invalid("field", "x" * 100_000)
    assert len(errors.to_status(error, "r").SerializeToString()) < 2000
