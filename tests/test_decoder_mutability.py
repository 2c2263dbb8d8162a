"""A bank that has lived routes and answers as one built afresh from the documents that are left.

Random histories of adding, changing, deleting and compacting run over a real store and the engine's
live banks, encoded in random batches, arriving out of order, in several segments. Then the same
questions are put to a fresh bank of the survivors, added in another order and other batches.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from memsvc_router.api import DocumentText, RouteRule
from memsvc_router.decoder.loading import load_decoder
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.prompts import number_of
from memsvc_router.decoder.state import Feed, QuestionState
from memsvc_storage import Document, DocumentChanges, Encoded, NewDocument, Store
from torch import Tensor

from memsvc.engine import live
from memsvc.engine.banks import Banks
from memsvc.engine.counters import Counters
from memsvc.engine.rest import at_rest
from memsvc.engine.verbs import StoreVerbs
from memsvc.engine.view import BankView
from tests.conformance_support import TINY, make_conformance, prose
from tests.decoder_support import make_published

QUICK, LONG = 20, 200
CLOSE, MOVED = 2e-5, 2e-4  # of scores and of logits, in the middle (README: worst of 200)
STEP = 1e-3  # other batches sum in another order: now and then a number rests one code further
NAMES = [*map(str, range(20)), *(f"note-{n}" for n in range(20))]  # numbers, and what is hashed
Held = dict[str, DocumentText]

MEANS: dict[str, Any] = {
    "chunk_reduce_method": "mean",
    "query_reduce_method": "mean",
    "decouple_router": False,
}
RAW: dict[str, Any] = {"aux_loss_method": "INFONCE_DECOUPLE", "head_reduce_method": "max"}


@cache
def model(number: int) -> DecoderMemoryModel:
    """The published tiny one, and others that reduce their scores otherwise."""
    with TemporaryDirectory() as folder:
        checkpoint = (
            lambda: TINY / "checkpoint",
            lambda: make_conformance(Path(folder) / "raw", **RAW) / "checkpoint",
            lambda: make_published(Path(folder), "llama", msa=MEANS),
        )[number]()
        return DecoderMemoryModel(load_decoder(checkpoint, torch.float32))


@dataclass
class Bank:
    """A bank in a store of its own, written to by the engine's verbs."""

    model: DecoderMemoryModel
    store: Store
    banks: Banks
    verbs: StoreVerbs

    def view(self) -> BankView:
        return BankView(self.banks, "b", None)

    def encode(self, documents: Sequence[Document], size: int) -> list[Encoded]:
        """Blocks of some documents, so many to a call of the model."""
        found: list[Encoded] = []
        for at in range(0, len(documents), size):
            some = documents[at : at + size]
            made = self.model.encode([DocumentText(d.title, d.text, d.document_id) for d in some])
            found += [
                (d.row_id, d.revision, at_rest(one).tensors, one.tokens)
                for d, one in zip(some, made, strict=True)
            ]
        return found

    def commit(self, encoded: Sequence[Encoded]) -> None:
        """One segment, then the live bank, as the encoder lane does it."""
        blocks = self.store.commit_blocks("b", asdict(self.model.identity), encoded)
        self.banks.take_in("b", blocks, {row_id: tensors for row_id, _, tensors, _ in encoded})

    async def encode_all(self, rng: random.Random) -> None:
        """Everything that waits, in any order, in batches and segments of any size."""
        while waiting := self.store.pending(1000, 10**9):
            rng.shuffle(waiting)
            some = waiting[: rng.randint(1, len(waiting))]
            self.commit(self.encode(some, rng.randint(1, 9)))


@asynccontextmanager
async def empty_bank(folder: Path, made: DecoderMemoryModel) -> AsyncIterator[Bank]:
    with closing(Store.open(folder)) as store, ThreadPoolExecutor(1) as io:
        banks = Banks(store, Counters(), lambda: None)
        banks.digest = made.identity.digest
        store.create_bank("b")
        yield Bank(made, store, banks, StoreVerbs(store, banks, io, lambda _: None))


