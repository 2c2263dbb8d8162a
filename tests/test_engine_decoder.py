"""A decoder behind the engine: in company a question gets the answer it would get alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from memsvc_router.api import AskOptions, Done, Hop, Sampling, Step
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_storage import NewDocument

from memsvc.engine import Engine
from tests.decoder_support import make_published
from tests.engine_support import add, running
from tests.router_support import TOWNS

OPTIONS = AskOptions(max_hops=2, sampling=Sampling(max_tokens=12))
QUESTIONS = ("Where was Marie born?", "What is the capital of France?", "Which river is near?")


class CountingModel(DecoderMemoryModel):
    """Counts the questions of each batch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(load_decoder(make_published(folder)))
        self.sizes: list[int] = []

    def run(self, steps: Sequence[Step]) -> None:
        self.sizes.append(len(steps))
        super().run(steps)


async def told(engine: Engine, bank: str, question: str) -> tuple[Any, ...]:
    """What is the same each time: routes by layer, what was read, and the answer."""
    events = [event async for event in engine.ask(bank, question, OPTIONS)]
    hops = [
        ([(route.layer, route.documents) for route in hop.layers], hop.read)
        for hop in events
        if isinstance(hop, Hop)
    ]
    (done,) = [event for event in events if isinstance(event, Done)]
    return hops, done.answer, done.usage.answer_tokens


async def test_answers_in_company_are_those_given_alone(tmp_path: Path) -> None:
    model = CountingModel(tmp_path / "model")
    towns = [NewDocument(t.text, title=t.title, document_id=n) for n, t in TOWNS.items()]
    async with running(tmp_path / "data", cast(Any, lambda: model)) as engine:
        for bank, documents in (("a", towns), ("b", towns[::2])):
            await engine.create_bank(bank)
            await add(engine, bank, *documents)
        asked = [(bank, question) for question in QUESTIONS for bank in "ab"]
        alone = [await told(engine, *one) for one in asked]
        assert set(model.sizes) == {1}
        together = await asyncio.gather(*(told(engine, *one) for one in asked))
    assert together == alone
    assert any(hops[0][0] for hops, _, _ in alone)  # layers are told
    assert max(model.sizes) > len(asked) / 2
