"""Asks every question of a corpus, one at a time, and reports what came of it.

Each bank's first question is asked once before, unmeasured: it loads the bank's keys, or makes the
other path's index. Knows engines, measures and reports; nothing of files or terminals.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from memsvc_router import load_default_model
from memsvc_router.api import AskOptions, Done, MemoryModel, Path

from memsvc.bench import metrics
from memsvc.bench.banks import Loaded, Progress, temporary_banks
from memsvc.bench.corpus import Corpus, Question
from memsvc.bench.lines import InputError
from memsvc.engine import Engine, RetrieverFactory
from memsvc.retrieval import PathSettings, Retrieval, max_hops

CUTOFFS = (1, 2, 5, 10, 16)

T = TypeVar("T")
Report = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How questions are asked. `path`: the model's routing, embeddings or keywords; `hops`: rounds
    at most, for paths that have several."""

    path: Path = "msa"
    k: int = 16
    hops: int = AskOptions().max_hops

    @property
    def options(self) -> AskOptions:
        return AskOptions(k=self.k, max_hops=max_hops(self.path, self.hops))


@dataclass(frozen=True)
class Asked:
    """A question on its way: to which bank, and by which retriever."""

    engine: Engine
    bank: str
    question: Question
    settings: Settings
    retriever: RetrieverFactory | None


@dataclass(frozen=True)
class _Told(Generic[T]):
    """What came of a question."""

    question: Question
    outcome: T
    milliseconds: float


def quiet(stage: str, done: int, total: int) -> None:
    """No progress shown."""


async def bench_recall(
    corpus: Corpus,
    settings: Settings,
    progress: Progress = quiet,
    load_model: Callable[[], MemoryModel] = load_default_model,
) -> Report:
    """Recall of the evidence; questions without any are left out. Raises InputError."""
    measured = corpus.only(lambda question: bool(question.evidence))
    if not measured.questions:
        raise InputError("no question names its evidence: there is no recall to measure")
    async with temporary_banks(measured, load_model, progress) as loaded:
        told = await ask_all(loaded, measured, settings, progress, _hits)
    shares = {
        str(k): [metrics.evidence_share(one.outcome, one.question.evidence, k) for one in told]
        for k in CUTOFFS
    }
    return {
        "path": settings.path,
        "n": len(told),
        "recall": {k: metrics.mean(row) for k, row in shares.items()},
        "all": {k: metrics.mean([float(share == 1) for share in row]) for k, row in shares.items()},
        **_costs(loaded, settings, [one.milliseconds for one in told]),
        "missing_evidence": len(measured.missing_evidence()),
        "without_evidence": len(corpus.questions) - len(told),
    }


async def bench_answer(
    corpus: Corpus,
    settings: Settings,
    progress: Progress = quiet,
    load_model: Callable[[], MemoryModel] = load_default_model,
) -> Report:
    """Exact match and F1; to abstain is right exactly where there is no answer."""
    async with temporary_banks(corpus, load_model, progress) as loaded:
        told = await ask_all(loaded, corpus, settings, progress, read_answer)
    return {
        "path": settings.path,
        **_answer_scores([(one.question, one.outcome) for one in told]),
        **_costs(loaded, settings, [one.milliseconds for one in told]),
        "missing_evidence": len(corpus.missing_evidence()),
    }


def _answer_scores(said: list[tuple[Question, str]]) -> Report:
    with_answer = [(text, q.answers) for q, text in said if q.answers]
    without = [text for q, text in said if not q.answers]
    exact = [metrics.exact_match(text, golds) for text, golds in with_answer]
    f1 = [metrics.f1(text, golds) for text, golds in with_answer]
    abstained_right = [float(text == "") for text in without]
    return {
        "n": len(said),
        "em": metrics.mean(exact + abstained_right),
        "f1": metrics.mean(f1 + abstained_right),
        "abstained": sum(text == "" for _, text in said),
        "answerable": {"em": metrics.mean(exact), "f1": metrics.mean(f1), "n": len(with_answer)},
        "unanswerable": {"correct": int(sum(abstained_right)), "n": len(without)},
    }


def _costs(loaded: Loaded, settings: Settings, spent: list[float]) -> Report:
    return {
        "k": settings.k,
        "hops": settings.options.max_hops,
        "latency_ms": metrics.percentiles(spent),
        "tokens": loaded.tokens,
        "bytes_per_token": round(loaded.bytes / loaded.tokens, 3) if loaded.tokens else None,
        "documents": loaded.documents,
        "failed_documents": loaded.failed,
    }


async def ask_all(
    loaded: Loaded,
    corpus: Corpus,
    settings: Settings,
    progress: Progress,
    ask: Callable[[Asked], Awaitable[T]],
) -> list[_Told[T]]:
    """Every question with its outcome, bank by bank."""
    retrieval = Retrieval(None)
    told: list[_Told[T]] = []
    for bank, name in loaded.names.items():
        of_bank = retrieval.factory(PathSettings(settings.path), name)
        questions = [Asked(loaded.engine, name, q, settings, of_bank) for q in corpus.asked(bank)]
        await _outcome(ask, questions[0])
        for asked in questions:
            began = time.perf_counter()
            outcome = await _outcome(ask, asked)
            spent = (time.perf_counter() - began) * 1e3
            told.append(_Told(asked.question, outcome, spent))
            progress("asking", len(told), len(corpus.questions))
    return told


async def _outcome(ask: Callable[[Asked], Awaitable[T]], asked: Asked) -> T:
    try:
        return await ask(asked)
    except ValueError as error:  # the model's word for a question it cannot read
        raise InputError(f"question {asked.question.id!r}: {error}") from error


async def _hits(asked: Asked) -> list[str]:
    found = await asked.engine.recall(
        asked.bank, asked.question.text, asked.settings.options, retriever=asked.retriever
    )
    return [hit.document_id for hit in found.hits]


async def read_answer(asked: Asked) -> str:
    """The answer; "" where the model abstains."""
    text = ""
    async for event in asked.engine.ask(
        asked.bank, asked.question.text, asked.settings.options, retriever=asked.retriever
    ):
        if isinstance(event, Done) and event.found:
            text = event.answer
    return text