class History:
    """What happens to a bank; `held` is what must be left of it."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank, self.rng, self.held = bank, random.Random(seed), Held()
        self._texts = iter(prose(300, seed))

    async def run(self) -> None:
        """Random steps on a bank that is warm or not, then whatever still waits is encoded."""
        steps: dict[Callable[[], Any], int] = {
            self.add: 4,
            self.encode: 4,
            self.change: 3,
            self.delete: 2,
            self.compact: 1,
            self.reload: 1,
            self.look: 4,
        }
        await self.reload()
        await self.add()
        for step in self.rng.choices(list(steps), list(steps.values()), k=self.rng.randint(12, 28)):
            await step()
        await self.add()
        await self.bank.encode_all(self.rng)

    async def add(self) -> None:
        """New documents; some have the id of one that was deleted."""
        free = sorted(set(NAMES) - set(self.held))
        names = self.rng.sample(free, min(len(free), self.rng.randint(1, 6)))
        new = {name: DocumentText(self._title(), next(self._texts), name) for name in names}
        await add(self.bank, new)
        self.held |= new

    async def change(self) -> None:
        """Another text, another title, or something that no block depends on."""
        for name in self.rng.sample(sorted(self.held), min(len(self.held), 3)):
            old = self.held[name]
            title, text = self.rng.choice(
                [(old.title, next(self._texts)), (self._title(), old.text), (old.title, old.text)]
            )
            changes = DocumentChanges(title=title, text=text, metadata={"n": self.rng.random()})
            await self.bank.verbs.update_document("b", name, changes)
            self.held[name] = DocumentText(title, text, name)

    async def delete(self) -> None:
        """A few, or nearly all."""
        share = self.rng.choice([0.1, 0.2, 0.9])
        for name in self.rng.sample(sorted(self.held), int(share * len(self.held))):
            await self.bank.verbs.delete_document("b", name)
            del self.held[name]

    async def encode(self) -> None:
        """Some of what waits; meanwhile documents may be changed or deleted under the encoder."""
        waiting = self.bank.store.pending(1000, 10**9)
        some = self.rng.sample(waiting, self.rng.randint(0, len(waiting)))
        encoded = self.bank.encode(some, self.rng.randint(1, 9))
        if self.rng.random() < 0.3:
            await self.rng.choice([self.change, self.delete])()
        if encoded:
            self.bank.commit(encoded)

    async def compact(self) -> None:
        await self.bank.verbs.compact("b", self.rng.choice([0.0, 0.3]))

    async def reload(self) -> None:
        """As after a restart: the live bank comes from the segments, now or when it is asked."""
        self.bank.banks.drop("b")
        if self.rng.random() < 0.7:
            self.bank.banks.live("b")

    async def look(self) -> None:
        """A question in between sees what is encoded as it stands now, and changes nothing."""
        view = self.bank.view()
        encoded = [d for d in self.bank.store.facts("b", None) if d.state == "READY"]
        assert {view.document_id(h) for h in view.handles()} == {d.document_id for d in encoded}
        asked(self.bank, view, ["Which country is large?"])

    def _title(self) -> str:
        return self.rng.choice(["", "", "A title", f"Country {self.rng.randint(1, 9)}"])


async def add(bank: Bank, documents: Held) -> None:
    new = [NewDocument(d.text, d.title, d.document_id) for d in documents.values()]
    result = await bank.verbs.add_documents("b", new)
    assert all(isinstance(document, Document) for document in result.documents)


async def build_afresh(bank: Bank, held: Held, rng: random.Random) -> None:
    """The same documents in another order, added at once or in several calls."""
    names = list(held)
    rng.shuffle(names)
    size = rng.randint(1, len(names))
    for at in range(0, len(names), size):
        await add(bank, {name: held[name] for name in names[at : at + size]})
        if rng.random() < 0.5:
            await bank.encode_all(rng)
    await bank.encode_all(rng)


@dataclass
class Outcome:
    """What a question meets: by router layer the chosen documents and every document's score; the
    logits of all of its tokens, and of the text read after them, which routed anew."""

    chosen: list[list[str]]
    scores: list[dict[str, float]]
    logits: list[Tensor]


def asked(bank: Bank, view: BankView, questions: Sequence[str]) -> list[Outcome]:
    """Questions and, in a second round, what they read, side by side."""
    made = bank.model
    states = [QuestionState(made.runner.prefix, view, made.top_k) for _ in questions]
    outcomes = [Outcome([], [], []) for _ in questions]
    feeds = []
    for state, question in zip(states, questions, strict=True):
        tokens, routing = made.prompts.question(question)
        feeds.append(Feed(state, tokens, range(routing), all_tokens=True))
    _run(made, view, feeds, outcomes)
    feeds = []
    for state in states:
        tokens = made.prompts.plain("\n")
        best = int(state.routes[made.config.router_layers[-1]].documents[0, 0])
        if best >= 0:
            number = number_of(view.document_id(best))
            tokens = made.prompts.original(number, view.texts([best])[0].text)
        feeds.append(Feed(state, tokens, range(len(tokens)), all_tokens=True))
    _run(made, view, feeds, outcomes)
    return outcomes


def _run(
    made: DecoderMemoryModel, view: BankView, feeds: Sequence[Feed], outcomes: Sequence[Outcome]
) -> None:
    made.run(feeds)
    config = made.config
    rule = RouteRule("mean" if config.query_reduce == "mean" else "max", config.chunk_reduce)
    for feed, outcome in zip(feeds, outcomes, strict=True):
        outcome.logits.append(feed.logits)
        for ordinal, layer in enumerate(config.router_layers):
            route, queries = feed.question.routes[layer], feed.question.queries[layer]
            handles = [int(handle) for handle in route.documents[0] if handle >= 0]
            outcome.chosen.append([view.document_id(handle) for handle in handles])
            every = view.route_layer(ordinal, queries, max(1, len(view)), rule)
            pairs = zip(every.documents[0], every.scores[0], strict=True)
            outcome.scores.append({view.document_id(int(d)): float(s) for d, s in pairs if d >= 0})


@pytest.fixture(autouse=True)
def _repack_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small banks renumber their documents as large ones do."""
    monkeypatch.setattr(live, "_REPACK_SLOTS", 3)


