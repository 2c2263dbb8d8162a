"""What a bank teaches: a training set of its documents, asked about by feedback and by prose.

Knows rows; nothing of stores or models. Questions are parted by document: those that need a
document of the held-back share are for judging alone, so a router is never judged by what it saw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memsvc_router.training.prose import Prose, ProseOptions, make_prose
from memsvc_router.training.rows import Passage, Question, TrainingSet
from memsvc_storage import NewFeedback

from memsvc.train.bank_reading import BankContent

DATASET, FEEDBACK = "bank", "feedback"
_PARTS = 1 << 32


@dataclass(frozen=True)
class BankSet:
    """`train`: what to learn from, without the documents held back; `whole`: all documents, with
    the questions held back. Both hold documents as they are, which feedback asks for, and cut ones,
    which prose asks for (dataset `prose`). `avoided`: passage ids by question id that were of no
    use. `feedback`: how much of it gave a question; `unused`: how much names no document, and has
    no answer that leads to one."""

    train: TrainingSet
    whole: TrainingSet
    avoided: Mapping[str, tuple[str, ...]]
    documents: int
    feedback: int
    unused: int


def build_set(content: BankContent, held_back: float, seed: int) -> BankSet:
    """Part a bank's documents, and the questions with them.

    held_back: the share of documents that is only for judging (0 to 1). Which they are depends on
    the seed and each document's id alone, so that a bank that grows keeps its parts.
    """
    documents = tuple(Passage(d.id, DATASET, d.title, d.text) for d in content.documents)
    answered, avoided = _from_feedback(documents, content.feedback)
    texts = (Prose(d.id, d.title, d.text) for d in content.documents)
    prose = make_prose(texts, ProseOptions(seed=seed))
    passages, questions = (*documents, *prose.passages), (*answered, *prose.questions)
    kept = {one.id for one in passages if _share(_document(one), seed) >= held_back}
    return BankSet(
        TrainingSet(
            tuple(one for one in passages if one.id in kept),
            tuple(one for one in questions if kept.issuperset(one.evidence)),
        ),
        TrainingSet(passages, tuple(q for q in questions if not kept.issuperset(q.evidence))),
        avoided,
        len(documents),
        len(answered),
        len(content.feedback) - len(answered),
    )


def _document(passage: Passage) -> str:
    """The id of the document that a passage is, or was cut from (`prose:ID#NUMBER`)."""
    if passage.dataset == DATASET:
        return passage.id
    return passage.id.removeprefix("prose:").rpartition("#")[0]


def _share(document_id: str, seed: int) -> float:
    """A number from 0 to 1 that only the id and the seed decide."""
    digest = hashlib.sha256(f"{seed}/{document_id}".encode()).digest()
    return int.from_bytes(digest[:4]) / _PARTS


def _from_feedback(
    passages: Sequence[Passage], feedback: Mapping[str, NewFeedback]
) -> tuple[list[Question], dict[str, tuple[str, ...]]]:
    """Questions that somebody answered for us, and what to avoid for each.

    A feedback that names no document still teaches if its answer stands in exactly one.
    """
    texts = {one.id: f"{one.title}\n{one.text}".casefold() for one in passages}
    found, avoided = [], {}
    for feedback_id, said in feedback.items():
        answer = said.answer.strip().casefold()
        evidence = tuple(name for name in said.relevant if name in texts)
        if not evidence and answer:
            holding = [name for name, text in texts.items() if answer in text]
            evidence = tuple(holding) if len(holding) == 1 else ()
        if not evidence or set(evidence) & set(said.irrelevant):
            continue
        pointed = bool(answer) and any(answer in texts[name] for name in evidence)
        question = Question(
            id=f"{FEEDBACK}/{feedback_id}",
            dataset=FEEDBACK,
            question=said.question,
            answers=(said.answer.strip(),) if answer else (),
            evidence=evidence,
            every=False,
            router_ok=True,
            gen_ok=pointed,
            type=FEEDBACK,
        )
        found.append(question)
        avoided[question.id] = tuple(name for name in said.irrelevant if name in texts)
    return found, avoided
