"""A decoder as a memory model: events, batches and caches, over several families."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from memsvc_router import ResidentMemory
from memsvc_router.api import (
    AskOptions,
    Citation,
    Done,
    Event,
    Hop,
    MemoryView,
    RouteRule,
    Routes,
    Sampling,
    Step,
    Token,
)
from memsvc_router.decoder.model import DecoderMemoryModel
from memsvc_router.decoder.state import Feed, QuestionState

from tests.asking_support import DOCUMENTS, QUESTIONS, asked, bank, drive, model, only, reading
from tests.decoder_support import FAMILIES
from tests.router_support import TOWNS


@pytest.mark.parametrize("family", FAMILIES)
def test_events_come_in_order_and_sources_are_verbatim(family: str) -> None:
    made = model(family)
    view = bank(made)
    events = reading(made, view)
    order = [Hop, Citation, Token, Done]
    assert [order.index(type(e)) for e in events] == sorted(order.index(type(e)) for e in events)
    (done,) = only(Done, events)
    assert "".join(t.text for t in only(Token, events)).strip() == done.answer
    read = [name for hop in only(Hop, events) for name in hop.read]
    cited = only(Citation, events)
    assert [c.document_id for c in cited] == read
    for citation in cited:
        assert citation.quote == TOWNS[citation.document_id].text[citation.start : citation.end]
        assert citation.quote


def test_every_hop_tells_the_choice_of_each_router_layer() -> None:
    made = model()
    hop = only(Hop, asked(made, bank(made), QUESTIONS[0]))[0]
    assert [route.layer for route in hop.layers] == list(made.config.router_layers)
    for route in hop.layers:
        assert len(route.documents) == made.top_k
        assert list(route.scores) == sorted(route.scores, reverse=True)
    routed = {hit.document_id for hit in hop.routed}
    assert routed <= {name for route in hop.layers for name in route.documents}


def test_only_routed_documents_are_named_each_once_within_the_budget() -> None:
    made = model()
    events = reading(made, bank(made), max_documents=2, max_hops=4)
    hops = only(Hop, events)
    read = [name for hop in hops for name in hop.read]
    assert len(read) == len(set(read)) <= 2
    for hop in hops:
        layers = {name for route in hop.layers for name in route.documents}
        assert set(hop.read) <= layers - set(hop.given)


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_answered_side_by_side_say_what_each_says_alone(family: str) -> None:
    made = model(family)
    view = bank(made)
    options = AskOptions(max_hops=2, sampling=Sampling(max_tokens=6))
    running = {q: made.ask(view, q, options) for q in QUESTIONS}
    told: dict[str, list[Event]] = {q: [] for q in QUESTIONS}
    while running:
        steps: list[Step] = []
        for question, events in list(running.items()):
            for event in events:
                if isinstance(event, Step):
                    steps.append(event)
                    break
                told[question].append(event)
            else:
                del running[question]
        made.run(steps)
    for question in QUESTIONS:
        alone = drive(made, made.ask(view, question, options))
        assert [gist(e) for e in told[question]] == [gist(e) for e in alone]


def gist(event: Event) -> object:
    match event:
        case Hop():
            return [(hit.document_id, hit.chunk) for hit in event.routed], event.read
        case Citation():
            return event.document_id, event.start, event.end
        case Token():
            return event.text
    return event.answer, event.found


def state_of(made: DecoderMemoryModel, view: MemoryView) -> QuestionState:
    return QuestionState(made.runner.prefix, view, made.top_k)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_at_a_time_computes_what_all_at_once_computes(family: str) -> None:
    made = model(family)
    view = bank(made)
    tokens, routed = made.prompts.question(QUESTIONS[0])
    more = made.prompts.plain("Marie was born in Warsaw " * 40)  # beyond the first room
    whole = Feed(state_of(made, view), [*tokens, *more], range(routed), all_tokens=True)
    made.run([whole])
    state = state_of(made, view)
    first = Feed(state, tokens, range(routed), all_tokens=True)
    made.run([first])
    rows = [*first.logits]
    for token in more:
        feed = Feed(state, [token])
        made.run([feed])
        rows.append(feed.logits)
    assert torch.stack(rows).sub(whole.logits).abs().max() < 1e-4


def test_a_token_is_forwarded_once_however_many_hops(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model()
    forwarded: list[int] = []
    inside = made.runner.run

    def counting(feeds: Sequence[Feed]) -> None:
        forwarded.extend(len(feed.tokens) for feed in feeds)
        states.extend(feed.question for feed in feeds)
        inside(feeds)

    states: list[QuestionState] = []
    monkeypatch.setattr(made.runner, "run", counting)
    view = bank(made)
    hops = 0
    for n in range(40):
        forwarded.clear()
        states.clear()
        events = asked(made, view, f"Who, {n}?", max_hops=3, max_documents=9)
        hops = len(only(Hop, events))
        if hops >= 2 and only(Citation, events):
            break
    assert hops >= 2
    assert len({id(state) for state in states}) == 1
    assert sum(forwarded) == states[0].length


class Leaky(ResidentMemory):
    """A bank that loses its documents in the second router layer."""

    def route_layer(
        self, layer: int, queries: np.ndarray[Any, Any], k: int, rule: RouteRule
    ) -> Routes:
        if layer == 1:
            raise LookupError("gone")
        return super().route_layer(layer, queries, k, rule)


def test_a_question_that_fails_does_not_touch_the_others_of_its_batch() -> None:
    made = model()
    names = [d.document_id for d in DOCUMENTS]
    view = bank(made)
    leaky = Leaky(names, DOCUMENTS, made.encode(DOCUMENTS))
    tokens, routed = made.prompts.question(QUESTIONS[0])
    alone, sick, well = (
        Feed(state_of(made, v), tokens, range(routed)) for v in (view, leaky, view)
    )
    made.run([alone])
    made.run([sick, well])
    assert torch.allclose(well.logits, alone.logits, atol=1e-5)
    with pytest.raises(LookupError, match="gone"):
        _ = sick.logits
    assert sick.question.length == 0


def test_budgets_of_tokens_and_time_bound_what_is_read() -> None:
    made = model()
    view = bank(made)
    assert reading(made, view, max_read_tokens=40)[-1].usage.read_tokens <= 60  # type: ignore[union-attr]
    long = [d for d in DOCUMENTS if d.document_id == "bread"]
    (cited,) = only(Citation, reading(made, bank(made, long), max_read_tokens=40))
    assert len(cited.quote) < len(long[0].text)
    hurried = reading(made, view, max_seconds=1e-9)
    assert len(only(Hop, hurried)) == 1


class Slow(ResidentMemory):
    """A bank that tells which layers' content was read, and by which thread; `fails`: not before
    the layer itself asks."""

    def __init__(self, *told: Any, fails: bool = False) -> None:
        super().__init__(*told)
        self.reads: list[tuple[int, bool]] = []
        self._fails, self._own = fails, threading.get_ident()

    def content(
        self, handles: Sequence[int], layer: int = 0
    ) -> list[np.ndarray[Any, np.dtype[np.floating[Any]]]]:
        ours = threading.get_ident() == self._own
        if handles:
            self.reads.append((layer, ours))
        if self._fails and not ours:
            raise LookupError("too early")
        return super().content(handles, layer)


@pytest.mark.parametrize("fails", [False, True])
def test_content_of_the_next_layer_is_on_its_way_while_a_layer_computes(fails: bool) -> None:
    made = model()
    names = [d.document_id for d in DOCUMENTS]
    view = Slow(names, DOCUMENTS, made.encode(DOCUMENTS), fails=fails)
    tokens, routed = made.prompts.question(QUESTIONS[0])
    plain, fetched = (Feed(state_of(made, v), tokens, range(routed)) for v in (bank(made), view))
    made.run([plain])
    made.run([fetched])
    assert torch.equal(fetched.logits, plain.logits)
    assert (1, False) in view.reads  # not by the thread that computes
    assert ((1, True) in view.reads) or not fails  # what did not come is read by who needs it
