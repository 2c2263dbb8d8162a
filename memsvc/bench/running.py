"""A run: every question of a corpus to every path, and the figures that come of it.

Questions go to the paths in turn, so that whatever slows the machine down hits all alike. Knows
contests, journals and figures; nothing of formats or terminals.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from memsvc_router import load_default_model
from memsvc_router.api import Identity, MemoryModel

from memsvc.bench import machine
from memsvc.bench.banks import Loaded, Progress, temporary_banks
from memsvc.bench.contest import Contest, Rules
from memsvc.bench.controls import CONTROLS, OF, check_controls, controlled, figures
from memsvc.bench.corpus import Corpus, Question
from memsvc.bench.journal import Journal
from memsvc.bench.results import (
    PathResult,
    Results,
    Skipped,
    curve_recall,
    pairs,
    summarise,
)
from memsvc.bench.schema import Facts

_WRITE_SECONDS = 20.0
_WRITE_SHARE = 0.05  # of the time goes into figures on the way, at most


@dataclass(frozen=True)
class Run:
    """What to do. `out`: where it is written as it goes; None: nowhere. `controls`: whether the
    model's own path is asked with other memories, too."""

    corpus: Corpus
    rules: Rules
    title: str
    command: str
    out: Path | None = None
    controls: bool = False

    def __post_init__(self) -> None:
        """Raises InputError."""
        if self.controls:
            check_controls(self.corpus, self.rules)

    @cached_property
    def controlled(self) -> frozenset[str]:
        """Questions that controls are asked."""
        return controlled(self.corpus) if self.controls else frozenset()

    @property
    def settings(self) -> Facts:
        """What a results file says of the run."""
        rules = self.rules
        return {
            "k": rules.k,
            "max_hops": rules.max_hops,
            "max_read_tokens": rules.max_read_tokens,
            "seed": rules.seed,
            "controls": self.controls,
        }

    def total(self, path: str) -> int:
        """How many questions a path is to be asked."""
        control = any(path == one.path for one in CONTROLS)
        return len(self.controlled if control else self.corpus.questions)


@dataclass
class State:
    """A run on its way."""

    run: Run
    journal: Journal
    bank: Facts = field(default_factory=dict)
    model: Facts = field(default_factory=dict)
    index: dict[str, Facts] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    missed: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    def results(self) -> Results:
        """All figures of what was answered so far."""
        rules = self.run.rules
        paths = [
            summarise(
                path.path,
                self.journal.of(path.path),
                rules.settings(path),
                self.index.get(path.path),
                rules.seed,
            )
            for path in rules.paths
            if self.journal.of(path.path) or path.path not in self.skipped
        ]
        if self.run.controls:
            paths += figures(self.journal.of, rules)
        asked = [path for path in paths if path.questions]
        curve = curve_recall(asked)
        return Results(
            title=self.run.title,
            created=machine.now(),
            command=self.run.command,
            machine=machine.facts(),
            model=self.model,
            bank=self.bank,
            settings=self.run.settings,
            paths=paths,
            pairs=pairs(asked, rules.seed),
            curves=[curve] if curve else [],
            skipped=[
                Skipped(path, reason)
                for path, reason in self.skipped.items()
                if not self.journal.of(path)
            ],
            warnings=[*self.warnings, *self._gaps(asked)],
        )

    def _gaps(self, asked: Sequence[PathResult]) -> list[str]:
        failed = {path.path: sum(bool(q.error) for q in path.questions) for path in asked}
        told = [f"{path}: {count} questions failed" for path, count in failed.items() if count]
        for path in asked:
            total = self.run.total(path.path)
            if path.path in self.skipped:
                told.append(
                    f"{path.path} was skipped for {self.missed[path.path]} of {total} questions: "
                    f"{self.skipped[path.path]}"
                )
            elif len(path.questions) < total:
                told.append(f"{path.path}: only {len(path.questions)} of {total} questions asked")
        return told


