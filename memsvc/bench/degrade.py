"""The context-degradation curve: fixed questions to a bank that grows by distractors.

At each length the bank holds the evidence of all questions, and as much as fits of the other
passages of the set, or of prose. Knows stages and corpora; nothing of formats or terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from random import Random

from memsvc_router import load_default_model
from memsvc_router.api import MemoryModel

from memsvc.bench.banks import Progress
from memsvc.bench.corpus import Corpus, Passage
from memsvc.bench.growing import Count, GrowingBank, counting_engine
from memsvc.bench.intervals import relative_drop
from memsvc.bench.journal import Journal
from memsvc.bench.lines import InputError
from memsvc.bench.prose import Prose
from memsvc.bench.results import Estimate, PathResult, Results
from memsvc.bench.running import corpus_digest, named_apart
from memsvc.bench.stages import Plan, Stages, finishing, length_name

DROP = "f1_drop"
CURVES = ("em", "f1", "recall@10", "all@10", "abstention")


@dataclass(frozen=True)
class DegradePlan(Plan):
    """`corpus`: one bank, and the questions that are asked at every length; `prose`: what the bank
    grows by in place of the set's other passages, where there is any."""

    corpus: Corpus = field(default_factory=lambda: Corpus({}, []))
    title: str = ""
    prose: Prose = field(default_factory=Prose)

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
    settings = {
        "rules": asdict(plan.rules),
        "questions": corpus_digest(plan.corpus),
        "haystack": plan.prose.digest,
    }
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
    """The evidence first, then what distracts in a seeded order."""
    ((_, passages),) = plan.corpus.banks.items()
    wanted = _evidence(plan)
    if plan.prose.texts:
        yield from (passage for passage in passages if passage.id in wanted)
        yield from plan.prose.passages(plan.rules.seed)
        return
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
                f"there are {bank.tokens:,} tokens: {length_name(length)} and more not reached"
            )
            return
        named = [replace(q, id=f"{q.id}@{length_name(length)}") for q in questions]
        if stages.due([question.id for question in named]):
            await stages.warm(bank, questions[0])
        for question in named:
            await stages.ask(bank, question)
            progress("asking", stages.journal.count(), total)
        write()


def _results(plan: DegradePlan, stages: Stages, bank: GrowingBank) -> Results:
    at_length = {length: partial(_is_of_length, length) for length in plan.lengths}
    made = [stages.curve(f"{name} as the bank grows", name, at_length) for name in CURVES]
    facts = {"documents": len(bank.held), "tokens": bank.tokens}
    found = stages.results(plan.title, facts, [curve for curve in made if curve is not None])
    names = [length_name(length) for length in plan.lengths]
    return replace(found, paths=[with_drop(path, names, plan.rules.seed) for path in found.paths])


def with_drop(path: PathResult, lengths: Sequence[str], seed: int) -> PathResult:
    """The path with `f1_drop`: by what share F1 falls from the first of the lengths that were asked
    to the last, over the questions asked at both."""
    f1: dict[str, dict[str, float]] = {}
    for one in path.questions:
        question, _, length = one.id.rpartition("@")
        if one.f1 is not None:
            f1.setdefault(length, {})[question] = one.f1
    asked = [length for length in lengths if length in f1]
    if len(asked) < 2:
        return path
    first, last = f1[asked[0]], f1[asked[-1]]
    both = [question for question in first if question in last]
    if not both:
        return path
    drop = relative_drop([first[q] for q in both], [last[q] for q in both], seed)
    if drop is None:
        return path
    mean, low, high = (round(value, 6) for value in drop)
    told = Estimate(mean, low, high, len(both))
    between = {DROP: f"{asked[0]} to {asked[-1]}"}
    return replace(
        path, metrics={**path.metrics, DROP: told}, settings={**path.settings, **between}
    )


def _is_of_length(length: int, name: str) -> bool:
    return name.rpartition("@")[2] == length_name(length)
