"""The small model's task from a training set: samples, corpus, network.

Knows folders only as places to keep what is costly to compute.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer

from memsvc_router.checkpoint import load_checkpoint
from memsvc_router.init import fresh_network
from memsvc_router.minilm import base_folder
from memsvc_router.network import MemoryNetwork
from memsvc_router.texts import tokenize
from memsvc_router.training.rows import TrainingSet
from memsvc_router.training.small.corpus import build_corpus
from memsvc_router.training.small.options import SmallTraining
from memsvc_router.training.small.samples import kind_of, make_samples
from memsvc_router.training.small.task import SmallTask


def small_task(
    found: TrainingSet,
    work: Path,
    options: SmallTraining,
    base: Path | None = None,
) -> SmallTask:
    """Train further what is in `base`, or a fresh model on the bundled encoder (None).

    work: where the passages' states are kept. Raises ValueError for a set with nothing to learn,
    and for a data set that is named and is not there.
    """
    sets = {q.dataset for q in found.questions} | {p.dataset for p in found.passages}
    kinds = {kind_of(q) for q in found.questions}
    for name in (*options.weights, *options.words_from):
        if name not in sets and (name not in kinds or name in options.words_from):
            raise ValueError(f"no data set {name!r} in the data; there are {sorted(sets)}")
    found = _wanted(found, options)
    torch.manual_seed(options.seed)
    network, tokenizer = _start(found, base, set(options.words_from))
    corpus = build_corpus(network, tokenizer, found.passages, work)
    texts = [p.text for p in found.passages]
    samples = make_samples(
        found.questions, found.index(), texts.__getitem__, tokenizer, options.weights
    )
    return SmallTask(network, tokenizer, corpus, samples, options)


def _wanted(found: TrainingSet, options: SmallTraining) -> TrainingSet:
    """Without the data sets of weight 0, but for passages that others need."""
    left = {name for name, weight in options.weights.items() if not weight}
    questions = tuple(q for q in found.questions if not left & {q.dataset, kind_of(q)})
    needed = {e for q in questions for e in q.evidence}
    passages = tuple(p for p in found.passages if p.dataset not in left or p.id in needed)
    return TrainingSet(passages, questions)


def _start(
    found: TrainingSet, base: Path | None, words_from: set[str]
) -> tuple[MemoryNetwork, Tokenizer]:
    if base is not None:
        network, tokenizer, _ = load_checkpoint(base, torch.float32)
        return network.train(), tokenizer
    tokenizer = Tokenizer.from_file(str(base_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    some = [p for p in found.passages if not words_from or p.dataset in words_from]
    counted = tokenize(tokenizer, [f"{p.title} {p.text}" for p in some])
    return fresh_network(base_folder(), (piece.ids for piece in counted)), tokenizer
