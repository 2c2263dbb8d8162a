"""One question to one path, and everything that came of it.

Every path gets the same questions, bank, reader and budgets; what differs is how documents are
found. Knows engines and retrieval; nothing of files, figures or terminals.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

from memsvc_router.api import AskOptions, Citation, Done, Event, Hop

from memsvc.bench.corpus import Question
from memsvc.bench.results import HopFacts, QuestionResult, QuoteFacts, judged
from memsvc.bench.schema import Facts
from memsvc.engine import DocumentFilter, Engine, EngineError, RetrieverFactory
from memsvc.retrieval import PathSettings, PathSkipped, Retrieval


@dataclass(frozen=True)
class Rules:
    """What all paths are held to. `k`: documents found; `max_hops`: rounds at most, for paths
    that have several; `max_read_tokens`: of texts read in all (None: the reader's own bound)."""

    paths: tuple[PathSettings, ...]
    k: int = 16
    max_hops: int = AskOptions().max_hops
    max_read_tokens: int | None = None
    seed: int = 0

    def hops(self, path: str) -> int:
        return Retrieval(None).max_hops(path, self.max_hops)

    def options(self, path: str) -> AskOptions:
        return AskOptions(self.k, self.hops(path), max_read_tokens=self.max_read_tokens)

    def settings(self, path: PathSettings) -> Facts:
        """What a results file says of a path."""
        return {**asdict(path), "k": self.k, "max_hops": self.hops(path.path)}


class Contest:
    """All paths over the banks of one engine."""

    def __init__(self, engine: Engine, rules: Rules) -> None:
        self._engine = engine
        self._rules = rules
        self._retrieval = Retrieval(None)
        self._index: dict[str, dict[str, float]] = {}
        self.skipped: dict[str, str] = {}

    async def enter(self, bank: str, question: Question) -> list[PathSettings]:
        """Make every path's index of a bank and ask it once, unmeasured. Returns the paths that can
        take part; `skipped` has the others' reasons.

        Raises RetrievalError: a path whose models cannot be had.
        """
        taking_part = []
        for path in self._rules.paths:
            try:
                await self._ready(path, bank)
                await self.ask(path, bank, question)
            except PathSkipped as reason:
                self.skipped.setdefault(path.path, str(reason))
            else:
                taking_part.append(path)
        return taking_part

    def leave(self, bank: str) -> None:
        """Drop a bank's indexes, and remember what they cost."""
        for path in self._rules.paths:
            if path.path in self.skipped:
                continue
            costs = self._index.setdefault(path.path, {})
            for name, value in self._retrieval.index_facts(path, bank).items():
                costs[name] = round(costs.get(name, 0) + value, 3)
        self._retrieval.keep_only(())

    def index(self, path: str) -> dict[str, float]:
        """What a path's indexes cost, all banks that were left together."""
        return self._index.get(path, {})

    async def ask(
        self,
        path: PathSettings,
        bank: str,
        question: Question,
        visible: DocumentFilter | None = None,
    ) -> QuestionResult:
        """`visible`: what of the bank the question may see; None: all of it. An error of the engine
        or the model becomes the result's. Raises PathSkipped."""
        factory = await self._factory(path, bank)
        options = self._rules.options(path.path)
        events: list[Event] = []
        error = ""
        began = time.perf_counter()
        try:
            async for event in self._engine.ask(bank, question.text, options, visible, factory):
                events.append(event)
        except (EngineError, ValueError) as fault:  # ValueError: a question that cannot be read
            error = f"{type(fault).__name__}: {fault}"
        milliseconds = (time.perf_counter() - began) * 1e3
        return facts(question, events, options.max_hops, milliseconds, error)

    async def _ready(self, path: PathSettings, bank: str) -> None:
        await self._factory(path, bank)
        await self._engine.look(bank, partial(self._retrieval.prepare, path, bank))

    async def _factory(self, path: PathSettings, bank: str) -> RetrieverFactory | None:
        return await asyncio.to_thread(self._retrieval.factory, path, bank)


def facts(
    question: Question, events: Sequence[Event], max_hops: int, milliseconds: float, error: str = ""
) -> QuestionResult:
    """All that came of a question, as the results file holds it."""
    hops = [event for event in events if isinstance(event, Hop)]
    done = next((event for event in events if isinstance(event, Done)), Done("", False, 0.0))
    right = judged(done.answer, done.found, question.answers)
    if error and right is not None:
        right = (0.0, 0.0)
    return QuestionResult(
        id=question.id,
        question=question.text,
        answers=list(question.answers or ()),
        evidence=list(question.evidence),
        answer=done.answer,
        found=done.found,
        confidence=round(done.confidence, 6),
        em=right[0] if right else None,
        f1=round(right[1], 6) if right else None,
        hits=_hits(hops, done, max_hops),
        hops=[_hop(hop) for hop in hops],
        citations=[_quote(event) for event in events if isinstance(event, Citation)],
        latency_ms=round(milliseconds, 3),
        read_tokens=done.usage.read_tokens,
        error=error,
        grades=question.grades,
    )


def _hits(hops: Sequence[Hop], done: Done, max_hops: int) -> list[str]:
    """Documents as `recall` orders them: the model's own order where it has one, else those that
    rounds before the last one allowed read, then what was routed to, the last round first. (What
    the last round allowed reads is no choice of documents, but of answers.)"""
    if done.hits:
        return list(dict.fromkeys(hit.document_id for hit in done.hits))
    read = [document for hop in hops if hop.index + 1 < max_hops for document in hop.read]
    routed = [hit.document_id for hop in reversed(hops) for hit in hop.routed]
    return list(dict.fromkeys([*read, *routed]))


def _hop(hop: Hop) -> HopFacts:
    routed = [hit.document_id for hit in hop.routed]
    return HopFacts(hop.index, routed, list(hop.read), round(hop.milliseconds, 3))


def _quote(citation: Citation) -> QuoteFacts:
    return QuoteFacts(citation.document_id, citation.title, citation.quote)
