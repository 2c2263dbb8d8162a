"""From text to token batches and back to characters. Knows the tokenizer, not the network.

A document is split into parts of at most `part_tokens`, each opened by [CLS] title and closed by
[SEP]; a *path* is a question followed by the texts read so far: [CLS] q [SEP] d1 [SEP] d2 [SEP].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

CLS, SEP, MASK = 101, 102, 103
_TITLE_TOKENS = 24
_WINDOW = 224  # tokens of one document that are read at a time, at most
_ASIDE = 48  # of a path, for the question and markers


@dataclass(frozen=True)
class Piece:
    """A tokenised text: ids and the character span of each token, (-1, -1) for markers."""

    ids: list[int]
    spans: list[tuple[int, int]]


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Piece]:
    """Tokenise without special tokens; offsets are characters of the given texts."""
    found = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [Piece(list(e.ids), [(int(a), int(b)) for a, b in e.offsets]) for e in found]


def parts_of(title: Piece, text: Piece, part_tokens: int) -> list[Piece]:
    """Split one document into encoder inputs of at most `part_tokens` tokens."""
    head = title.ids[:_TITLE_TOKENS]
    opening = [CLS, *head, SEP] if head else [CLS]
    room = part_tokens - len(opening) - 1
    outside = (-1, -1)
    found = []
    for at in range(0, max(len(text.ids), 1), room):
        ids, spans = text.ids[at : at + room], text.spans[at : at + room]
        found.append(
            Piece([*opening, *ids, SEP], [outside] * len(opening) + list(spans) + [outside])
        )
    return found


def chunk_spans(part: Piece, pool_size: int) -> list[tuple[int, int]]:
    """Character span of each chunk of a part; markers alone borrow their neighbour's end."""
    found: list[tuple[int, int]] = []
    for at in range(0, len(part.ids), pool_size):
        inside = [s for s in part.spans[at : at + pool_size] if s[0] >= 0]
        last = found[-1][1] if found else 0
        found.append((inside[0][0], inside[-1][1]) if inside else (last, last))
    return found


@dataclass(frozen=True)
class PathInput:
    """A question with the texts read so far. `sources` names, per token, (document, start, end):
    which of the texts it came from (-1: none) and its characters there."""

    ids: list[int]
    types: list[int]
    sources: list[tuple[int, int, int]]


def path_input(
    question: Piece, windows: Sequence[tuple[Piece, int, int, Piece]], limit: int
) -> PathInput:
    """Build one path. A window is (text, first token, past-last token, title)."""
    nowhere: tuple[int, int, int] = (-1, 0, 0)
    ask = question.ids[: limit // 4]
    ids, types = [CLS, *ask, SEP], [0] * (len(ask) + 2)
    sources: list[tuple[int, int, int]] = [nowhere] * len(ids)
    for number, (text, first, last, title) in enumerate(windows):
        head = title.ids[:_TITLE_TOKENS]
        opening = [*head, SEP] if head else []
        body = text.ids[first:last]
        ids += [*opening, *body, SEP]
        sources += [nowhere] * len(opening)
        sources += [(number, a, b) for a, b in text.spans[first:last]] + [nowhere]
    types += [1] * (len(ids) - len(types))
    return PathInput(ids[:limit], types[:limit], sources[:limit])


def window_size(texts: int, limit: int) -> int:
    """Tokens of each text that are read where a path of `limit` tokens holds so many."""
    return min(_WINDOW, (limit - _ASIDE) // max(texts, 1) - _TITLE_TOKENS // 2)


@dataclass(frozen=True)
class Batch:
    """Padded token ids [B, T], mask of real tokens and token types."""

    ids: Tensor
    mask: Tensor
    types: Tensor


def pad(rows: Sequence[list[int]], types: Sequence[list[int]] | None = None) -> Batch:
    """Pad rows of ids to one width: a multiple of 8, or its own for a single row, which then needs
    no mask."""
    width = max(len(r) for r in rows)
    if len(rows) > 1:
        width = -(-width // 8) * 8
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    kinds = torch.zeros_like(ids)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
        mask[at, : len(row)] = True
        if types is not None:
            kinds[at, : len(row)] = torch.tensor(types[at])
    return Batch(ids, mask, kinds)
