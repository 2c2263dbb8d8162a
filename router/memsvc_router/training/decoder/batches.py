"""From rows of a training set to the tensors of a step: questions, their chains, and a pool.

Knows texts and prompts, and that a batch depends on the seed and its number alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from memsvc_router.api import DocumentText
from memsvc_router.decoder.config import MsaConfig
from memsvc_router.decoder.prompts import Prompts
from memsvc_router.training.decoder.asking import Asked, lay_out
from memsvc_router.training.decoder.drawing import Pool, Schedule, draw
from memsvc_router.training.decoder.module import Batch
from memsvc_router.training.decoder.options import DecoderTraining
from memsvc_router.training.decoder.packing import pack
from memsvc_router.training.decoder.samples import Row, Samples
from memsvc_router.training.rows import DataError, Passage, Question, TrainingSet

_SPARE_NUMBERS = 4  # a pool's documents are numbered below this many times their count, at least


class Batches:
    """Makes the batches of a run. Raises DataError for a question that cannot be asked, ValueError
    for negatives of another set."""

    def __init__(
        self,
        config: MsaConfig,
        prompts: Prompts,
        data: TrainingSet,
        negatives: Sequence[Sequence[int]] | None,
        options: DecoderTraining,
    ) -> None:
        self._config, self._prompts, self._data, self._options = config, prompts, data, options
        self._samples = Samples(prompts, options.max_tokens)
        self._index = data.index()
        self._require(negatives)
        self._schedule = Schedule(data.questions, options.questions, options.seed)
        self._pool = Pool(data, negatives)

    def batch(self, step: int, number: int) -> Batch:
        """The batch of this number; `step` decides how long its documents are together."""
        random = draw(self._options.seed, number)
        questions = self._schedule.batch(number)
        numbered = _Numbered(self._prompts, self._data.passages, self._options, random)
        context = self._options.context_at(step)
        pool = self._pool.documents(
            questions,
            self._options.documents,
            numbered.take if context else lambda n: min(numbered.take(n), 1),
            context or self._options.documents * len(questions),
            random,
        )
        packed = pack([numbered.parts[n] for n in pool], self._config.pool_size)
        asked = [self._asked(self._data.questions[q], numbered, random) for q in questions]
        return Batch(packed, self._tensors(asked, pool))

    def _asked(
        self, question: Question, numbered: _Numbered, random: np.random.Generator
    ) -> tuple[Question, list[Passage], Row, int]:
        """A question, its chain, one sample of it, and which hop that is."""
        evidence = [self._data.passages[self._index[name]] for name in question.evidence]
        chain = evidence if question.every else [evidence[random.integers(len(evidence))]]
        last = len(chain)
        # A question that does not say enough to find its evidence teaches only to answer.
        hop = int(random.integers(last + 1)) if question.router_ok else last
        row = self._samples.row(question, chain, hop, numbered.numbers)
        return question, chain, row, hop

    def _tensors(
        self, asked: list[tuple[Question, list[Passage], Row, int]], pool: list[int]
    ) -> Asked:
        place = {number: at for at, number in enumerate(pool)}
        rows = [row for _, _, row, _ in asked]
        tokens = lay_out(rows, self._config.top_k)
        segments = int(tokens["segment"].amax()) + 1
        wanted = torch.full((len(rows), segments), -1)
        positive = torch.zeros(len(rows), len(pool), dtype=torch.bool)
        evidence = torch.full((len(rows), max(len(q.evidence) for q, *_ in asked)), -1)
        for at, (question, chain, row, hop) in enumerate(asked):
            places = [place[self._index[passage.id]] for passage in chain]
            wanted[at, : len(row.wanted)] = torch.tensor([places[i] for i in row.wanted])
            known = [self._index[name] for name in question.evidence]
            evidence[at, : len(known)] = torch.tensor(known)
            if hop < len(chain):
                positive[at, places[hop] if question.every else [place[n] for n in known]] = True
        fields: dict[str, Tensor] = {**tokens, "wanted": wanted, "positive": positive}
        return Asked(**fields, passage=torch.tensor(pool), evidence=evidence)

    def _require(self, negatives: Sequence[Sequence[int]] | None) -> None:
        """Refuse what would fail in the midst of a run."""
        questions = self._data.questions
        if not questions:
            raise DataError("the training set has no questions; give it some")
        if negatives is not None and len(negatives) != len(questions):
            raise ValueError(
                f"negatives: expected those of {len(questions)} questions, got {len(negatives)}; "
                "mine them anew for this set"
            )
        if len(self._data.passages) <= max(len(q.evidence) for q in questions):
            raise DataError(
                f"the training set has {len(self._data.passages)} passages, all of them evidence "
                "of one question: routing has nothing to choose from; add more"
            )
        for question in questions:
            missing = [name for name in question.evidence if name not in self._index]
            if missing or not question.evidence:
                raise DataError(
                    f"question {question.id}: its evidence {missing or 'is empty'} is not among "
                    "the passages; add them or drop the question"
                )
            if not self._samples.fits(question.question, len(question.evidence)):
                raise DataError(
                    f"question {question.id}: with {len(question.evidence)} texts it does not fit "
                    f"into max_tokens, {self._options.max_tokens}; raise that or drop the question"
                )


class _Numbered:
    """A step's documents under numbers drawn for this step: below a limit that is itself drawn, so
    that short numbers are met as often as long ones."""

    def __init__(
        self,
        prompts: Prompts,
        passages: Sequence[Passage],
        options: DecoderTraining,
        random: np.random.Generator,
    ) -> None:
        self._prompts, self._passages, self._random = prompts, passages, random
        self._most, self._length = options.numbers, options.max_tokens
        self._spread = random.random()
        self._used: set[int] = set()
        self.numbers: dict[str, int] = {}
        self.parts: dict[int, list[list[int]]] = {}

    def take(self, passage: int) -> int:
        """Give a passage its number; the tokens of its parts."""
        found = self._passages[passage]
        number = self._draw()
        self.numbers[found.id] = number
        told = DocumentText(found.title, found.text, str(number))
        pieces = self._prompts.document(told, self._length)
        self.parts[passage] = [piece.ids for piece in pieces]
        return sum(len(piece.ids) for piece in pieces)

    def _draw(self) -> int:
        least = min(_SPARE_NUMBERS * (len(self._used) + 16), self._most)
        limit = round(least * (self._most / least) ** self._spread)
        if len(self._used) * 2 > self._most:
            raise ValueError(f"numbers: {self._most} are too few for the documents of one step")
        while (number := int(self._random.integers(limit))) in self._used:
            pass
        self._used.add(number)
        return number
