"""Measurements in stages: the same kind of questions to banks of growing length.

Asks, keeps answers, and puts together what results have in common. Knows contests and journals;
nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from memsvc.bench import machine
from memsvc.bench.contest import Contest, Rules
from memsvc.bench.corpus import Question
from memsvc.bench.growing import GrowingBank
from memsvc.bench.journal import Journal
from memsvc.bench.lines import InputError
from memsvc.bench.results import (
    Curve,
    Grid,
    PathResult,
    QuestionResult,
    Results,
    Skipped,
    pairs,
    summarise,
)
from memsvc.bench.running import model_facts
from memsvc.bench.schema import Facts
from memsvc.engine import Engine
from memsvc.retrieval import PathSkipped

_UNITS = {"k": 1024, "m": 1024 * 1024}

Score = Callable[[QuestionResult], QuestionResult]


@dataclass(frozen=True)
class Plan:
    """What both kinds of measurement need to know. `lengths`: tokens, growing."""

    rules: Rules
    lengths: tuple[int, ...]
    command: str
    out: Path | None = None


@dataclass
class Stages:
    """A measurement on its way. `score` changes each result before it is kept."""

    plan: Plan
    journal: Journal
    engine: Engine
    contest: Contest
    score: Score
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, plan: Plan, journal: Journal, engine: Engine, score: Score) -> Stages:
        """Raises InputError where the journal is of another model."""
        stages = cls(plan, journal, engine, Contest(engine, plan.rules), score)
        if engine.identity is not None:
            journal.agree({"model": engine.identity.digest})
        return stages

    def due(self, questions: Sequence[str]) -> list[str]:
        """Questions that some path has not answered."""
        paths = self.plan.rules.paths
        return [q for q in questions if not all(self.journal.told(p.path, "", q) for p in paths)]

    async def ask(self, bank: GrowingBank, question: Question) -> None:
        """One question to every path that has not answered it."""
        for path in self.plan.rules.paths:
            if self.journal.told(path.path, "", question.id):
                continue
            try:
                result = await self.contest.ask(path, bank.name, question)
            except PathSkipped as reason:
                self.contest.skipped.setdefault(path.path, str(reason))
            else:
                self.journal.add(path.path, "", self.score(result))

    async def warm(self, bank: GrowingBank, question: Question) -> None:
        """Make the indexes before anybody waits for them."""
        await self.contest.enter(bank.name, question)

    def paths(self) -> list[PathResult]:
        """Figures over all questions of all stages."""
        rules = self.plan.rules
        return [
            summarise(path.path, told, rules.settings(path), seed=rules.seed)
            for path in rules.paths
            if (told := self.journal.of(path.path))
        ]

    def results(
        self, title: str, bank: Facts, curves: Sequence[Curve], grids: Sequence[Grid] = ()
    ) -> Results:
        """All figures so far."""
        rules, paths = self.plan.rules, self.paths()
        asked = {path.path for path in paths}
        skipped = self.contest.skipped.items()
        part = [f"{p}: not at every length: {why}" for p, why in skipped if p in asked]
        identity = self.engine.identity
        return Results(
            title=title,
            created=machine.now(),
            command=self.plan.command,
            machine=machine.facts(),
            model=model_facts(identity) if identity is not None else {},
            bank=bank,
            settings={
                "k": rules.k,
                "max_hops": rules.max_hops,
                "max_read_tokens": rules.max_read_tokens,
                "seed": rules.seed,
                "lengths": list(self.plan.lengths),
            },
            paths=paths,
            pairs=pairs(paths, rules.seed),
            curves=list(curves),
            grids=list(grids),
            skipped=[Skipped(path, why) for path, why in skipped if path not in asked],
            warnings=[*self.warnings, *part],
        )

    def curve(
        self, title: str, metric: str, stages: Mapping[int, Callable[[str], bool]]
    ) -> Curve | None:
        """A metric's mean against length; `stages` tells by a question's id whether it is of a
        length. None where no path has it."""
        series: dict[str, list[float | None]] = {}
        for path in self.paths():
            row = [self._mean(path, metric, mine) for mine in stages.values()]
            if any(value is not None for value in row):
                series[path.path] = row
        x = [float(length) for length in stages]
        return Curve(title, "tokens in the bank", metric, x, series) if series else None

    def _mean(self, path: PathResult, metric: str, mine: Callable[[str], bool]) -> float | None:
        some = [question for question in path.questions if mine(question.id)]
        found = summarise(path.path, some, path.settings).metrics.get(metric)
        return found.mean if found else None


def unscored(result: QuestionResult, **scores: float) -> QuestionResult:
    """The result with measures of its own in place of exact match and F1."""
    return replace(result, em=None, f1=None, scores=scores)


def read_lengths(text: str) -> tuple[int, ...]:
    """`4k,16k,1m` as tokens (k: 1024), the shortest first. Raises InputError."""
    lengths = set()
    for part in text.lower().replace(" ", "").split(","):
        unit = _UNITS.get(part[-1:], 1)
        number = part[:-1] if unit > 1 else part
        if not number.isdigit() or int(number) < 1:
            raise InputError(f"--lengths {text!r}: {part!r} is no length such as 4096, 16k or 1m")
        lengths.add(int(number) * unit)
    return tuple(sorted(lengths))


def length_name(tokens: int) -> str:
    """`4k` of 4096."""
    for name, unit in reversed(_UNITS.items()):
        if tokens % unit == 0:
            return f"{tokens // unit}{name}"
    return str(tokens)


async def finishing(work: Callable[[], Awaitable[None]], write: Callable[[], Results]) -> Results:
    """The results of all work; whatever ends it, cancellation included, they are written."""
    try:
        await work()
    finally:
        results = write()
    return results
