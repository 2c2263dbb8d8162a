"""What a question may ask for, from the wire to the model, and the routes that come back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from memsvc_proto.v1 import document_pb2, memory_pb2
from memsvc_router.api import (
    AskOptions,
    Done,
    Event,
    LayerRoute,
    MemoryView,
    Recall,
    Retriever,
    Sampling,
    Step,
    Usage,
)

from tests.engine_support import BagModel
from tests.server_support import BANK, Served, refused, serving

_Options = memory_pb2.AskOptions
_Sampling = memory_pb2.Sampling
_DAY = 86_400
_NOW = 2_000_000_000
_ROUTE = LayerRoute(2, ("d1", "d0"), (0.75, 0.5))


class NotingModel(BagModel):
    """Notes what it was asked for; tells of one layer's routes and of seven written tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.options: list[AskOptions] = []

    def recall(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Recall:
        self.options.append(options)
        found = super().recall(view, question, options, retriever)
        hops = tuple(dataclasses.replace(hop, layers=(_ROUTE,)) for hop in found.hops)
        return dataclasses.replace(found, hops=hops)

    def ask(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Iterator[Event | Step]:
        for event in super().ask(view, question, options, retriever):
            if isinstance(event, Done):
                yield dataclasses.replace(event, usage=Usage(answer_tokens=7))
            else:
                yield event


@pytest.fixture
def model() -> NotingModel:
    return NotingModel()


@pytest_asyncio.fixture
async def server(tmp_path: Path, model: NotingModel) -> AsyncIterator[Served]:
    async with serving(tmp_path, model) as served:
        await served.create_bank()
        await served.add("The red fox hunts mice.", "The blue whale eats krill.")
        yield served


async def all_ways(server: Served, options: memory_pb2.AskOptions, timeout: float | None) -> None:
    """Recall, ask and build a context with these options."""
    asked: dict[str, Any] = {"bank": BANK, "options": options}
    await server.memory.Recall(memory_pb2.RecallRequest(question="fox?", **asked), timeout=timeout)
    request = memory_pb2.AskRequest(question="fox?", **asked)
    async for _ in server.memory.Ask(request, timeout=timeout):
        pass
    await server.memory.BuildContext(
        memory_pb2.BuildContextRequest(query="fox?", max_tokens=50, **asked), timeout=timeout
    )


async def test_what_is_asked_for_reaches_the_model(server: Served, model: NotingModel) -> None:
    sampling = _Sampling(
        max_tokens=9, temperature=0.5, top_p=0.9, top_k=3, seed=-4, stop=["\n", "END"]
    )
    options = _Options(
        k=5,
        max_hops=3,
        max_documents=7,
        min_confidence=0.25,
        max_read_tokens=1000,
        sampling=sampling,
    )
    await all_ways(server, options, None)
    wanted = AskOptions(5, 3, 7, 0.25, 1000, None, Sampling(9, 0.5, 0.9, 3, -4, ("\n", "END")))
    assert model.options == [wanted] * 3


async def test_what_is_unset_is_the_models_own(server: Served, model: NotingModel) -> None:
    await all_ways(server, _Options(), None)
    assert model.options == [AskOptions()] * 3
    assert model.options[0].k is None


@pytest.mark.parametrize(
    ("seconds", "timeout", "most"),
    [(None, 200, 160), (100, 200, 100), (1000, 200, 160), (1e-9, None, 1)],
)
async def test_hops_end_well_before_the_deadline(
    server: Served, model: NotingModel, seconds: float | None, timeout: float | None, most: float
) -> None:
    await all_ways(server, _Options(max_seconds=seconds), timeout)
    for options in model.options:
        assert options.max_seconds is not None
        assert 0 < options.max_seconds <= most


async def test_routes_of_layers_and_written_tokens_are_told(server: Served) -> None:
    request = memory_pb2.AskRequest(bank=BANK, question="Which fox?")
    events = [event async for event in server.memory.Ask(request)]
    recalled = await server.memory.Recall(memory_pb2.RecallRequest(bank=BANK, question="fox?"))
    for hop in (events[0].hop, recalled.hops[0]):
        (route,) = hop.layers
        assert route.layer == 2
        assert list(route.documents) == [f"{BANK}/documents/d1", f"{BANK}/documents/d0"]
        assert list(route.scores) == [0.75, 0.5]
    assert events[-1].done.usage.answer_tokens == 7


_FAULTS: list[tuple[memory_pb2.AskOptions, str]] = [
    (_Options(max_read_tokens=0), "options.max_read_tokens"),
    (_Options(max_seconds=0), "options.max_seconds"),
    (_Options(max_seconds=-1), "options.max_seconds"),
    (_Options(max_seconds=math.nan), "options.max_seconds"),
    (_Options(sampling=_Sampling(max_tokens=0)), "options.sampling.max_tokens"),
    (_Options(sampling=_Sampling(max_tokens=32_769)), "options.sampling.max_tokens"),
    (_Options(sampling=_Sampling(temperature=-0.1)), "options.sampling.temperature"),
    (_Options(sampling=_Sampling(temperature=10.5)), "options.sampling.temperature"),
    (_Options(sampling=_Sampling(temperature=math.nan)), "options.sampling.temperature"),
    (_Options(sampling=_Sampling(top_p=0)), "options.sampling.top_p"),
    (_Options(sampling=_Sampling(top_p=1.01)), "options.sampling.top_p"),
    (_Options(sampling=_Sampling(top_k=-1)), "options.sampling.top_k"),
    (_Options(sampling=_Sampling(stop=["x"] * 17)), "options.sampling.stop"),
    (_Options(sampling=_Sampling(stop=["x", "y" * 257])), "options.sampling.stop[1]"),
    (_Options(sampling=_Sampling(stop=[""])), "options.sampling.stop[0]"),
]


async def test_faults_of_options_are_named(server: Served, model: NotingModel) -> None:
    for options, field in _FAULTS:
        for call in (
            server.memory.Recall(
                memory_pb2.RecallRequest(bank=BANK, question="?", options=options)
            ),
            server.memory.Ask(memory_pb2.AskRequest(bank=BANK, question="?", options=options)),
        ):
            refusal = await refused(call)
            assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    assert model.options == []


async def _added_at(server: Served, name: str, days_ago: int) -> None:
    document = document_pb2.NewDocument(
        document_id=name,
        text="Ann lives in a town.",
        event_time=Timestamp(seconds=_NOW - days_ago * _DAY),
    )
    request = document_pb2.AddDocumentsRequest(parent=BANK, documents=[document])
    await server.done((await server.documents.AddDocuments(request)).operation)


async def test_times_decide_what_was_known_and_what_counts_for_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.create_bank()
        await _added_at(server, "old", 1000)
        await _added_at(server, "new", 1)
        asked: dict[str, Any] = {"bank": BANK, "question": "Where lives Ann?"}
        week = memory_pb2.Recency(half_life=7 * _DAY, weight=2)
        now = Timestamp(seconds=_NOW)
        recent = memory_pb2.RecallRequest(**asked, as_of=now, recency=week)
        found = await server.memory.Recall(recent)
        assert found.hits[0].document == f"{BANK}/documents/new"
        asked["as_of"] = Timestamp(seconds=_NOW - 500 * _DAY)
        found = await server.memory.Recall(memory_pb2.RecallRequest(**asked))
        assert [hit.document for hit in found.hits] == [f"{BANK}/documents/old"]
        events = [one async for one in server.memory.Ask(memory_pb2.AskRequest(**asked))]
        cited = [one.citation.document for one in events if one.HasField("citation")]
        assert cited == [f"{BANK}/documents/old"]
        asked["query"] = asked.pop("question")
        request = memory_pb2.BuildContextRequest(**asked, max_tokens=100)
        built = await server.memory.BuildContext(request)
        assert [one.document for one in built.citations] == [f"{BANK}/documents/old"]
