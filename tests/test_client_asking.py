"""What a question may ask for, by SDK and command line, and how its routes are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memsvc_client import (
    AskOptions,
    AsyncMemoryClient,
    Hop,
    InvalidArgument,
    LayerRoute,
    MemoryClient,
    Sampling,
)
from memsvc_client.cli import exits
from memsvc_proto.v1 import memory_pb2

from tests.client_support import Record, small_server
from tests.test_client_cli import memsvc

_ROOT = Path(__file__).parent.parent
_DOCUMENTS = [f"banks/b/documents/d{number}" for number in range(7)]
_SAMPLING = Sampling(9, 0.5, 0.9, 3, -4, ("\n", "END"))
_OPTIONS = AskOptions(5, 3, 7, 0.25, 1000, 2.5, _SAMPLING, exact=True)
_SENT = memory_pb2.AskOptions(
    k=5,
    max_hops=3,
    max_documents=7,
    min_confidence=0.25,
    max_read_tokens=1000,
    max_seconds=2.5,
    sampling=memory_pb2.Sampling(
        max_tokens=9, temperature=0.5, top_p=0.9, top_k=3, seed=-4, stop=["\n", "END"]
    ),
    exact=True,
)
_FLAGS = (
    *("--k", "5", "--hops", "3", "--max-documents", "7", "--max-read-tokens", "1000"),
    *("--max-seconds", "2.5", "--max-tokens", "9", "--temperature", "0.5", "--top-p", "0.9"),
    *("--top-k", "3", "--seed", "-4", "--stop", "\n", "--stop", "END"),
    "--exact",
)


def events() -> list[memory_pb2.AskEvent]:
    routes = [
        memory_pb2.LayerRoute(
            layer=2, documents=_DOCUMENTS, scores=[0.9 - 0.1 * n for n in range(7)]
        ),
        memory_pb2.LayerRoute(layer=3, documents=_DOCUMENTS[1:2], scores=[0.25]),
    ]
    hit = memory_pb2.Hit(document=_DOCUMENTS[0], score=0.5)
    done = memory_pb2.Done(answer="pot", found=True, usage=memory_pb2.Usage(answer_tokens=7))
    return [
        memory_pb2.AskEvent(hop=memory_pb2.Hop(routed=[hit], layers=routes)),
        memory_pb2.AskEvent(token=memory_pb2.Token(text="pot")),
        memory_pb2.AskEvent(done=done),
    ]


@pytest.fixture
def server() -> Iterator[tuple[str, Record]]:
    with small_server() as (target, record):
        record.events = events()
        record.go_on.set()
        yield target, record


async def test_both_clients_send_what_is_asked_for(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client:
        client.ask_answer("b", "where?", options=_OPTIONS)
        client.recall("b", "where?", options=_OPTIONS)
    async with AsyncMemoryClient(target) as client:
        await client.ask_answer("b", "where?", options=_OPTIONS)
        await client.recall("b", "where?", options=_OPTIONS)
    assert [request.options for request in record.requests] == [_SENT] * 4


def test_what_is_not_asked_for_is_left_to_the_server(server: tuple[str, Record]) -> None:
    target, record = server
    with MemoryClient(target) as client:
        client.recall("b", "where?")
        client.recall("b", "where?", options=AskOptions(sampling=Sampling(seed=0)))
    unset, seeded = (request.options for request in record.requests)
    assert not unset.sampling.ListFields()
    assert {field.name for field, _ in unset.ListFields()} <= {"sampling"}
    assert seeded.sampling.HasField("seed")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (AskOptions(sampling=Sampling(stop="END")), "options.sampling.stop"),
        (AskOptions(sampling=Sampling(stop=["\ud800"])), "options.sampling.stop"),
        (AskOptions(sampling=Sampling(seed=2**63)), "options"),
        (AskOptions(k=2**31), "options"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(
    server: tuple[str, Record], options: AskOptions, field: str
) -> None:
    target, record = server
    with MemoryClient(target) as client, pytest.raises(InvalidArgument) as caught:
        client.recall("b", "where?", options=options)
    assert [one.field for one in caught.value.field_violations] == [field]
    assert not record.requests


def test_routes_of_layers_and_written_tokens_are_told(server: tuple[str, Record]) -> None:
    target, _ = server
    with MemoryClient(target) as client:
        answer = client.ask_answer("b", "where?")
    (hop,) = answer.hops
    assert isinstance(hop, Hop)
    assert hop.layers[1] == LayerRoute(3, (_DOCUMENTS[1],), (0.25,))
    assert answer.usage.answer_tokens == 7


@pytest.mark.parametrize("verb", ["ask", "recall"])
def test_flags_become_options(server: tuple[str, Record], verb: str) -> None:
    target, record = server
    confidence = ["--min-confidence", "0.25"] if verb == "ask" else []
    run = memsvc(verb, "b", "where?", *_FLAGS, *confidence, "--server", target)
    assert run.returncode == exits.OK, run.stderr
    wanted = memory_pb2.AskOptions()
    wanted.CopyFrom(_SENT)
    if verb == "recall":
        wanted.ClearField("min_confidence")
    assert record.requests[0].options == wanted


@pytest.mark.parametrize("verb", ["ask", "recall"])
def test_a_trace_shows_what_each_layer_chose(server: tuple[str, Record], verb: str) -> None:
    target, _ = server
    command = (verb, "b", "where?", "--server", target)
    traced = memsvc(*command, "--trace").stdout
    assert "layer 2   d0 0.900, d1 0.800, d2 0.700, d3 0.600, d4 0.500 and 2 more\n" in traced
    assert "layer 3   d1 0.250\n" in traced
    assert "layer" not in memsvc(*command).stdout
    data: Any = json.loads(memsvc(*command, "--json").stdout)["data"]
    assert [route["layer"] for route in data["hops"][0]["layers"]] == [2, 3]


def test_written_tokens_are_shown_with_the_cost(server: tuple[str, Record]) -> None:
    target, _ = server
    assert "7 tokens written" in memsvc("ask", "b", "where?", "--server", target).stdout


def test_a_number_beyond_its_field_is_a_wrong_argument(server: tuple[str, Record]) -> None:
    target, _ = server
    run = memsvc("ask", "b", "where?", "--seed", str(2**70), "--server", target)
    assert run.returncode == exits.USAGE
    assert "Traceback" not in run.stderr


def test_the_manual_names_every_flag() -> None:
    manual = (_ROOT / "docs" / "cli.md").read_text()
    for flag in (*[one for one in _FLAGS if one.startswith("--")], "--min-confidence", "--trace"):
        assert f"`{flag}" in manual
