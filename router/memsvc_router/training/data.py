"""Training data: questions, the passages that answer them, and the spans that are the answer.

Reads the JSON-lines format of `docs/training.md` (plain or zstd). Knows nothing of batches.
"""

from __future__ import annotations

import io
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bm25s
import zstandard
from tokenizers import Tokenizer

from memsvc_router.texts import Piece, tokenize

_MAX_SPANS = 8


@dataclass(frozen=True)
class Example:
    """One question. `chain` are passage numbers in reading order; `spans` are the characters of
    the answer in the last one; `negatives` are look-alike passages without the answer."""

    question: Piece
    chain: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    negatives: tuple[int, ...]
    routable: bool


@dataclass(frozen=True)
class Passages:
    """Tokenised titles and texts, by number."""

    titles: list[Piece]
    texts: list[Piece]


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSON-lines file. Raises ValueError naming file and line of a malformed one."""
    with path.open("rb") as raw:
        source = zstandard.ZstdDecompressor().stream_reader(raw) if path.suffix == ".zst" else raw
        for number, line in enumerate(io.TextIOWrapper(source, encoding="utf-8"), 1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: not JSON: {error.msg}") from None
            yield row


def answer_spans(text: str, answers: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Characters of every occurrence of every answer (case-insensitive), at most 8."""
    low = text.lower()
    found: set[tuple[int, int]] = set()
    for answer in answers:
        needle = answer.lower().strip()
        at = low.find(needle) if needle else -1
        while at >= 0 and len(found) < _MAX_SPANS:
            found.add((at, at + len(needle)))
            at = low.find(needle, at + 1)
    return tuple(sorted(found))


def choose(
    rows: Sequence[Mapping[str, Any]], limits: Mapping[str, int], seed: int
) -> list[dict[str, Any]]:
    """Sample up to `limits[dataset]` rows of each data set named there, in a seeded order."""
    by_set: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_set[row["dataset"]].append(dict(row))
    rng = random.Random(seed)
    kept = []
    for name, limit in sorted(limits.items()):
        rng.shuffle(by_set[name])
        kept += by_set[name][:limit]
    rng.shuffle(kept)
    return kept


def load(
    folder: Path, work: Path, tokenizer: Tokenizer, limits: Mapping[str, int], seed: int
) -> tuple[Passages, list[Example]]:
    """Read `passages.jsonl.zst` and `questions.jsonl.zst`; BM25 negatives are kept in `work`."""
    rows = list(read_jsonl(folder / "passages.jsonl.zst"))
    number = {row["id"]: at for at, row in enumerate(rows)}
    texts = [str(row["text"]) for row in rows]
    titles = [str(row.get("title") or "") for row in rows]
    asked = choose(list(read_jsonl(folder / "questions.jsonl.zst")), limits, seed)
    asked = [q for q in asked if q["evidence"] and all(e in number for e in q["evidence"])]
    cache = work / f"negatives-{len(asked)}-{seed}.json"
    if not cache.exists():
        work.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(mine_negatives(asked, texts, titles, number)))
    mined = json.loads(cache.read_text())
    pieces = tokenize(tokenizer, [q["question"] for q in asked])
    passages = Passages(tokenize(tokenizer, titles), tokenize(tokenizer, texts))
    found = [
        _example(q, piece, number, texts, worse)
        for q, piece, worse in zip(asked, pieces, mined, strict=True)
    ]
    return passages, [e for e in found if e.spans or e.routable]


def _example(
    row: Mapping[str, Any],
    question: Piece,
    number: Mapping[str, int],
    texts: list[str],
    worse: list[int],
) -> Example:
    every = row.get("evidence_mode") == "all"
    chain = [number[e] for e in (row["evidence"] if every else row["evidence"][:1])]
    extractive = bool(row.get("gen_ok"))
    spans = answer_spans(texts[chain[-1]], row["answers"]) if extractive else ()
    return Example(
        question=question,
        chain=tuple(chain),
        spans=spans,
        negatives=tuple(worse),
        routable=bool(row.get("router_ok")),
    )


def mine_negatives(
    asked: Sequence[Mapping[str, Any]],
    texts: Sequence[str],
    titles: Sequence[str],
    number: Mapping[str, int],
    keep: int = 4,
) -> list[list[int]]:
    """Passages that BM25 ranks high for a question and that hold neither evidence nor answer."""
    stop = "english"
    index = bm25s.BM25()
    corpus = [f"{t} {x}" for t, x in zip(titles, texts, strict=True)]
    index.index(bm25s.tokenize(corpus, stopwords=stop, show_progress=False), show_progress=False)
    queries = bm25s.tokenize([q["question"] for q in asked], stopwords=stop, show_progress=False)
    ranked, _ = index.retrieve(queries, k=20, show_progress=False, n_threads=2)
    mined: list[list[int]] = []
    found: list[list[int]] = ranked.tolist()
    for row, numbers in zip(asked, found, strict=True):
        gold = {number[e] for e in row["evidence"] if e in number}
        answers = [a.lower() for a in row["answers"] if len(a) > 1]
        fair = [
            n for n in numbers if n not in gold and not any(a in texts[n].lower() for a in answers)
        ]
        mined.append(fair[:keep])
    return mined
