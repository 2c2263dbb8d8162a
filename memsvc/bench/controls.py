"""Controls: the model's own path asked once more, with other memories.

With nothing but a question's evidence it tells how well the model reads; with all but the evidence,
whether it knows that memory holds no answer. Knows questions, contests and figures; nothing of
files or terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from memsvc.bench.contest import Contest, Rules
from memsvc.bench.corpus import Corpus, Question
from memsvc.bench.intervals import auroc
from memsvc.bench.lines import InputError
from memsvc.bench.results import Estimate, PathResult, QuestionResult, summarise
from memsvc.engine import DocumentFilter
from memsvc.retrieval import PathSettings

OF = "msa"
AUROC = "abstention_auroc"


@dataclass(frozen=True)
class Control:
    """`path`: its name in results; `memory`: what it is asked of; `alone`: of the evidence, else of
    all else."""

    path: str
    memory: str
    alone: bool

    async def ask(
        self, contest: Contest, path: PathSettings, bank: str, question: Question
    ) -> QuestionResult:
        """What came of a question. Without its evidence nothing is right but to abstain; measures
        of finding are left out, for what there is to find was chosen."""
        golds = question.answers if self.alone else ()
        asked = replace(question, answers=golds, evidence=(), grades={})
        result = await contest.ask(path, bank, asked, self._visible(question))
        if self.alone:
            return result
        abstained = float(not result.found and not result.error)
        return replace(result, em=None, f1=None, scores={"abstention": abstained})

    def _visible(self, question: Question) -> DocumentFilter:
        evidence = frozenset(question.evidence)
        return lambda document: (document.document_id in evidence) is self.alone


ALONE = Control(f"{OF}, evidence alone", "the question's evidence", alone=True)
REMOVED = Control(f"{OF}, evidence removed", "all but the question's evidence", alone=False)
CONTROLS = (ALONE, REMOVED)


def controlled(corpus: Corpus) -> frozenset[str]:
    """Ids of the questions that controls can be asked: memory holds an answer, and all evidence
    that they name."""
    held = {bank: {one.id for one in passages} for bank, passages in corpus.banks.items()}
    return frozenset(
        question.id
        for question in corpus.questions
        if question.evidence
        and question.answers != ()
        and held[question.bank].issuperset(question.evidence)
    )


def check_controls(corpus: Corpus, rules: Rules) -> None:
    """Raises InputError where there is nothing to control."""
    if not any(path.path == OF for path in rules.paths):
        raise InputError(f"controls are asked on the path {OF}: add it to --paths")
    if not controlled(corpus):
        raise InputError(
            "no question names evidence that its passages hold: controls have nothing to ask; "
            "leave --controls out, or add the evidence"
        )


def figures(told: Callable[[str], list[QuestionResult]], rules: Rules) -> list[PathResult]:
    """The controls as paths of their own. `told`: what a path answered so far."""
    settings = next(rules.settings(path) for path in rules.paths if path.path == OF)
    found = []
    for control in CONTROLS:
        own = {**settings, "memory": control.memory}
        one = summarise(control.path, told(control.path), own, seed=rules.seed)
        area = None if control.alone else abstention(told(OF), told(control.path), rules.seed)
        found.append(replace(one, metrics={**one.metrics, AUROC: area}) if area else one)
    return found


def abstention(
    ordinary: Sequence[QuestionResult], removed: Sequence[QuestionResult], seed: int
) -> Estimate | None:
    """How well confidence tells questions from the same ones without their evidence: the area under
    the ROC curve, its interval by resampling questions. A failure counts as the wrong extreme; None
    where no question was asked both ways."""
    sure = {one.id: -1.0 if one.error else one.confidence for one in ordinary}
    unsure = {one.id: 2.0 if one.error else one.confidence for one in removed if one.id in sure}
    if not unsure:
        return None
    area, low, high = auroc([sure[name] for name in unsure], list(unsure.values()), seed)
    return Estimate(round(area, 6), round(low, 6), round(high, 6), len(unsure))
