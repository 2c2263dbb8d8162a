"""A comparison of paths on one bank: the same questions to each in turn, and the figures of it.

Knows engines, retrieval and figures; nothing of the wire. What all paths share is the bank, the
filter, the reader and the budgets; what differs is how documents are found.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from functools import partial

from memsvc_router.api import AskOptions, Event

from memsvc.bench import machine
from memsvc.bench.contest import facts
from memsvc.bench.corpus import Question
from memsvc.bench.results import QuestionResult, Results, Skipped, curve_recall, pairs, summarise
from memsvc.bench.schema import Facts
from memsvc.engine import DocumentFilter, Engine, EngineError, EngineStopped
from memsvc.retrieval import PathSettings, PathSkipped, Retrieval, max_hops

_SUMMARY_SECONDS = 20.0
_SUMMARY_SHARE = 0.05  # of the time goes into figures on the way, at most
_SHOWN = 3  # missing ids that a warning names


class NothingToAsk(Exception):  # noqa: N818  (says what is wrong, as in memsvc_storage)
    """The bank, or what the filter lets through of it, has no encoded document."""


@dataclass(frozen=True)
class Comparison:
    """What to compare. A `k` of None is the model's own; `visible` None lets all documents pass."""

    bank: str
    questions: Sequence[Question]
    paths: Sequence[PathSettings]
    k: int | None = None
    max_hops: int = AskOptions().max_hops
    max_read_tokens: int | None = None
    visible: DocumentFilter | None = None
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """Pairs of question and path that are done; `seconds_left` is None before the first."""

    path: str
    done: int
    total: int
    seconds_left: float | None


@dataclass(frozen=True)
class Asked:
    """What one path made of one question."""

    path: str
    result: QuestionResult


@dataclass(frozen=True)
class Summary:
    """Figures of what was asked so far; `complete`: of all there is to ask."""

    complete: bool
    results: Results


Told = Progress | Skipped | Asked | Summary


@dataclass
class _Course:
    """A comparison on its way."""

    engine: Engine
    retrieval: Retrieval
    wanted: Comparison
    k: int = 0
    bank: Facts = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    taken: list[PathSettings] = field(default_factory=list)
    asked: dict[str, list[QuestionResult]] = field(default_factory=dict)

    async def look(self) -> None:
        """What the bank holds. Raises BankNotFound, NothingToAsk, ModelNotReady."""
        wanted, engine = self.wanted, self.engine
        documents = [one for one in await engine.facts(wanted.bank) if one.tokens is not None]
        shown = [one for one in documents if wanted.visible is None or wanted.visible(one)]
        if not shown:
            of = "that the filter lets through" if documents else "yet"
            raise NothingToAsk(f"bank {wanted.bank!r} holds no encoded document {of}")
        tokens = sum(one.tokens or 0 for one in documents)
        _, estimate = await engine.estimate(max(tokens, 1), None, wanted.bank, wanted.k)
        self.k = estimate.k
        self.bank = {
            "documents": len(documents),
            "tokens": tokens,
            "near_bytes": estimate.near_bytes,
            "far_bytes": (await engine.get_bank(wanted.bank)).kv_bytes,
        }
        self.warnings = _missing(wanted.questions, {one.document_id for one in shown})

    async def enter(self, path: PathSettings) -> None:
        """Make the path's index and ask it once, unmeasured. Raises PathSkipped, RetrievalError."""
        bank = self.wanted.bank
        await asyncio.to_thread(self.retrieval.factory, path, bank)
        await self.engine.look(bank, partial(self.retrieval.prepare, path, bank))
        await self._ask(path, self.wanted.questions[0])
        self.taken.append(path)
        self.asked[path.path] = []

    async def ask(self, path: PathSettings, question: Question) -> QuestionResult:
        """Ask and keep what came of it. Raises EngineStopped, BankNotFound."""
        try:
            result = await self._ask(path, question)
        except PathSkipped as reason:  # the bank has changed since the path was entered
            result = facts(question, [], self._hops(path), 0.0, f"skipped: {reason}")
        self.asked[path.path].append(result)
        return result

    async def _ask(self, path: PathSettings, question: Question) -> QuestionResult:
        """What the engine or the model refuses becomes the result's error."""
        wanted = self.wanted
        finder = await asyncio.to_thread(self.retrieval.factory, path, wanted.bank)
        options = AskOptions(self.k, self._hops(path), max_read_tokens=wanted.max_read_tokens)
        told: list[Event] = []
        error = ""
        began = time.perf_counter()
        answer = self.engine.ask(wanted.bank, question.text, options, wanted.visible, finder)
        try:
            async with aclosing(answer) as events:
                async for event in events:
                    told.append(event)
        except EngineStopped:
            raise
        except (EngineError, ValueError) as fault:  # ValueError: a question that cannot be read
            error = f"{type(fault).__name__}: {fault}"
        spent = (time.perf_counter() - began) * 1e3
        return facts(question, told, self._hops(path), spent, error)

    def _hops(self, path: PathSettings) -> int:
        return max_hops(path.path, self.wanted.max_hops)

    def settings(self, path: PathSettings) -> Facts:
        """What a path was set to; what only other paths use is left out."""
        told: Facts = {"k": self.k, "max_hops": self._hops(path)}
        if path.path in ("rag", "iterative-rag", "rag+rerank", "hybrid"):
            told |= {"index": path.index, "embedder": path.embedder or "bundled MiniLM"}
        if path.path == "rag+rerank":
            told["reranker"] = path.reranker
        return told

    def results(self) -> Results:
        """All figures of what was asked so far; title and command are the caller's to fill in."""
        wanted = self.wanted
        paths = [
            summarise(
                path.path,
                self.asked[path.path],
                self.settings(path),
                self.retrieval.index_facts(path, wanted.bank),
                wanted.seed,
            )
            for path in self.taken
        ]
        curve = curve_recall(paths)
        identity = self.engine.identity
        return Results(
            title="",
            created=machine.now(),
            command="",
            machine=machine.facts(),
            model={} if identity is None else asdict(identity),
            bank=self.bank,
            settings={
                "k": self.k,
                "max_hops": wanted.max_hops,
                "max_read_tokens": wanted.max_read_tokens,
                "seed": wanted.seed,
            },
            paths=paths,
            pairs=pairs(paths, wanted.seed),
            curves=[curve] if curve else [],
            warnings=[*self.warnings, *_failures(self.asked)],
        )


