"""A published checkpoint behind a real server (`memsvc serve --model DIR`), asked by the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from memsvc_client import (
    AskOptions,
    Citation,
    Done,
    Event,
    Hop,
    MemoryClient,
    NewDocument,
    Sampling,
    Token,
)

from tests.decoder_support import make_published
from tests.e2e_support import Served, serving
from tests.router_support import TOWNS

OPTIONS = AskOptions(max_hops=2, sampling=Sampling(max_tokens=6))
BANKS = ("north", "south")
QUESTIONS = tuple(f"Where was Marie born, {n}?" for n in range(6))


@dataclass(frozen=True)
class Model:
    served: Served
    checkpoint: Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    folder = tmp_path_factory.mktemp("decoder")
    checkpoint = make_published(folder)
    with serving(folder / "data", "--model", str(checkpoint)) as served:
        with MemoryClient(served.target) as client:
            client.wait_serving()
            for bank in BANKS:
                fill(client, bank)
        yield Model(served, checkpoint)


def fill(client: MemoryClient, bank: str) -> None:
    client.create_bank(bank)
    documents = [NewDocument(t.text, t.title, f"{bank}-{name}") for name, t in TOWNS.items()]
    added = client.add(bank, documents)
    assert added.operation is not None
    ended = client.wait_operation(added.operation, timeout=120)
    assert (ended.state, ended.failed) == ("DONE", 0)


def told(target: str, bank: str, question: str) -> list[Event]:
    with MemoryClient(target, timeout=120) as client:
        return list(client.ask(bank, question, options=OPTIONS))


def gist(events: list[Event]) -> list[object]:
    """What must not depend on who else asks."""
    found: list[object] = []
    for event in events:
        match event:
            case Hop():
                found.append((event.read, [(r.layer, r.documents) for r in event.layers]))
            case Citation():
                found.append((event.document, event.quote))
            case Token():
                found.append(event.text)
            case Done():
                found.append((event.answer, event.found, event.usage.answer_tokens))
    return found


def test_hops_tell_what_each_router_layer_chose(model: Model) -> None:
    events = told(model.served.target, "north", QUESTIONS[0])
    hop = events[0]
    assert isinstance(hop, Hop)
    assert [route.layer for route in hop.layers] == [2, 3]
    assert all(len(route.documents) == len(route.scores) == 3 for route in hop.layers)
    assert all("/north-" in name for route in hop.layers for name in route.documents)
    assert isinstance(events[-1], Done)


def test_questions_to_several_banks_at_once_are_answered_as_if_alone(model: Model) -> None:
    asked = [(bank, question) for question in QUESTIONS for bank in BANKS]
    target = model.served.target
    with ThreadPoolExecutor(len(asked)) as threads:
        together = list(threads.map(lambda one: gist(told(target, *one)), asked))
    assert together == [gist(told(target, *one)) for one in asked]
    assert any(isinstance(part, str) for events in together for part in events), "none answered"


def test_what_was_encoded_is_there_after_a_restart_and_follows_changes(tmp_path: Path) -> None:
    checkpoint = make_published(tmp_path)
    data = tmp_path / "data"
    with serving(data, "--model", str(checkpoint)) as served, MemoryClient(served.target) as client:
        client.wait_serving()
        fill(client, "kept")
        before = gist(told(served.target, "kept", QUESTIONS[0]))
    with serving(data, "--model", str(checkpoint)) as served, MemoryClient(served.target) as client:
        client.wait_serving()
        assert client.get_bank("kept").pending_count == 0
        assert gist(told(served.target, "kept", QUESTIONS[0])) == before
        hits = client.recall("kept", QUESTIONS[0], options=AskOptions(max_hops=1)).hits
        client.delete_document("kept", hits[0].document_id)
        after = told(served.target, "kept", QUESTIONS[0])
        gone = hits[0].document_id
        assert all(
            gone not in name
            for hop in after
            if isinstance(hop, Hop)
            for r in hop.layers
            for name in r.documents
        )
