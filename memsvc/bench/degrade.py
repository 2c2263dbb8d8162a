"""The context-degradation curve: fixed questions to a bank that grows by distractors.

At each length the bank holds the evidence of all questions, and as many other passages of the set
as fit. Knows stages and corpora; nothing of formats or terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from random import Random

from memsvc_router import load_default_model
from memsvc_router.api import MemoryModel

from memsvc.bench.banks import Progress
from memsvc.bench.corpus import Corpus, Passage
from memsvc.bench.growing import Count, GrowingBank, counting_engine
from memsvc.bench.journal import Journal
from memsvc.bench.lines import InputError
from memsvc.bench.results import Results
from memsvc.bench.running import corpus_digest, named_apart
from memsvc.bench.stages import Plan, Stages, finishing, length_name

CURVES = ("em", "f1", "recall@10", "all@10", "abstention")


@dataclass(frozen=True)
class DegradePlan(Plan):
    """`corpus`: one bank, and the questions that are asked at every length."""

    corpus: Corpus = field(default_factory=lambda: Corpus({}, []))
    title: str = ""

    def __post_init__(self) -> None:
        """Raises InputError."""
        if len(self.corpus.banks) != 1:
            raise InputError(
                f"the set makes {len(self.corpus.banks)} banks; a bank that grows must be one"
            )


async def run_degrade(
    plan: DegradePlan,
    progress: Progress,
    load_model: Callable[[], MemoryModel] = load_default_model,
) -> Results:
    """Raises InputError, RetrievalError, ModelNotReady; what was answered is kept."""
    plan = replace(plan, corpus=named_apart(plan.corpus))
    settings = {"rules": asdict(plan.rules), "questions": corpus_digest(plan.corpus)}
    with Journal(plan.out, settings) as journal:
        async with counting_engine(load_model) as (engine, count):
            stages = Stages.begin(plan, journal, engine, lambda result: result)
            stages.warnings += plan.corpus.all_warnings()
            bank = GrowingBank(engine, "growing", _in_order(plan), count)

            def write() -> Results:
                results = _results(plan, stages, bank)
                journal.write(results)
                return results

            return await finishing(
                partial(_ask_all, plan, stages, bank, count, progress, write), write
            )


def _in_order(plan: DegradePlan) -> Iterator[Passage]:
    """The evidence first, then the others in a seeded order."""
    ((_, passages),) = plan.corpus.banks.items()
    wanted = _evidence(plan)
    others = [passage for passage in passages if passage.id not in wanted]
    Random(plan.rules.seed).shuffle(others)
    yield from (passage for passage in passages if passage.id in wanted)
    yield from others


def _evidence(plan: DegradePlan) -> set[str]:
    return {document for question in plan.corpus.questions for document in question.evidence}


async def _ask_all(
    plan: DegradePlan,
    stages: Stages,
    bank: GrowingBank,
    count: Count,
    progress: Progress,
    write: Callable[[], Results],
) -> None:
    wanted = _evidence(plan)
    ((_, passages),) = plan.corpus.banks.items()
    least = sum(count(f"{p.title} {p.text}") for p in passages if p.id in wanted)
    questions = plan.corpus.questions
    total = len(plan.lengths) * len(questions) * len(plan.rules.paths)
    for length in plan.lengths:
        if length < least:
            stages.warnings.append(
                f"not asked at {length_name(length)}: the evidence alone is {least:,} tokens"
            )
            continue
        if not await bank.grow(length, progress):
            stages.warnings.append(
                f"the set has {bank.tokens:,} tokens: {length_name(length)} and more not reached"
            )
            return
        await stages.warm(bank, questions[0])
        for question in questions:
            await stages.ask(bank, replace(question, id=f"{question.id}@{length_name(length)}"))
            progress("asking", stages.journal.count(), total)
        write()


def _results(plan: DegradePlan, stages: Stages, bank: GrowingBank) -> Results:
    at_length = {length: partial(_is_of_length, length) for length in plan.lengths}
    made = [stages.curve(f"{name} as the bank grows", name, at_length) for name in CURVES]
    facts = {"documents": len(bank.held), "tokens": bank.tokens}
    return stages.results(plan.title, facts, [curve for curve in made if curve is not None])


def _is_of_length(length: int, name: str) -> bool:
    return name.rpartition("@")[2] == length_name(length)