async def compare(
    engine: Engine, retrieval: Retrieval, wanted: Comparison
) -> AsyncGenerator[Told, None]:
    """Ask every question on every path, question by question, so that what drifts hits all alike.

    Ends with a complete `Summary`; there are others on the way. Closing it stops within a question.
    Raises BankNotFound, NothingToAsk, ModelNotReady, EngineStopped, and RetrievalError for an
    embedder or reranker that cannot be had.
    """
    course = _Course(engine, retrieval, wanted)
    await course.look()
    for path in wanted.paths:
        yield Progress(path.path, 0, len(wanted.paths) * len(wanted.questions), None)
        try:
            await course.enter(path)
        except PathSkipped as reason:
            yield Skipped(path.path, str(reason))
    async with aclosing(_ask_all(course)) as told:
        async for one in told:
            yield one
    yield Summary(True, await asyncio.to_thread(course.results))


async def _ask_all(course: _Course) -> AsyncGenerator[Told, None]:
    total, done = len(course.wanted.questions) * len(course.taken), 0
    began, due = time.monotonic(), time.monotonic() + _SUMMARY_SECONDS
    for place, question in enumerate(course.wanted.questions):
        for path in _in_turn(course.taken, place):
            yield Asked(path.path, await course.ask(path, question))
            done += 1
            left = (time.monotonic() - began) / done * (total - done)
            yield Progress(path.path, done, total, left)
        if time.monotonic() >= due:
            started = time.monotonic()
            yield Summary(False, await asyncio.to_thread(course.results))
            spent = time.monotonic() - started
            due = started + max(_SUMMARY_SECONDS, spent / _SUMMARY_SHARE)


def _in_turn(paths: Sequence[PathSettings], place: int) -> list[PathSettings]:
    """Another path goes first each time: what the first one warms up is no path's own merit."""
    first = place % len(paths) if paths else 0
    return [*paths[first:], *paths[:first]]


def _missing(questions: Sequence[Question], known: set[str]) -> list[str]:
    """A warning where evidence is in no document."""
    named = {document for question in questions for document in question.evidence}
    missing = sorted(named - known)
    if not missing:
        return []
    shown = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
    return [
        f"{len(missing)} of {len(named)} evidence ids are no document that can be found "
        f"({shown}); recall counts them as not found"
    ]


def _failures(asked: dict[str, list[QuestionResult]]) -> list[str]:
    counts = {path: sum(bool(one.error) for one in told) for path, told in asked.items()}
    return [f"{path}: {count} questions failed" for path, count in counts.items() if count]
