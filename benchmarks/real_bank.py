"""A bank of real texts by the default model, held in fp32: what routing at 8 bits is judged by.

Knows models and kernels; nothing of servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from memsvc_kernels import codes_of, eight_bits, four_more, route, route_codes
from memsvc_router import SmallMemoryModel, load_default_model
from memsvc_router.api import DocumentText, EncodedDocument
from memsvc_router.reading import Reader
from memsvc_router.texts import parts_of, tokenize
from numpy.typing import NDArray

from memsvc.bench.lines import Line, read_lines

_CORPUS = Path(__file__).parent.parent / "demo" / "corpus"
CORPORA = (_CORPUS / "factbook.jsonl", _CORPUS / "peps.jsonl")  # the repository's own passages
_FOUND, _TITLES = 16, 500
Row = dict[str, float]


class RealBank:
    """keys: fp32 [C, L, R] as the network makes them; blocks [N]; queries fp32 [Q, L, R]."""

    def __init__(self, passages: Sequence[Path] = CORPORA, questions: Path | None = None) -> None:
        """questions: a file; None: about titles, 500 at most. Raises InputError."""
        lines = passages_of(passages)
        self.texts = [DocumentText(one.text("title", ""), one.text("text")) for one in lines]
        model = load_default_model()
        self.identity = model.identity
        self.blocks, self.keys = _encoded(model, self.texts)
        self.counts = np.array([len(one.tensors["spans"]) for one in self.blocks])
        asked = _questions(questions, self.texts)
        found = [Reader(model.network, model.tokenizer, text).look()[0] for text in asked]
        self.queries = np.concatenate(found)

    def recall(self) -> Row:
        """Of the 16 documents that fp32 keys give a question, the share that keys at rest give, and
        fp16 keys; `first`: the share of questions with the same best document. One at a time: those
        that share a scan share what is scored exactly."""
        owner, short = np.repeat(np.arange(len(self.counts)), self.counts), self.keys.astype("f2")
        codes, scales = eight_bits(short)  # of fp16: that is what a model hands out
        rest = codes_of(codes, scales, four_more(short, codes, scales))
        wide, half = (keys.reshape(len(keys), -1) for keys in (self.keys, short))
        kept: list[tuple[float, float, bool]] = []
        for query in self.queries[:, None]:
            flat = query.reshape(1, -1)
            wanted, by_half = (route(flat, own, owner, None, _FOUND)[0][0] for own in (wide, half))
            found = route_codes(query, rest, owner, None, _FOUND)[0][0]
            kept.append((_share(wanted, found), _share(wanted, by_half), wanted[0] == found[0]))
        recall, of_half, first = np.mean(kept, 0)
        sizes = {"chunks": len(owner), "documents": len(self.counts), "queries": len(kept)}
        told = {"recall_at_16": recall, "recall_at_16_fp16": of_half, "first": first}
        return {name: float(value) for name, value in (sizes | told).items()}


def passages_of(paths: Sequence[Path]) -> list[Line]:
    """All passages of some files. Raises InputError."""
    return [line for path in paths for line in read_lines(path)]


def tokens_of(lines: Sequence[Line]) -> list[int]:
    """Of each passage, as the default model encodes it. Raises InputError."""
    model = load_default_model()
    titles = tokenize(model.tokenizer, [line.text("title", "") for line in lines])
    texts = tokenize(model.tokenizer, [line.text("text") for line in lines])
    most = model.network.config.part_tokens
    split = (parts_of(title, text, most) for title, text in zip(titles, texts, strict=True))
    return [sum(len(part.ids) for part in parts) for parts in split]


def _questions(path: Path | None, texts: Sequence[DocumentText]) -> list[str]:
    if path is not None:
        return [line.text("question") for line in read_lines(path)]
    titles = list(dict.fromkeys(text.title or text.text[:60] for text in texts))
    some = titles[:: -(-len(titles) // _TITLES)]
    return [f"What is said of {title}?" for title in some]


def _share(wanted: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Of the documents wanted (-1 pads)."""
    true = set(wanted[wanted >= 0])
    return len(true & set(found)) / len(true)


def _encoded(
    model: SmallMemoryModel, texts: Sequence[DocumentText]
) -> tuple[list[EncodedDocument], NDArray[np.float32]]:
    """Blocks, and their keys in fp32: blocks hold them in fp16, so what the network said is looked
    up by what became of it."""
    wide: dict[bytes, NDArray[np.float32]] = {}
    blocks = model.network.blocks

    def remembered(*given: Any) -> Any:
        made = blocks(*given)
        rows = made.routing.to(torch.float16).numpy()
        wide.update(
            (row.tobytes(), own) for row, own in zip(rows, made.routing.numpy(), strict=True)
        )
        return made

    with patch.object(model.network, "blocks", remembered):
        encoded = model.encode(texts)
    keys = [wide[row.tobytes()] for one in encoded for row in one.tensors["routing"]]
    return encoded, np.stack(keys)
