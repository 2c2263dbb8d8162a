"""From examples to tensors: one step of a retrieval chain each (MSA §5).

An example with two passages gives (question) -> first passage, or (question + first passage) ->
second: one is drawn each time. Knows tokens and tensors, not the network.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from memsvc_kernels import chunk_offsets
from torch import Tensor

from memsvc_router.texts import Batch, PathInput, Piece, pad, parts_of, path_input
from memsvc_router.training.data import Example, Passages

_SPANS = 8


@dataclass(frozen=True)
class DocumentBatch:
    """Documents of a step, one part each: input, chunk of every token, chunks, owner of a chunk."""

    batch: Batch
    chunk_of_token: Tensor
    chunks: int
    document_of_chunk: Tensor


@dataclass(frozen=True)
class ReadBatch:
    """Paths to read: which question each belongs to, the answer's token spans, found labels
    (1 holds it, 0 does not, -1 unknown) and which tokens a pointer may choose."""

    batch: Batch
    question: Tensor
    firsts: Tensor
    lasts: Tensor
    found: Tensor
    choosable: Tensor


@dataclass(frozen=True)
class Step:
    """Everything of one training step. positive, ignored bool [B, N] over the documents."""

    queries: Batch
    documents: DocumentBatch
    positive: Tensor
    ignored: Tensor
    reads: ReadBatch


@dataclass(frozen=True)
class Limits:
    """Sizes of training inputs in tokens, and how often a look-alike is read besides the gold."""

    window: int = 176
    path: int = 384
    negative_reads: float = 0.4
    pool_size: int = 64


class Collator:
    """Builds steps; all chance comes from the generator it is given."""

    def __init__(self, passages: Passages, limits: Limits) -> None:
        self.passages, self.limits = passages, limits

    def window(
        self, number: int, spans: Sequence[tuple[int, int]], rng: random.Random
    ) -> tuple[int, int]:
        """Token range of a passage to use: all of it if short, else around the answer."""
        text, size = self.passages.texts[number], self.limits.window
        total = len(text.ids)
        if total <= size:
            return 0, total
        at = 0
        if spans:
            a, b = rng.choice(list(spans))
            inside = [i for i, (s, e) in enumerate(text.spans) if s < b and e > a]
            low = max(0, (inside[-1] if inside else 0) - size + 1)
            high = min(inside[0] if inside else 0, total - size)
            at = rng.randint(min(low, high), max(low, high))
        return at, at + size

    def step(self, examples: Sequence[Example], rng: random.Random) -> Step:
        """Build one step from some examples."""
        order: dict[int, tuple[int, int]] = {}
        queries, targets, reads = [], [], []
        for at, example in enumerate(examples):
            chain = list(example.chain)
            depth = rng.randrange(len(chain))
            windows = [
                self.window(n, example.spans if i + 1 == len(chain) else (), rng)
                for i, n in enumerate(chain)
            ]
            for n, w in zip(chain, windows, strict=True):
                order.setdefault(n, w)
            given = list(zip(chain, windows, strict=True))[:depth]
            queries.append(self.path(example.question, given))
            targets.append((chain[depth], set(chain)))
            full = [*given, (chain[depth], windows[depth])]
            reads.append((at, self.path(example.question, full), self.label(example, depth)))
            if example.negatives:
                worse = rng.choice(example.negatives)
                order.setdefault(worse, self.window(worse, (), rng))
                if rng.random() < self.limits.negative_reads:
                    wrong = [*given, (worse, order[worse])]
                    reads.append((at, self.path(example.question, wrong), (0, ())))
        positive, ignored = self.targets(examples, targets, list(order))
        return Step(
            pad([q.ids for q in queries], [q.types for q in queries]),
            self.documents(order),
            positive,
            ignored,
            self.read_batch(reads),
        )

    @staticmethod
    def targets(
        examples: Sequence[Example], targets: Sequence[tuple[int, set[int]]], order: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Which documents are each question's positive, and which others of its chain are not to
        count as negatives: bool [B, N] each."""
        numbers = {n: i for i, n in enumerate(order)}
        positive = torch.zeros(len(examples), len(order), dtype=torch.bool)
        ignored = torch.zeros_like(positive)
        for at, (target, chained) in enumerate(targets):
            positive[at, numbers[target]] = examples[at].routable
            for n in chained - {target}:
                ignored[at, numbers[n]] = True
        return positive, ignored

    @staticmethod
    def label(example: Example, depth: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Is the answer in the texts read up to `depth`, and where (in the last one)?"""
        if depth + 1 < len(example.chain):
            return 0, ()
        return (1, example.spans) if example.spans else (-1, ())

    def path(self, question: Piece, given: Sequence[tuple[int, tuple[int, int]]]) -> PathInput:
        """A path over windows of passages."""
        texts, titles = self.passages.texts, self.passages.titles
        windows = [(texts[n], first, last, titles[n]) for n, (first, last) in given]
        return path_input(question, windows, self.limits.path)

    def documents(self, order: dict[int, tuple[int, int]]) -> DocumentBatch:
        """Encode-ready documents in the order given."""
        parts: list[Piece] = []
        for n, (first, last) in order.items():
            text = self.passages.texts[n]
            cut = Piece(text.ids[first:last], text.spans[first:last])
            parts.append(parts_of(self.passages.titles[n], cut, self.limits.window + 32)[0])
        chunk_of_token, counts = chunk_offsets([len(p.ids) for p in parts], self.limits.pool_size)
        owner = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(counts))
        return DocumentBatch(pad([p.ids for p in parts]), chunk_of_token, sum(counts), owner)

    @staticmethod
    def read_batch(
        reads: Sequence[tuple[int, PathInput, tuple[int, tuple[tuple[int, int], ...]]]],
    ) -> ReadBatch:
        """Pad the paths and find the answers' tokens in them."""
        batch = pad([p.ids for _, p, _ in reads], [p.types for _, p, _ in reads])
        firsts = torch.full((len(reads), _SPANS), -1)
        lasts = torch.full((len(reads), _SPANS), -1)
        found = torch.tensor([label for _, _, (label, _) in reads])
        choosable = torch.zeros_like(batch.mask)
        for row, (_, path, (label, spans)) in enumerate(reads):
            inside = [i for i, s in enumerate(path.sources) if s[0] >= 0]
            choosable[row, inside] = True
            tokens = token_spans(path, spans)
            for column, (a, b) in enumerate(tokens[:_SPANS]):
                firsts[row, column], lasts[row, column] = a, b
            if label == 1 and not tokens:
                found[row] = -1
        owners = torch.tensor([at for at, _, _ in reads])
        return ReadBatch(batch, owners, firsts, lasts, found, choosable)


def token_spans(path: PathInput, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """First and last token of each character span in the last text of a path, where it is whole."""
    last = max((s[0] for s in path.sources), default=-1)
    tokens = [(i, a, b) for i, (n, a, b) in enumerate(path.sources) if n == last and n >= 0]
    found = []
    for start, end in spans:
        inside = [(i, a, b) for i, a, b in tokens if a < end and b > start]
        if inside and inside[0][1] <= start and inside[-1][2] >= end:
            found.append((inside[0][0], inside[-1][0]))
    return found
