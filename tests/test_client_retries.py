"""Which calls are repeated when the server is briefly away, and that a repeat is the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from memsvc_client import AsyncMemoryClient, MemoryClient, Unavailable

from tests.client_support import Record, small_server


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    with small_server() as running:
        yield running


def test_reads_are_repeated(server: tuple[str, Record]) -> None:
    target, record = server
    record.unavailable = 2
    with MemoryClient(target) as client:
        assert client.get_bank("b").name == "banks/b"
    assert record.calls["GetBank"] == 3


def test_a_repeated_write_has_the_same_request_id(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client:
        record.unavailable = 1
        client.add("b", "text")
        record.unavailable = 1
        client.delete_document("b", "d")
    adds, deletes = record.requests[:2], record.requests[2:]
    for first, second in (adds, deletes):
        assert first.request_id
        assert first == second
    assert adds[0].request_id != deletes[0].request_id


def test_a_broken_stream_is_sent_again_whole(server: tuple[str, Record]) -> None:
    target, record = server
    record.unavailable = 1
    with MemoryClient(target) as client:
        result = client.ingest("b", [f"text {number}" for number in range(50)])
    assert result.stored == 50
    first, second = record.streams
    assert len(second) == 51
    assert first == second


def test_calls_that_are_not_safe_to_repeat_are_not(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client:
        record.unavailable = 1
        with pytest.raises(Unavailable):
            client.delete_bank("b")
        record.unavailable = 1
        with pytest.raises(Unavailable):
            client.update_bank("b", display_name="x")
    assert record.calls == {"DeleteBank": 1, "UpdateBank": 1}


def test_a_lasting_outage_is_told(server: tuple[str, Record]) -> None:
    target, record = server
    record.unavailable = 100
    with MemoryClient(target) as client, pytest.raises(Unavailable, match="come again"):
        client.get_bank("b")
    assert 1 < record.calls["GetBank"] < 10


async def test_the_async_client_repeats_too(server: tuple[str, Record]) -> None:
    target, record = server
    record.unavailable = 2
    async with AsyncMemoryClient(target) as client:
        await client.get_bank("b")
    assert record.calls["GetBank"] == 3