async def run_bench(
    run: Run,
    progress: Progress,
    load_model: Callable[[], MemoryModel] = load_default_model,
) -> Results:
    """Ask what was not asked before, and give the figures of all.

    Whatever ends it, cancellation included, leaves answers and figures in `run.out`. Raises
    InputError (another run's directory, a passage that cannot be stored), RetrievalError (an
    embedder or reranker that cannot be had), ModelNotReady.
    """
    run = replace(run, corpus=named_apart(run.corpus))
    settings = {**run.settings, "paths": [asdict(p) for p in run.rules.paths]}
    with Journal(run.out, {**settings, "questions": corpus_digest(run.corpus)}) as journal:
        state = State(run, journal, warnings=run.corpus.all_warnings())
        try:
            async with temporary_banks(run.corpus, load_model, progress) as loaded:
                await _describe(loaded, state)
                await _ask_all(loaded, state, progress)
        finally:
            results = state.results()
            journal.write(results)
        return results


async def _describe(loaded: Loaded, state: State) -> None:
    engine = loaded.engine
    near = 0
    for name in loaded.names.values():
        tokens = sum(document.tokens or 0 for document in await engine.facts(name))
        if tokens:
            near += (await engine.estimate(tokens, None, name, None))[1].near_bytes
    state.bank = {
        "banks": len(loaded.names),
        "documents": loaded.documents,
        "tokens": loaded.tokens,
        "near_bytes": near,
        "far_bytes": loaded.bytes,
    }
    if engine.identity is not None:
        state.model = model_facts(engine.identity)
        state.journal.agree({"model": engine.identity.digest})
    if loaded.failed:
        state.warnings.append(f"{loaded.failed} documents could not be encoded")


def model_facts(identity: Identity) -> Facts:
    """A model's identity as JSON holds it, and its digest."""
    layers = list(identity.router_layers)
    return {**asdict(identity), "router_layers": layers, "digest": identity.digest}


async def _ask_all(loaded: Loaded, state: State, progress: Progress) -> None:
    run, journal = state.run, state.journal
    corpus, rules = run.corpus, run.rules
    contest = Contest(loaded.engine, rules)
    state.skipped = contest.skipped
    total = len(corpus.questions) * len(rules.paths) + len(run.controlled) * len(CONTROLS)
    due = _Due()
    for bank, name in loaded.names.items():
        asked = corpus.asked(bank)
        taking_part = await contest.enter(name, asked[0])
        for path in rules.paths:
            if path not in taking_part:
                state.missed[path.path] += len(asked)
        for question in asked:
            for path in taking_part:
                if not journal.told(path.path, bank, question.id):
                    result = await contest.ask(path, name, question)
                    journal.add(path.path, bank, result)
            await _control(contest, run, journal, name, question)
            progress("asking", journal.count() + state.missed.total(), total)
            if due:
                with due:
                    journal.write(state.results())
        contest.leave(name)
        state.index = {path.path: contest.index(path.path) for path in rules.paths}


async def _control(
    contest: Contest, run: Run, journal: Journal, name: str, question: Question
) -> None:
    """A question to the model's own path with other memories, where it was not asked before."""
    if question.id not in run.controlled:
        return
    path = next(path for path in run.rules.paths if path.path == OF)
    for control in CONTROLS:
        if not journal.told(control.path, question.bank, question.id):
            result = await control.ask(contest, path, name, question)
            journal.add(control.path, question.bank, result)


class _Due:
    """When figures on the way are written: seldom where that takes long."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _WRITE_SECONDS
        self._began = 0.0

    def __bool__(self) -> bool:
        return time.monotonic() >= self._next

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        now = time.monotonic()
        self._next = now + max(_WRITE_SECONDS, (now - self._began) / _WRITE_SHARE)


def named_apart(corpus: Corpus) -> Corpus:
    """The corpus with a name of its own for each question: figures go by name."""
    seen: Counter[str] = Counter()
    questions = []
    for question in corpus.questions:
        seen[question.id] += 1
        again = seen[question.id]
        name = question.id if again == 1 else f"{question.id} ({again})"
        questions.append(replace(question, id=name))
    return replace(corpus, questions=questions)


def corpus_digest(corpus: Corpus) -> str:
    """16 hex digits over all passages and questions."""
    total = hashlib.sha256()
    for bank, passages in corpus.banks.items():
        total.update(repr((bank, passages)).encode())
    total.update(repr(corpus.questions).encode())
    return total.hexdigest()[:16]
