"""A router from a bank: tuned on what the bank teaches, judged on what was held back, kept as a
version, and promoted if it is better.

Knows how these follow one another; nothing of how a bank is read or results are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from memsvc_router import load_model
from memsvc_router.checkpoint import DEFAULT_MODEL
from memsvc_router.decoder.source import find
from memsvc_storage import RouterVersion, RouterVersions

from memsvc.config import ServerConfig
from memsvc.routers import served_by
from memsvc.train.bank_judging import Judge, Verdict
from memsvc.train.bank_reading import BankContent
from memsvc.train.bank_set import BankSet, build_set
from memsvc.train.bank_tuning import Tuning, tune_router

Promote = Literal["if-better", "always", "never"]

STEPS = 300
_MOST_JUDGED = 400
_LEAST_JUDGED = 20  # fewer say nothing: their bootstrap would believe a lucky one


@dataclass(frozen=True)
class BankTraining:
    """What to learn from and how. `held_back`: the share of documents that is for judging."""

    bank: str
    steps: int = STEPS
    seed: int = 0
    held_back: float = 0.25
    promote: Promote = "if-better"


@dataclass(frozen=True)
class Trained:
    """The version that was made, how it was judged, whether it was promoted, and whether banks
    are encoded anew where it serves. `served`: the settings leave the model to versions."""

    version: RouterVersion
    verdict: Verdict
    promoted: bool
    reencodes: bool
    served: bool


def train_from_bank(
    config: ServerConfig,
    content: BankContent,
    wanted: BankTraining,
    tell: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Make a version of the router that serves; `tell` hears of each stage.

    Nothing changes until the version is whole, and what serves only by the promotion.

    Raises ValueError where the bank teaches too little or its model cannot be tuned, RoutersBusy
    where another training goes on, and what loading a checkpoint raises.
    """
    now, versions = served_by(config), RouterVersions(config.data)
    base = DEFAULT_MODEL if now.model is None else find(now.model)[0]
    learned = build_set(content, wanted.held_back, wanted.seed)
    judge = _judge(learned, wanted)
    with versions.drafting(base.name) as draft:
        tell(f"training on {len(learned.train.questions)} questions")
        options = Tuning(wanted.steps, wanted.seed)
        tune_router(base, learned.train, learned.avoided, draft, options)
        tell(f"judging by {len(judge.questions)} questions that were held back")
        verdict, reencodes = _judged(judge, now.model, draft)
        facts = _facts(wanted, learned) | {
            "base": now.model or "default",
            "reencodes": reencodes,
            "evaluation": verdict.to_dict(),
        }
        version = versions.keep(draft, now.version, facts)
    promoted = wanted.promote == "always" or (wanted.promote == "if-better" and verdict.better)
    if promoted:
        versions.promote(version.number)
    made = versions.get(version.number)
    return Trained(made, verdict, promoted, reencodes, served=config.model is None)


def _judge(learned: BankSet, wanted: BankTraining) -> Judge:
    train, held = len(learned.train.questions), len(learned.whole.questions)
    if not train or held < _LEAST_JUDGED:
        documents = learned.documents
        raise ValueError(
            f"bank {wanted.bank!r} teaches too little: its {documents} documents and "
            f"{learned.feedback} usable feedback give {train} questions to learn from and {held} "
            f"to judge by; expected 1 and {_LEAST_JUDGED} at least. Add documents or feedback"
        )
    return Judge(learned.whole, _MOST_JUDGED, wanted.seed)


def _judged(judge: Judge, base: str | None, draft: Path) -> tuple[Verdict, bool]:
    """How the draft does beside the base, and whether its blocks are others."""
    before = load_model(base)
    found = judge.ask(before)
    identity = before.identity
    del before  # two decoders need not fit into memory
    after = load_model(str(draft))
    return judge.compare(found, judge.ask(after)), after.identity.digest != identity.digest


def _facts(wanted: BankTraining, learned: BankSet) -> dict[str, object]:
    """Counts and options; no text, for a version outlives what it was made from."""
    return {
        "bank": wanted.bank,
        "documents": learned.documents,
        "questions": dict(Counter(one.dataset for one in learned.train.questions)),
        "held_back": dict(Counter(one.dataset for one in learned.whole.questions)),
        "feedback": learned.feedback,
        "feedback_unused": learned.unused,
        "steps": wanted.steps,
        "seed": wanted.seed,
        "held_back_share": wanted.held_back,
    }
