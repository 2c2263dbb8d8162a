"""One forward over paths: what to look for next, where the answer stands, whether it is there.

A *path* is a question with the texts read so far (Memory Interleave, MSA §4: the original text
becomes part of the query). Knows the network and a `MemoryView`; decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from memsvc_kernels import side_by_side
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import pad as pad_row

from memsvc_router.api import DocumentText, MemoryView
from memsvc_router.batching import by_length
from memsvc_router.network import MemoryNetwork
from memsvc_router.texts import Batch, PathInput, Piece, pad, path_input, tokenize, window_size

_ANSWER = 32  # longest answer in tokens
_RIVALS, _SHARPER = 24, 1.5  # spans compared, and a power of their odds (dev/LOG.md, 2026-11-30)
_BATCH_TOKENS = 768  # a round of five texts padded to the longest wastes a quarter of its forward


@dataclass(frozen=True)
class Source:
    """A document on a path: how it was found, at which rank from 0, where its winning chunk
    stands, and its text."""

    handle: int
    score: float
    rank: int
    chunk: int
    start: int
    end: int
    title: Piece
    text: Piece
    document: DocumentText


@dataclass(frozen=True)
class Path:
    """A question with the documents read so far. `worth`: what speaks for them (see `worth`)."""

    sources: tuple[Source, ...] = ()
    worth: float = 0.0

    @property
    def handles(self) -> tuple[int, ...]:
        """Handles in reading order."""
        return tuple(s.handle for s in self.sources)


@dataclass(frozen=True)
class Reading:
    """What one forward says of a path.

    `query`: where to look next [1, L, R]; `span`: (source, first, last character); logits:
    `relevant`: the last text matters to the question; `complete`: the texts hold all it needs.
    """

    path: Path
    query: NDArray[np.float32]
    span: tuple[int, int, int] | None
    span_logprob: float
    relevant: float
    complete: float
    tokens: int


_Blocks = dict[int, NDArray[np.floating]]  # [C, Lm, 2, G, D] by handle
_Memory = tuple[Tensor, Tensor, Tensor]  # see `Reader._memory`


@dataclass(frozen=True)
class _Batch:
    """What shares a forward."""

    paths: Sequence[Path]
    rows: Sequence[PathInput]
    memory: _Memory


class Reader:
    """Reads paths for one question."""

    def __init__(self, network: MemoryNetwork, tokenizer: Tokenizer, question: str) -> None:
        self.network, self.tokenizer = network, tokenizer
        self.words = question
        self.question = tokenize(tokenizer, [question])[0]
        if not self.question.ids:
            raise ValueError("question: must hold at least one word")

    def sources(
        self, view: MemoryView, found: Sequence[tuple[int, float, int, int]]
    ) -> list[Source]:
        """Fetch and tokenise the texts of routed documents: (handle, score, rank, chunk)."""
        texts = view.texts([handle for handle, *_ in found])
        titles = tokenize(self.tokenizer, [t.title for t in texts])
        pieces = tokenize(self.tokenizer, [t.text for t in texts])
        made = []
        for (handle, score, rank, chunk), title, piece, text in zip(
            found, titles, pieces, texts, strict=True
        ):
            spans = view.spans(handle)
            start, end = (int(x) for x in spans[min(max(chunk, 0), len(spans) - 1)])
            made.append(Source(handle, score, rank, chunk, start, end, title, piece, text))
        return made

    def look(self) -> tuple[NDArray[np.float32], int]:
        """The routing query [1, L, R] of the question alone, and its tokens."""
        row = path_input(self.question, (), self.network.config.path_tokens)
        batch = pad([row.ids], [row.types])
        query, _ = self._states(batch)
        return query, len(row.ids)

    def read(
        self, view: MemoryView, paths: Sequence[Path], seen: Sequence[Sequence[int]]
    ) -> list[Reading]:
        """Read paths; `seen` are the documents whose blocks each may attend to, best first."""
        rows = [self._row(path) for path in paths]
        groups = list(by_length([len(row.ids) for row in rows], _BATCH_TOKENS))
        blocks = self._blocks(view, seen)  # here: a view is one thread's
        batches = [
            _Batch(
                [paths[at] for at in some],
                [rows[at] for at in some],
                self._memory(blocks, [seen[at] for at in some]),
            )
            for some in groups
        ]
        told = chain.from_iterable(side_by_side(self._read, batches))
        found = dict(zip(chain.from_iterable(groups), told, strict=True))
        return [found[at] for at in range(len(paths))]

    def _row(self, path: Path) -> PathInput:
        most = self.network.config.path_tokens
        size = window_size(len(path.sources), most)
        windows = [
            (s.text, *window_around(s.text, s.start, s.end, size), s.title) for s in path.sources
        ]
        return path_input(self.question, windows, most)

    @torch.inference_mode()
    def _states(self, batch: Batch) -> tuple[NDArray[np.float32], Tensor]:
        final = self.network.read(batch.ids, batch.mask, batch.types)
        queries = self.network.queries(batch.ids, batch.mask, batch.types, final)
        return queries.float().numpy(), final

    @torch.inference_mode()
    def _read(self, some: _Batch) -> list[Reading]:
        batch = pad([r.ids for r in some.rows], [r.types for r in some.rows])
        queries, final = self._states(batch)
        memory, slots, entries = some.memory
        told = self.network.point(final, batch.mask, memory.to(final.dtype), slots, entries)
        readings = []
        for at, (path, row) in enumerate(zip(some.paths, some.rows, strict=True)):
            span, logprob = best_span(row, told.start[at], told.end[at])
            relevant, complete = float(told.relevant[at]), float(told.complete[at])
            query, tokens = queries[at : at + 1], len(row.ids)
            readings.append(Reading(path, query, span, logprob, relevant, complete, tokens))
        return readings

    def _blocks(self, view: MemoryView, seen: Sequence[Sequence[int]]) -> _Blocks:
        """Content of every document that any path attends to, read once."""
        wanted = sorted({h for row in seen for h in row})
        layers = [view.content(wanted, n) for n in range(self.network.config.memory_layers)]
        return {
            handle: np.stack(own, axis=1)
            for handle, own in zip(wanted, zip(*layers, strict=True), strict=True)
        }

    def _memory(self, blocks: _Blocks, seen: Sequence[Sequence[int]]) -> _Memory:
        """Assemble the blocks each path attends to: [B, M, Lm, 2, G, D], slots, real entries."""
        config = self.network.config
        shape = (config.memory_layers, 2, config.key_value_heads, config.head_width)
        most = max((sum(len(blocks[h]) for h in row) for row in seen), default=0)
        memory = torch.zeros(len(seen), most, *shape, dtype=torch.float16)
        slots = torch.zeros(len(seen), most, dtype=torch.long)
        entries = torch.zeros(len(seen), most, dtype=torch.bool)
        for at, row in enumerate(seen):
            filled = 0
            for slot, handle in enumerate(row[: config.slots]):
                block = blocks[handle]
                here = slice(filled, filled + len(block))
                memory[at, here] = torch.from_numpy(block)
                slots[at, here], entries[at, here] = slot, True
                filled += len(block)
        return memory, slots, entries


def window_around(text: Piece, start: int, end: int, size: int) -> tuple[int, int]:
    """The `size` tokens around the characters start…end; all tokens of a short text."""
    total = len(text.ids)
    if total <= size:
        return 0, total
    inside = [i for i, (a, b) in enumerate(text.spans) if a < end and b > start] or [0]
    middle = (inside[0] + inside[-1]) // 2
    first = min(max(0, middle - size // 2), total - size)
    return first, first + size


def best_span(
    row: PathInput, start: Tensor, end: Tensor
) -> tuple[tuple[int, int, int] | None, float]:
    """The answer (source, first, last character) of a path, and how likely the likeliest span is
    (its log-probability).

    start, end: logits [T]. Both ends stand in the same text, at most 32 tokens apart. Of the
    likeliest spans the answer is the one that most overlaps with what else may be right: where
    several share their words, those words are likelier than any one span (minimum Bayes risk).
    """
    source = torch.tensor([s[0] for s in row.sources])
    inside = (source >= 0).nonzero().squeeze(1)
    if not len(inside):
        return None, float("-inf")
    a = start[inside].float().log_softmax(0)
    b = end[inside].float().log_softmax(0)
    own, beyond = source[inside], (0, _ANSWER - 1)
    ends = pad_row(b, beyond, value=float("-inf")).unfold(0, _ANSWER, 1)  # [T, 32] from each start
    same = pad_row(own, beyond, value=-1).unfold(0, _ANSWER, 1) == own.unsqueeze(1)
    joint = (a.unsqueeze(1) + ends).masked_fill(~same, float("-inf")).flatten()
    likeliest, at = joint.topk(min(_RIVALS, len(joint)))
    firsts = at // _ANSWER
    lasts = firsts + at % _ANSWER
    best = int(_expected_overlap(firsts, lasts, likeliest).argmax())
    number, begin, _ = row.sources[int(inside[firsts[best]])]
    span = (number, begin, row.sources[int(inside[lasts[best]])][2])
    return span, float(likeliest[0])


def _expected_overlap(firsts: Tensor, lasts: Tensor, logprobs: Tensor) -> Tensor:
    """F1 in tokens that each span [K] is to expect, were one of them right."""
    low = torch.maximum(firsts.unsqueeze(1), firsts)
    high = torch.minimum(lasts.unsqueeze(1), lasts)
    sizes = (lasts - firsts + 1).float()
    overlap = 2 * (high - low + 1).clamp_min(0) / (sizes.unsqueeze(1) + sizes)
    expected = overlap @ (_SHARPER * logprobs).softmax(0)
    return expected.where(logprobs > float("-inf"), expected.new_tensor(-1.0))