async def test_a_bank_that_lost_all_its_documents_is_empty(tmp_path: Path) -> None:
    async with empty_bank(tmp_path / "b", model(0)) as bank:
        await add(bank, {name: DocumentText("", f"Text {name}.", name) for name in NAMES[:3]})
        await bank.encode_all(random.Random(0))
        (empty,) = asked(bank, bank.view(), ["Which?"])
        assert empty.chosen[0]
        for name in NAMES[:3]:
            await bank.verbs.delete_document("b", name)
        (empty,) = asked(bank, bank.view(), ["Which?"])
        assert not any(empty.chosen)


@pytest.mark.parametrize(
    "seed", [*range(QUICK), *(pytest.param(n, marks=pytest.mark.slow) for n in range(QUICK, LONG))]
)
async def test_a_bank_that_has_lived_is_as_good_as_new(seed: int, tmp_path: Path) -> None:
    made = model(seed % 3)
    async with empty_bank(tmp_path / "old", made) as old, empty_bank(tmp_path / "new", made) as new:
        history = History(old, seed)
        await history.run()
        await build_afresh(new, history.held, random.Random(seed + 1))
        first = next(iter(history.held.values())).text
        questions = [" ".join(first.split()[:8]), "Which exports does a large country have?"]
        lived, fresh = old.view(), new.view()
        assert {lived.document_id(handle) for handle in lived.handles()} == set(history.held)
        side_by_side = asked(old, lived, questions)
        for question, was in zip(questions, side_by_side, strict=True):
            (afresh,) = asked(new, fresh, [question])
            assert was.chosen == afresh.chosen
            for found, expected in zip(was.scores, afresh.scores, strict=True):
                assert found == pytest.approx(expected, rel=0, abs=STEP)
                assert median(abs(found[one] - expected[one]) for one in expected) <= CLOSE
            for found_logits, expected_logits in zip(was.logits, afresh.logits, strict=True):
                apart = (found_logits - expected_logits).abs()
                assert max(float(apart.median()) / MOVED, float(apart.max()) / (5 * STEP)) <= 1
