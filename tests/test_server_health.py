"""Health and state while the model loads, fails, heals and while the server drains."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import grpc.aio
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from memsvc_proto.v1 import admin_pb2, admin_pb2_grpc, document_pb2, memory_pb2

from memsvc.server.app import SERVICE_NAMES
from tests.engine_support import BagModel, Switches
from tests.server_support import BANK, refused, serving, stub

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_while_the_model_loads_text_is_taken_but_questions_wait(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow() -> BagModel:
        gate.wait(30)
        return BagModel()

    async with serving(tmp_path, slow, ready=False) as server:
        health: Any = health_pb2_grpc.HealthStub(server.channel)
        for service in ("", *SERVICE_NAMES):
            request = health_pb2.HealthCheckRequest(service=service)
            assert (await health.Check(request)).status == _NOT_SERVING
        info = await server.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
        assert info.state == admin_pb2.ServerInfo.LOADING
        await server.create_bank()
        added = await server.documents.AddDocuments(
            document_pb2.AddDocumentsRequest(
                parent=BANK, documents=[document_pb2.NewDocument(text="The fox is red.")]
            )
        )
        question = memory_pb2.AskRequest(bank=BANK, question="Which fox?")
        refusal = await refused(server.memory.Ask(question))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "MODEL_LOADING",
        )
        assert refusal.detail(error_details_pb2.RetryInfo).retry_delay.seconds == 2

        gate.set()
        await server.done(added.operation)
        await _until_health(health, _SERVING)
        info = await server.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
        assert (info.state, info.model) == (admin_pb2.ServerInfo.READY, "bag")
        assert len(info.identity_digest) == 16
        assert [e async for e in server.memory.Ask(question)][-1].done.found


async def test_a_model_that_cannot_be_loaded_is_told_as_such(tmp_path: Path) -> None:
    def missing() -> BagModel:
        raise OSError("no weights")

    async with serving(tmp_path, missing, ready=False) as server:
        while server.engine.model_state == "LOADING":
            await asyncio.sleep(0.01)
        info = await server.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
        assert info.state == admin_pb2.ServerInfo.FAILED
        await server.create_bank()
        request = memory_pb2.RecallRequest(bank=BANK, question="what?")
        refusal = await refused(server.memory.Recall(request))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_FAILED")


async def test_health_fails_while_encoding_fails(tmp_path: Path) -> None:
    switches = Switches(broken=True)
    async with serving(tmp_path, BagModel(switches)) as server:
        health: Any = health_pb2_grpc.HealthStub(server.channel)
        await _until_health(health, _SERVING)
        await server.create_bank()
        request = document_pb2.AddDocumentsRequest(
            parent=BANK, documents=[document_pb2.NewDocument(text="The fox is red.")]
        )
        added = await server.documents.AddDocuments(request)
        await _until_health(health, _NOT_SERVING)
        info = await server.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
        assert info.state == admin_pb2.ServerInfo.FAILED
        assert info.state_reason
        switches.broken = False
        await server.done(added.operation)
        await _until_health(health, _SERVING)


async def _until_health(stub: Any, status: int) -> None:
    async with asyncio.timeout(30):
        while (await stub.Check(health_pb2.HealthCheckRequest())).status != status:
            await asyncio.sleep(0.05)


async def test_a_drain_ends_waits_and_lets_answers_end(tmp_path: Path) -> None:
    switches = Switches()
    async with serving(tmp_path, BagModel(switches)) as server:
        await server.create_bank()
        await server.add("The fox is red.")
        health: Any = health_pb2_grpc.HealthStub(server.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == _SERVING
        switches.answering.clear()
        question = memory_pb2.AskRequest(bank=BANK, question="Which fox?")
        answer = aiter(server.memory.Ask(question))
        await anext(answer)

        draining = asyncio.create_task(server.application.drain(30))
        assert (await watch.read()).status == _NOT_SERVING
        async with grpc.aio.insecure_channel(server.address) as channel:
            late = stub(admin_pb2_grpc.AdminServiceStub, channel)
            refusal = await refused(late.GetServerInfo(admin_pb2.GetServerInfoRequest()))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        switches.answering.set()
        assert [event async for event in answer][-1].done.found
        await asyncio.wait_for(draining, 10)  # not held up by the health watch
