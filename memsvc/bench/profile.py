"""Where the time of an Ask goes: the model by stages, what lies around it, and the wire.

Stages are functions, told apart by name; those that run side by side share the time. Each question
is asked twice, of the engine and through server and SDK: what that takes more is theirs. Knows
those names; nothing of files or terminals.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

import memsvc_client
from memsvc_router import load_default_model, reading
from memsvc_router.api import Event, MemoryModel, Step
from memsvc_router.network import MemoryNetwork

from memsvc.bench import metrics
from memsvc.bench.banks import Progress, temporary_banks
from memsvc.bench.clock import Places, StageClock
from memsvc.bench.corpus import Corpus
from memsvc.bench.runner import Asked, Report, Settings, ask_all, quiet, read_answer
from memsvc.bench.wire import served
from memsvc.engine.view import BankView

_STAGES: Places = {
    "forward of texts and question": [(MemoryNetwork, "read")],
    "routing queries": [(MemoryNetwork, "queries")],
    "routing": [(BankView, "route"), (BankView, "route_layer")],
    "reading texts": [(BankView, "texts")],
    "tokenising": [(reading, "tokenize")],
    "reading content": [(BankView, "content")],
    "assembling memory": [(reading.Reader, "_memory")],
    "memory layers and pointers": [(MemoryNetwork, "point")],
    "best span": [(reading, "best_span")],
}
_REST, _AROUND = "the rest of the model's thread", "around the model: queue, events, view"
_WIRE = "server, wire and SDK"


class Watched:
    """A model that is watched while it answers. What is not `ask` or `run` is the model's own."""

    def __init__(self, model: MemoryModel, clock: StageClock) -> None:
        self._model, self._clock = model, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def ask(self, *args: Any, **kwargs: Any) -> Iterator[Event | Step]:
        """See `MemoryModel.ask`."""
        with self._clock.inside(_REST):
            events = iter(self._model.ask(*args, **kwargs))
        while True:
            with self._clock.inside(_REST):
                event = next(events, None)
            if event is None:
                return
            yield event

    def run(self, *args: Any) -> None:
        """See `MemoryModel.run`."""
        with self._clock.inside(_REST):
            self._model.run(*args)


async def bench_profile(
    corpus: Corpus,
    settings: Settings,
    progress: Progress = quiet,
    load_model: Callable[[], MemoryModel] = load_default_model,
) -> Report:
    """Milliseconds of a question by stage (means), which add up to its latency as the SDK sees it,
    server and client being one process."""
    clock = StageClock(_REST)

    def load() -> MemoryModel:
        model: Any = Watched(load_model(), clock)
        return model  # type: ignore[no-any-return]

    async with temporary_banks(corpus, load, progress) as loaded, served(loaded.engine) as client:
        both = _Both(client)
        first = {id(corpus.asked(bank)[0]) for bank in loaded.names}
        warm = corpus.only(lambda question: id(question) in first)
        await ask_all(loaded, warm, settings, quiet, both.ask)
        clock.clear()
        with clock.watching(_STAGES):
            told = await ask_all(loaded, corpus, settings, progress, both.ask)
    inside, outside = zip(*(one.outcome for one in told), strict=True)
    asked = 2 * (len(told) + len(loaded.names))  # each bank's first question was asked once more
    stages = {stage: 1e3 * clock.seconds[stage] / asked for stage in (*_STAGES, _REST)}
    stages[_AROUND] = fmean(inside) - sum(stages.values())
    stages[_WIRE] = fmean(outside) - fmean(inside)
    return {
        "n": len(told),
        "hops": settings.options.max_hops,
        "latency_ms": metrics.percentiles(outside),
        "engine_ms": metrics.percentiles(inside),
        "mean_ms": round(fmean(outside), 3),
        "stage_ms": {name: round(value, 3) for name, value in _largest_first(stages)},
    }


class _Both:
    """Asks the engine, and the SDK of the same engine. Who is first changes with every question: it
    is the one that reads from disk."""

    def __init__(self, client: memsvc_client.AsyncMemoryClient) -> None:
        self._client = client
        self._swapped = False

    async def ask(self, asked: Asked) -> tuple[float, float]:
        """Milliseconds of either."""
        self._swapped = not self._swapped
        ways = [read_answer, self._through]
        spent = {}
        for way in reversed(ways) if self._swapped else ways:
            began = time.perf_counter()
            await way(asked)
            spent[way] = 1e3 * (time.perf_counter() - began)
        return spent[read_answer], spent[self._through]

    async def _through(self, asked: Asked) -> str:
        own = asked.settings.options
        options = memsvc_client.AskOptions(k=own.k, max_hops=own.max_hops)
        answer = await self._client.ask_answer(asked.bank, asked.question.text, options=options)
        return answer.text


def _largest_first(stages: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(stages.items(), key=lambda one: -one[1])
