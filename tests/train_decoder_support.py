"""A handful of passages and questions, and tiny random decoders to train on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from memsvc_router.training.decoder.asking import Asked, lay_out
from memsvc_router.training.decoder.options import DecoderTraining
from memsvc_router.training.decoder.samples import Row
from memsvc_router.training.decoder.task import DecoderTask, decoder_task
from memsvc_router.training.rows import Passage, Question, TrainingSet

from tests.decoder_support import make_published
from tests.router_support import TOWNS

PASSAGES = tuple(Passage(name, "towns", t.title, t.text) for name, t in TOWNS.items())
NUMBERS = {passage.id: 7 + 11 * at for at, passage in enumerate(PASSAGES)}


def question(name: str, text: str, answer: str, *evidence: str, **fields: Any) -> Question:
    """A question of the towns whose passages are all needed, in their order."""
    values: dict[str, Any] = {
        "every": True,
        "router_ok": True,
        "gen_ok": True,
        "type": "test",
    } | fields
    return Question(name, "towns", text, (answer,), evidence, **values)


QUESTIONS = (
    question("born", "Where was Marie Curie born?", "Warsaw", "marie"),
    question("river", "Which river does Curie's town lie on?", "Vistula", "marie", "warsaw"),
    question("italy", "What is the capital of Italy?", "Rome", "rome"),
    question("tower", "Where is the Eiffel Tower, and on which river?", "Seine", "eiffel", "paris"),
)
SET = TrainingSet(PASSAGES, QUESTIONS)


def small(**fields: Any) -> DecoderTraining:
    """Options that fit the tiny decoders."""
    values: dict[str, Any] = {"questions": 4, "documents": 1, "rate": 1e-3, "max_tokens": 512}
    return DecoderTraining(**(values | fields))


def task_of(
    folder: Path,
    options: DecoderTraining | None = None,
    data: TrainingSet = SET,
    **shape: Any,
) -> DecoderTask:
    """A task on the tiny random decoder in `folder`/msa, made if it is not there."""
    path = folder / "msa"
    if not path.exists():
        make_published(folder, **shape)
    return decoder_task(path, data, None, options or small())


def asked_of(rows: list[Row], top_k: int, documents: int) -> Asked:
    """Rows that route freely: nothing is wanted of them."""
    tokens = lay_out(rows, top_k)
    return Asked(
        **tokens,
        wanted=torch.full((len(rows), int(tokens["segment"].amax()) + 1), -1),
        positive=torch.zeros(len(rows), documents, dtype=torch.bool),
        passage=torch.arange(documents),
        evidence=torch.full((len(rows), 1), -1),
    )
