"""What a caller learns when a call fails."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2
from memsvc_client import (
    AsyncMemoryClient,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    MemoryClient,
    MemsvcError,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)

from tests.client_support import Record, reason, small_server, status


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    with small_server() as running:
        yield running


def test_details_of_the_server_arrive(server: tuple[str, Record]) -> None:
    target, record = server
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="page_size", description="is negative")
    request = error_details_pb2.RequestInfo(request_id="r-17")
    record.error = status(
        grpc.StatusCode.INVALID_ARGUMENT, "no", reason("INVALID_FIELD"), bad, request
    )
    with MemoryClient(target) as client, pytest.raises(InvalidArgument) as caught:
        client.get_bank("b")
    error = caught.value
    assert (error.code, error.reason, error.message) == ("INVALID_ARGUMENT", "INVALID_FIELD", "no")
    assert [(one.field, one.description) for one in error.field_violations] == [
        ("page_size", "is negative")
    ]
    assert error.request_id == "r-17"
    assert not error.retryable
    assert isinstance(error, ValueError)


def test_the_server_says_what_is_retryable_and_when(server: tuple[str, Record]) -> None:
    target, record = server
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    record.error = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", reason("OVERLOADED"), retry)
    with MemoryClient(target) as client:
        with pytest.raises(ResourceExhausted) as busy:
            client.get_bank("b")
        assert (busy.value.retryable, busy.value.retry_after) == (True, 1.5)
        record.error = status(grpc.StatusCode.UNAVAILABLE, "broken", reason("MODEL_FAILED"))
        with pytest.raises(Unavailable) as broken:
            client.update_bank("b", display_name="x")
        assert not broken.value.retryable


def test_a_bare_status_still_becomes_a_typed_error(server: tuple[str, Record]) -> None:
    target, record = server
    record.error = status(grpc.StatusCode.NOT_FOUND, "none")
    with MemoryClient(target) as client, pytest.raises(NotFound) as caught:
        client.get_bank("b")
    assert caught.value.reason == ""
    assert caught.value.request_id == record.headers[-1]["x-request-id"]


def test_no_server_is_unavailable_and_retryable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # Bound but not listening: nobody answers here.
        with MemoryClient(f"127.0.0.1:{held.getsockname()[1]}") as client:
            with pytest.raises(Unavailable) as caught:
                client.get_bank("b")
            assert caught.value.retryable
            assert isinstance(caught.value, ConnectionError)


def test_the_timeout_of_a_call_holds(server: tuple[str, Record]) -> None:
    target, record = server
    record.answer_call = lambda: time.sleep(2)
    with MemoryClient(target) as client, pytest.raises(DeadlineExceeded):
        client.get_bank("b", timeout=0.2)


def test_a_method_the_server_does_not_know(server: tuple[str, Record]) -> None:
    target, _ = server
    with MemoryClient(target) as client, pytest.raises(Unimplemented):
        client.estimate_bank(1000)


def test_a_closed_client_says_so() -> None:
    client = MemoryClient("127.0.0.1:1")
    client.close()
    client.close()
    with pytest.raises(FailedPrecondition, match="closed"):
        client.get_bank("b")


async def test_async_errors_are_the_same(server: tuple[str, Record]) -> None:
    target, record = server
    record.error = status(grpc.StatusCode.NOT_FOUND, "none", reason("BANK_NOT_FOUND"))
    async with AsyncMemoryClient(target) as client:
        with pytest.raises(NotFound) as caught:
            await client.get_bank("b")
        assert caught.value.reason == "BANK_NOT_FOUND"
        with pytest.raises(NotFound):
            async for _ in client.ask("b", "question"):
                pass
    with pytest.raises(FailedPrecondition, match="closed"):
        await client.get_bank("b")


async def test_closing_ends_running_calls_of_others(server: tuple[str, Record]) -> None:
    target, record = server
    record.answer_call = lambda: time.sleep(3)
    client = AsyncMemoryClient(target)
    running = asyncio.create_task(client.get_bank("b"))
    while not record.calls["GetBank"]:
        await asyncio.sleep(0.01)
    await client.close()
    with pytest.raises(Cancelled):
        await running


async def test_cancelling_a_task_stays_a_cancellation(server: tuple[str, Record]) -> None:
    target, record = server
    record.answer_call = lambda: time.sleep(1)
    async with AsyncMemoryClient(target) as client:
        running = asyncio.create_task(client.get_bank("b"))
        while not record.calls["GetBank"]:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("kind", MemsvcError.__subclasses__())
def test_every_error_can_be_made_and_shows_its_message(kind: type[MemsvcError]) -> None:
    error = kind("what happened", reason="WHY")
    assert str(error) == "what happened"
    assert error.code == kind.default_code
