"""The needle grid: every task at every length, on banks that grow.

Haystacks are encoded once and grow from length to length; a sample's needles are added before its
question and deleted after it. Knows stages and tasks; nothing of terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from random import Random

from memsvc_router import load_default_model
from memsvc_router.api import MemoryModel

from memsvc.bench.banks import Progress
from memsvc.bench.growing import Count, GrowingBank, counting_engine
from memsvc.bench.haystack import NOISE, noise, read_haystack
from memsvc.bench.journal import Journal
from memsvc.bench.lines import InputError
from memsvc.bench.needles import TASKS, Hay, NeedleHay, Sample, hidden, share_told
from memsvc.bench.results import Curve, Grid, QuestionResult, Results
from memsvc.bench.stages import Plan, Stages, finishing, length_name, unscored
from memsvc.engine import Engine

METRIC = "match"


@dataclass(frozen=True)
class NeedlePlan(Plan):
    """`samples`: questions for each task and length; `haystack`: `noise` or a text file."""

    tasks: tuple[str, ...] = tuple(TASKS)
    samples: int = 10
    haystack: str = NOISE

    def __post_init__(self) -> None:
        """Raises InputError."""
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            raise InputError(f"unknown tasks {', '.join(unknown)!r}; there are {', '.join(TASKS)}")


async def run_needles(
    plan: NeedlePlan,
    progress: Progress,
    load_model: Callable[[], MemoryModel] = load_default_model,
) -> Results:
    """Raises InputError, RetrievalError, ModelNotReady; what was answered is kept."""
    hays = _Hays(plan)
    settings = {**asdict(plan), "out": "", "command": "", "lengths": "", "tasks": ""}
    with Journal(plan.out, settings) as journal:
        async with counting_engine(load_model) as (engine, count):
            stages = Stages.begin(plan, journal, engine, _scored)

            def write() -> Results:
                results = _results(plan, stages, hays)
                journal.write(results)
                return results

            return await finishing(
                partial(_ask_all, plan, stages, hays, engine, count, progress, write), write
            )


def _scored(result: QuestionResult) -> QuestionResult:
    said = result.answer if result.found else ""
    return unscored(result, **{METRIC: share_told(said, result.answers)})


class _Hays:
    """The banks of one grid, by what they are made of."""

    def __init__(self, plan: NeedlePlan) -> None:
        self._seed = plan.rules.seed
        self._noise, self._text = noise(), read_haystack(plan.haystack)
        self._same = plan.haystack == NOISE
        self._needles: dict[Hay, NeedleHay] = {}
        self.banks: dict[Hay, GrowingBank] = {}

    def of(self, task: str) -> Hay:
        """Which hay a task needs; text that is noise need not be encoded twice."""
        hay = TASKS[task].hay
        return "noise" if hay == "text" and self._same else hay

    def bank(self, task: str, engine: Engine, count: Count) -> GrowingBank:
        """The bank of a task, empty at first."""
        hay = self.of(task)
        if hay not in self.banks:
            name = f"hay-{hay}"
            if hay in ("words", "uuids"):
                self._needles[hay] = NeedleHay(TASKS[task], name, self._seed)
                passages = self._needles[hay].passages()
            else:
                source = self._noise if hay == "noise" else self._text
                passages = source.passages(name, self._seed)
            self.banks[hay] = GrowingBank(engine, name, passages, count)
        return self.banks[hay]

    def sample(self, task: str, name: str) -> Sample:
        """The sample of a name, the same each time (and at each length that has passages)."""
        hay, rng = self.of(task), Random(f"{self._seed}/{name}")
        if hay in self._needles:
            return self._needles[hay].sample(name, len(self.banks[hay].held), rng)
        source = self._noise if hay == "noise" else self._text
        return hidden(TASKS[task], name, source, rng)


async def _ask_all(
    plan: NeedlePlan,
    stages: Stages,
    hays: _Hays,
    engine: Engine,
    count: Count,
    progress: Progress,
    write: Callable[[], Results],
) -> None:
    total = len(plan.lengths) * len(plan.tasks) * plan.samples * len(plan.rules.paths)
    for length in plan.lengths:
        for task in plan.tasks:
            names = stages.due([_name(task, length, n) for n in range(plan.samples)])
            if not names:
                continue
            bank = hays.bank(task, engine, count)
            await bank.grow(length, progress)
            if not bank.held:
                raise InputError(f"{length} tokens do not hold a passage; ask for more")
            await stages.warm(bank, hays.sample(task, names[0]).question)
            for name in names:
                sample = hays.sample(task, name)
                async with bank.holding(sample.passages):
                    await stages.ask(bank, sample.question)
                progress("asking", stages.journal.count(), total)
        write()


def _name(task: str, length: int, number: int) -> str:
    return f"{task}/{length_name(length)}/{number}"


def _results(plan: NeedlePlan, stages: Stages, hays: _Hays) -> Results:
    at_length = {length: partial(_is_of_length, length) for length in plan.lengths}
    curve = stages.curve("Needles found, all tasks together", METRIC, at_length)
    bank = {
        "documents": sum(len(bank.held) for bank in hays.banks.values()),
        "tokens": sum(bank.tokens for bank in hays.banks.values()),
        "haystack": plan.haystack,
        "samples": plan.samples,
    }
    grids = [_grid(plan, path.path, path.questions) for path in stages.paths()]
    curves: list[Curve] = [curve] if curve else []
    return stages.results("Needles in a haystack", bank, curves, grids)


def _is_of_length(length: int, name: str) -> bool:
    return name.split("/")[1] == length_name(length)


def _grid(plan: NeedlePlan, path: str, questions: Sequence[QuestionResult]) -> Grid:
    cells: dict[tuple[str, str], list[float]] = {}
    for question in questions:
        task, length, _ = question.id.split("/")
        cells.setdefault((task, length), []).append(question.scores[METRIC])
    names = [length_name(length) for length in plan.lengths]
    means = {cell: sum(row) / len(row) for cell, row in cells.items()}
    values = [[means.get((task, length)) for length in names] for task in plan.tasks]
    return Grid(
        "Needles found", "tokens in the bank", "task", list(names), list(plan.tasks), values, path
    )
