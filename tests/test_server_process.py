"""`memsvc serve` as a process: with the model that ships, from its first line to its last."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from memsvc_proto.v1 import (
    bank_pb2,
    bank_pb2_grpc,
    document_pb2,
    document_pb2_grpc,
    memory_pb2,
    memory_pb2_grpc,
    operation_pb2,
    operation_pb2_grpc,
)

from memsvc.server.ingest import BATCH_DOCUMENTS
from tests.server_support import BANK, stub

_COMMAND = (sys.executable, "-m", "memsvc_client.cli", "serve")
_READY = re.compile(r"memsvc ready on (127\.0\.0\.1:\d+)\n")
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_TEXT = "The lighthouse at Skagen was built in 1858 by the architect Niels Nebelong."


async def _run(*arguments: str) -> asyncio.subprocess.Process:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEMSVC_")}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *_COMMAND, *arguments, env=environment, stdout=pipe, stderr=pipe
    )


@asynccontextmanager
async def _served(data: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A server process and its address; killed if the test did not end it."""
    process = await _run("--data", str(data), "--listen", "127.0.0.1:0")
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        ready = _READY.fullmatch(line)
        assert ready, line
        yield process, ready.group(1)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _until(health: AsyncIterator[health_pb2.HealthCheckResponse], status: int) -> None:
    async for reply in health:
        if reply.status == status:
            return
    raise AssertionError("the health watch ended")


async def _ended(process: asyncio.subprocess.Process) -> list[str]:
    """Wait for exit 0, nothing more on stdout, and only JSON on stderr; returns those lines."""
    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b"")
    lines = err.decode().splitlines()
    for line in lines:
        assert json.loads(line)["level"] in ("info", "warning")
    return lines


@pytest.mark.timeout(600)
async def test_a_server_answers_drains_and_remembers(tmp_path: Path) -> None:
    async with _served(tmp_path) as (process, address):
        async with grpc.aio.insecure_channel(address) as channel:
            health = aiter(
                stub(health_pb2_grpc.HealthStub, channel).Watch(health_pb2.HealthCheckRequest())
            )
            await stub(bank_pb2_grpc.BankServiceStub, channel).CreateBank(
                bank_pb2.CreateBankRequest(bank_id="b")
            )
            documents = stub(document_pb2_grpc.DocumentServiceStub, channel)
            added = await documents.AddDocuments(
                document_pb2.AddDocumentsRequest(
                    parent=BANK,
                    documents=[document_pb2.NewDocument(title="Skagen", text=_TEXT)],
                )
            )
            await _until(health, _SERVING)
            operation = await stub(operation_pb2_grpc.OperationServiceStub, channel).WaitOperation(
                operation_pb2.WaitOperationRequest(name=added.operation.name), timeout=120
            )
            assert (operation.done, operation.failed) == (1, 0)
            await _question(channel)

            stream = await _stream_of_one_batch(documents)
            await _until_stored(channel, 1 + BATCH_DOCUMENTS)
            process.send_signal(signal.SIGTERM)
            await _until(health, _NOT_SERVING)
            new = document_pb2.NewDocument(document_id="late", text="In flight at the signal.")
            await stream.write(document_pb2.IngestDocumentsRequest(document=new))
            await stream.done_writing()
            assert (await stream).results[-1].document.name == f"{BANK}/documents/late"
        lines = await _ended(process)
        assert not [line for line in lines if "Skagen" in line or "in flight" in line.lower()]

    async with _served(tmp_path) as (process, address):
        async with grpc.aio.insecure_channel(address) as channel:
            health = aiter(
                stub(health_pb2_grpc.HealthStub, channel).Watch(health_pb2.HealthCheckRequest())
            )
            await _until(health, _SERVING)
            await _question(channel)
            documents = stub(document_pb2_grpc.DocumentServiceStub, channel)
            name = f"{BANK}/documents/late"
            kept = await documents.GetDocument(document_pb2.GetDocumentRequest(name=name))
            assert kept.text == "In flight at the signal."
        process.send_signal(signal.SIGTERM)
        await _ended(process)


async def _stream_of_one_batch(documents: Any) -> Any:
    """An open stream that has sent as many documents as are committed together."""
    stream = documents.IngestDocuments()
    header = document_pb2.IngestHeader(parent=BANK)
    await stream.write(document_pb2.IngestDocumentsRequest(header=header))
    for index in range(BATCH_DOCUMENTS):
        new = document_pb2.NewDocument(text=f"Note {index}.")
        await stream.write(document_pb2.IngestDocumentsRequest(document=new))
    return stream


async def _until_stored(channel: grpc.aio.Channel, count: int) -> None:
    banks = stub(bank_pb2_grpc.BankServiceStub, channel)
    request = bank_pb2.GetBankRequest(name=BANK)
    while (await banks.GetBank(request)).document_count < count:
        await asyncio.sleep(0.05)


async def _question(channel: grpc.aio.Channel) -> None:
    """The document is found by what it says."""
    memory = stub(memory_pb2_grpc.MemoryServiceStub, channel)
    question = "Who built the lighthouse at Skagen?"
    found = await memory.Recall(memory_pb2.RecallRequest(bank=BANK, question=question))
    assert found.hits[0].title == "Skagen"
    assert found.hits[0].quote in _TEXT
    events = [
        event async for event in memory.Ask(memory_pb2.AskRequest(bank=BANK, question=question))
    ]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "hop"
    assert kinds.count("done") == 1
    assert kinds[-1] == "done"


async def test_a_public_address_without_keys_is_refused(tmp_path: Path) -> None:
    process = await _run("--data", str(tmp_path), "--listen", "0.0.0.0:0")
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert b"set api_keys" in err
    assert not list(tmp_path.iterdir())


async def test_a_taken_port_and_a_taken_directory_end_the_second_server(tmp_path: Path) -> None:
    async with _served(tmp_path / "first") as (first, address):
        for data, complaint in (("second", "cannot listen on"), ("first", "in use")):
            listen = address if data == "second" else "127.0.0.1:0"
            second = await _run("--data", str(tmp_path / data), "--listen", listen)
            out, err = await second.communicate()
            assert (second.returncode, out) == (1, b"")
            assert complaint in err.decode()
            assert "Traceback" not in err.decode()
        first.send_signal(signal.SIGINT)
        await _ended(first)
