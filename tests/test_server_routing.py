"""How a bank is routed over, as callers see it: the guarantee of `exact`, and what a bank tells."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from memsvc_client import AskOptions, AsyncMemoryClient, NewDocument
from memsvc_client.cli import exits
from memsvc_router.api import (
    ROUTING,
    DocumentText,
    EncodedDocument,
    MemoryView,
    Retriever,
    RouteRule,
)

from memsvc.engine import tier
from memsvc.engine.view import BankView
from tests.engine_support import LAYERS, PATIENCE, WIDTH, BagModel
from tests.server_support import Served, serving
from tests.test_client_cli import memsvc

QUESTION = "Where is the treasure?"
SHIPS = [NewDocument(f"Ship {i} carries cargo{i}.", document_id=f"s{i}") for i in range(300)]


class Misleading(BagModel):
    """Of many documents the one of the treasure is the best, and looks like the worst at 8 bits:
    its values are rounded down to nothing, those of all the others up to 1."""

    def _encode(self, document: DocumentText) -> EncodedDocument:
        block, keys = super()._encode(document), np.zeros((1, LAYERS, WIDTH), np.float16)
        keys[..., 0] = 127  # not asked for; it sets the scale to 1
        keys[..., 1:5] = 9 / 16
        if "treasure" in document.text:
            keys[..., 1:9] = 7 / 16
        return replace(block, tensors={**block.tensors, ROUTING: keys})

    def _routed(
        self, view: MemoryView, question: str, k: int, retriever: Retriever | None
    ) -> list[tuple[int, float, int]]:
        del question, retriever
        query = np.ones((1, LAYERS, WIDTH), np.float32)
        query[..., 0] = 0
        routes = view.route(query, k)
        rows = zip(routes.documents[0], routes.scores[0], routes.chunks[0], strict=True)
        return [(int(d), float(s), int(c)) for d, s, c in rows if d >= 0]


async def fill(client: AsyncMemoryClient, *documents: NewDocument) -> None:
    await client.create_bank("b")
    added = await client.add("b", documents)
    assert added.operation is not None
    await client.wait_operation(added.operation, timeout=PATIENCE)


async def test_exact_finds_what_the_scan_misses(tmp_path: Path) -> None:
    hoard = NewDocument("The treasure is here.", document_id="hoard")
    async with (
        serving(tmp_path, Misleading()) as server,
        AsyncMemoryClient(server.address) as client,
    ):
        await fill(client, *SHIPS[:150], hoard, *SHIPS[150:])
        missed = await client.recall("b", QUESTION)
        assert "hoard" not in {hit.document_id for hit in missed.hits}
        options = AskOptions(exact=True)
        found = await client.recall("b", QUESTION, options=options)
        assert found.hits[0].document_id == "hoard"
        assert (await client.ask_answer("b", QUESTION, options=options)).found
        context = await client.build_context("b", QUESTION, 1000, options=options)
        assert context.citations[0].document_id == "hoard"
        assert await best_by_command(server) == "hoard"
        few = 'id IN ("hoard", "s1", "s2")'
        some = await client.recall("b", QUESTION, filter=few, options=options)
        assert [hit.document_id for hit in some.hits][:1] == ["hoard"]
        assert len(some.hits) == 3


async def test_exact_finds_it_layer_by_layer(tmp_path: Path) -> None:
    """As decoders route."""
    hoard = NewDocument("The treasure is here.", document_id="hoard")
    query = np.ones((2, 1, WIDTH), np.float32)  # of two tokens
    query[..., 0] = 0
    async with (
        serving(tmp_path, Misleading()) as server,
        AsyncMemoryClient(server.address) as client,
    ):
        await fill(client, *SHIPS[:150], hoard, *SHIPS[150:])
        for exact in (False, True):
            view = BankView(server.engine._banks, "b", None, exact)
            routes = view.route_layer(1, query, 16, RouteRule("max", "max"))
            found = [view.document_id(int(handle)) for handle in routes.documents[0]]
            assert (found[0] == "hoard") == exact
            assert ("hoard" in found) == exact


async def best_by_command(server: Served) -> str:
    """What `memsvc recall --exact` finds first."""
    asked = ("recall", "b", QUESTION, "--exact", "--server", server.address, "--json")
    run = await asyncio.to_thread(memsvc, *asked)
    assert run.returncode == exits.OK, run.stderr
    hits = json.loads(run.stdout)["data"]["hits"]
    return str(hits[0]["document"]).rpartition("/")[2]


async def test_a_bank_tells_of_its_coarse_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tier, "_worthwhile", lambda *_: 4)  # it pays, on however busy a machine
    monkeypatch.setattr(tier, "_COUNTS", (128,))
    monkeypatch.setattr(tier, "_RECALL", 0.0)  # most ships tie, which no pass keeps
    async with (
        serving(tmp_path, coarse_chunks=100, sweep_seconds=0.02) as server,
        AsyncMemoryClient(server.address) as client,
    ):
        await fill(client, *SHIPS)
        await client.recall("b", "cargo7")  # opens the bank
        before = (await client.get_bank("b")).routing
        assert before is not None
        assert not before.coarse
        assert (before.recall, before.speedup, before.questions) == (None, None, 0)
        async with asyncio.timeout(PATIENCE):
            while not (told := (await client.get_bank("b")).routing) or not told.coarse:
                await client.recall("b", "cargo7 cargo9")
        assert told.questions >= 32
        assert told.recall is not None
        assert 0 < told.recall <= 1
        assert told.speedup is not None
        assert told.speedup > 0
        assert (await client.recall("b", "cargo60")).hits[0].document_id == "s60"
