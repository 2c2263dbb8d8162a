"""Where the time of an Ask goes: the model's thread by stages, and what lies around it.

A profiler (cProfile) runs on the model's thread while it works on a question; stages are functions,
told apart by name. Knows those names; nothing of files or terminals.
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from memsvc_router import load_default_model
from memsvc_router.api import Event, MemoryModel, Step

from memsvc.bench import metrics
from memsvc.bench.banks import Progress, temporary_banks
from memsvc.bench.corpus import Corpus
from memsvc.bench.runner import Report, Settings, ask_all, quiet, read_answer

# A stage: the file and the functions whose time it is, and the stages inside whose time is not.
_STAGES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "forward of texts and question": ("network.py", ("read",), ()),
    "routing queries": ("network.py", ("queries",), ()),
    "routing": ("view.py", ("route", "route_layer"), ()),
    "reading texts": ("view.py", ("texts",), ()),
    "tokenising": ("texts.py", ("tokenize",), ()),
    "reading content": ("view.py", ("content",), ()),
    "assembling memory": ("reading.py", ("_memory",), ("reading content",)),
    "memory layers and pointers": ("network.py", ("point",), ()),
    "best span": ("reading.py", ("best_span",), ()),
}
_REST, _AROUND = "the rest of the model's thread", "around the model: queue, events, view"


class Watched:
    """A model that is watched while it answers. What is not `ask` or `run` is the model's own."""

    def __init__(self, model: MemoryModel) -> None:
        self._model = model
        self.profiler = cProfile.Profile()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def ask(self, *args: Any, **kwargs: Any) -> Iterator[Event | Step]:
        """See `MemoryModel.ask`."""
        with self._watching():
            events = iter(self._model.ask(*args, **kwargs))
        while True:
            with self._watching():
                event = next(events, None)
            if event is None:
                return
            yield event

    def run(self, *args: Any) -> None:
        """See `MemoryModel.run`."""
        with self._watching():
            self._model.run(*args)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        self.profiler.enable()
        try:
            yield
        finally:
            self.profiler.disable()


async def bench_profile(
    corpus: Corpus,
    settings: Settings,
    progress: Progress = quiet,
    load_model: Callable[[], MemoryModel] = load_default_model,
) -> Report:
    """Milliseconds of a question by stage (means), which add up to its latency. The profiler's own
    cost is in them: less than a tenth where tensors do the work."""
    watched: list[Watched] = []

    def load() -> MemoryModel:
        watched.append(Watched(load_model()))
        model: Any = watched[-1]
        return model  # type: ignore[no-any-return]

    async with temporary_banks(corpus, load, progress) as loaded:
        first = {id(corpus.asked(bank)[0]) for bank in loaded.names}
        warm = corpus.only(lambda question: id(question) in first)
        await ask_all(loaded, warm, settings, quiet, read_answer)
        watched[0].profiler.clear()
        told = await ask_all(loaded, corpus, settings, progress, read_answer)
    spent = [one.milliseconds for one in told]
    asked = len(told) + len(loaded.names)  # each bank's first question was asked twice
    stages = _stages(pstats.Stats(watched[0].profiler), asked)
    mean = fmean(spent)
    stages[_AROUND] = max(0.0, mean - sum(stages.values()))
    return {
        "n": len(told),
        "hops": settings.options.max_hops,
        "latency_ms": metrics.percentiles(spent),
        "mean_ms": round(mean, 3),
        "stage_ms": {name: round(value, 3) for name, value in _largest_first(stages)},
    }


def _stages(stats: Any, questions: int) -> dict[str, float]:
    """Milliseconds of a question for each stage; the stages share no time."""
    whole = dict.fromkeys(_STAGES, 0.0)
    for (file, _, function), (_, _, _, seconds, _) in stats.stats.items():
        for name, (of, functions, _) in _STAGES.items():
            if Path(file).name == of and function in functions:
                whole[name] += seconds
    own = {
        name: seconds - sum(whole[one] for one in _STAGES[name][2])
        for name, seconds in whole.items()
    }
    own[_REST] = max(0.0, stats.total_tt - sum(own.values()))
    return {name: 1e3 * seconds / questions for name, seconds in own.items()}


def _largest_first(stages: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(stages.items(), key=lambda one: -one[1])
