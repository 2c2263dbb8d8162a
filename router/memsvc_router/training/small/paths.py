"""From samples to paths: a question with passages read so far, and what to say of them.

Knows tokens and tensors, not networks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memsvc_router.texts import MASK, Batch, PathInput, pad, path_input, window_size
from memsvc_router.training.small.corpus import Corpus
from memsvc_router.training.small.samples import Sample, Spans

_SPANS = 8


@dataclass(frozen=True)
class ReadPath:
    """A question after some passages. relevant, complete: 1, 0, or -1 (unknown)."""

    sample: int
    read: tuple[int, ...]
    row: PathInput
    relevant: int
    complete: int
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class PathBatch:
    """Padded paths. firsts, lasts int64 [B, S]: the answer's token spans, -1 pads; choosable bool
    [B, T]: tokens of texts; relevant, complete int64 [B]."""

    batch: Batch
    firsts: Tensor
    lasts: Tensor
    choosable: Tensor
    relevant: Tensor
    complete: Tensor


class PathMaker:
    """Builds paths over a corpus; all chance comes from the generator it is given."""

    def __init__(self, corpus: Corpus, limit: int, masked: float = 0.0) -> None:
        """masked: share of the texts' tokens that paths hide."""
        self.corpus, self.limit, self._masked = corpus, limit, masked

    def make(self, at: int, sample: Sample, read: Sequence[int], rng: random.Random) -> ReadPath:
        """The path of a question (the `at`-th of its step) after some passages, last one last."""
        size = window_size(len(read), self.limit)
        windows = []
        for n in read:
            first, last = self.window(n, sample.spans.get(n, ()), size, rng)
            windows.append((self.corpus.texts[n], first, last, self.corpus.titles[n]))
        row = self._with_gaps(path_input(sample.question, windows, self.limit), rng)
        whole = sample.complete(read)
        spans = token_spans(row, [sample.spans.get(n, ()) for n in read]) if whole else []
        lost = whole and bool(sample.spans) and not spans
        return ReadPath(
            sample=at,
            read=tuple(read),
            row=row,
            relevant=-1 if not read or lost else int(read[-1] in sample.golds),
            complete=-1 if not read or lost else int(whole),
            spans=tuple(spans[:_SPANS]),
        )

    def _with_gaps(self, row: PathInput, rng: random.Random) -> PathInput:
        if not self._masked:
            return row
        hidden = [source[0] >= 0 and rng.random() < self._masked for source in row.sources]
        ids = [MASK if one else own for own, one in zip(row.ids, hidden, strict=True)]
        return replace(row, ids=ids)

    def window(self, number: int, spans: Spans, size: int, rng: random.Random) -> tuple[int, int]:
        """Token range of a passage to read: all of it if short, else around the answer."""
        text = self.corpus.texts[number]
        total = len(text.ids)
        if total <= size:
            return 0, total
        if not spans:
            return (at := rng.randint(0, min(total - size, size))), at + size
        a, b = rng.choice(list(spans))
        inside = [i for i, (s, e) in enumerate(text.spans) if s < b and e > a]
        low = max(0, (inside[-1] if inside else 0) - size + 1)
        high = min(inside[0] if inside else 0, total - size)
        at = rng.randint(min(low, high), max(low, high))
        return at, at + size


def token_spans(row: PathInput, spans: Sequence[Spans]) -> list[tuple[int, int]]:
    """First and last token of each character span of each text of a path, where it is whole."""
    found = []
    for number, own in enumerate(spans):
        tokens = [(i, a, b) for i, (n, a, b) in enumerate(row.sources) if n == number]
        for start, end in own:
            inside = [(i, a, b) for i, a, b in tokens if a < end and b > start]
            if inside and inside[0][1] <= start and inside[-1][2] >= end:
                found.append((inside[0][0], inside[-1][0]))
    return found


def pad_paths(paths: Sequence[ReadPath]) -> PathBatch:
    """Paths as one padded batch."""
    batch = pad([p.row.ids for p in paths], [p.row.types for p in paths])
    firsts = torch.full((len(paths), _SPANS), -1)
    lasts = torch.full((len(paths), _SPANS), -1)
    choosable = torch.zeros_like(batch.mask)
    for at, path in enumerate(paths):
        choosable[at, [i for i, s in enumerate(path.row.sources) if s[0] >= 0]] = True
        for column, (a, b) in enumerate(path.spans):
            firsts[at, column], lasts[at, column] = a, b
    return PathBatch(
        batch,
        firsts,
        lasts,
        choosable,
        torch.tensor([p.relevant for p in paths]),
        torch.tensor([p.complete for p in paths]),
    )
