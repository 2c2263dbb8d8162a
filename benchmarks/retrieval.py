"""IVF and HNSW against the exact flat index: recall@10 and latency, all in one run.
`python -m benchmarks.retrieval`.

Vectors are mixtures of two real MiniLM embeddings of passages, with some noise; queries are
embeddings of real questions where there are any. Without files both are of made-up text.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from memsvc.bench.lines import read_lines
from memsvc.retrieval.embedders import load_embedder
from memsvc.retrieval.paths import PathSettings
from memsvc.retrieval.searchers import Searcher, faiss, make_searcher

_K = 10
_ROUNDS = 3
_NOISE = 0.3  # of the length of a mixture
_PROBES = (1, 4, 16, 64)
_EFFORTS = (16, 64, 128, 256)

Rows = NDArray[np.float32]
Report = dict[str, float | str]


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=Path, help="JSON lines with `text`, or .jsonl.zst")
    parser.add_argument("--questions", type=Path, help="JSON lines with `question`")
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--embedded", type=int, default=3000, help="passages that are embedded")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    faiss.omp_set_num_threads(asked.threads)
    passages = _texts(asked.passages, "text", asked.embedded)
    questions = _texts(asked.questions, "question", asked.queries)
    embedder = load_embedder(None)
    vectors = _mixtures(embedder.documents(passages), asked.vectors)
    queries = np.stack([embedder.query(question) for question in questions])
    report = {
        "vectors": len(vectors),
        "width": vectors.shape[1],
        "embedded passages": len(passages),
        "queries": len(queries),
        "source": "files" if asked.passages and asked.questions else "made up",
        "threads": asked.threads,
        "indexes": _compare(vectors, queries),
    }
    print(json.dumps(report, indent=1))


def _compare(vectors: Rows, queries: Rows) -> list[Report]:
    """Each setting's recall against flat, and its latencies.

    Settings take turns by rounds of all queries, in random order. Were it query by query, one would
    find in the processor's cache what the one before it had just looked at, or scanned away.
    """
    settings = [PathSettings("rag")]
    settings += [PathSettings("rag", index="ivf", nprobe=n) for n in _PROBES]
    settings += [PathSettings("rag", index="hnsw", ef_search=n) for n in _EFFORTS]
    made: dict[str, tuple[Searcher, float]] = {}
    for kind in ("flat", "ivf", "hnsw"):
        began = time.perf_counter()
        searcher = make_searcher(kind, vectors.shape[1])
        searcher.follow(vectors)
        made[kind] = searcher, time.perf_counter() - began
    found: list[list[set[int]]] = [[] for _ in settings]
    spent: list[list[float]] = [[] for _ in settings]
    random = np.random.default_rng(0)
    for _ in range(_ROUNDS):
        for at in random.permutation(len(settings)):
            found[at], times = _ask(made[settings[at].index][0], settings[at], queries)
            spent[at] += times
    return [
        {
            "index": _name(one),
            "recall@10": _recall(found[at], found[0]),
            "p50 ms": round(median(spent[at]), 3),
            "p95 ms": round(float(np.percentile(spent[at], 95)), 3),
            "build s": round(made[one.index][1], 1),
            "MiB": round(made[one.index][0].bytes / 2**20, 1),
        }
        for at, one in enumerate(settings)
    ]


def _ask(
    searcher: Searcher, one: PathSettings, queries: Rows
) -> tuple[list[set[int]], list[float]]:
    """What each query finds, and its milliseconds."""
    found, spent = [], []
    for query in queries:
        began = time.perf_counter()
        rows, _ = searcher.search(query, _K, None, one)
        spent.append((time.perf_counter() - began) * 1e3)
        found.append(set(rows.tolist()))
    return found, spent


def _name(one: PathSettings) -> str:
    if one.index == "ivf":
        return f"ivf, nprobe {one.nprobe}"
    return f"hnsw, ef_search {one.ef_search}" if one.index == "hnsw" else "flat"


def _recall(found: Sequence[set[int]], right: Sequence[set[int]]) -> float:
    shares = [len(ours & theirs) / _K for ours, theirs in zip(found, right, strict=True)]
    return round(float(np.mean(shares)), 4)


def _mixtures(real: Rows, count: int) -> Rows:
    """As many vectors around and between real ones: dense where those are dense."""
    random = np.random.default_rng(0)
    pairs = random.integers(0, len(real), (2, count))
    share = random.beta(0.5, 0.5, (count, 1)).astype(np.float32)
    mixed = share * real[pairs[0]] + (1 - share) * real[pairs[1]]
    noise = random.standard_normal(mixed.shape, np.float32) / np.sqrt(mixed.shape[1])
    mixed += _NOISE * np.linalg.norm(mixed, axis=1, keepdims=True) * noise
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), np.float32)


def _texts(path: Path | None, field: str, count: int) -> list[str]:
    if path is None:
        return list(_made_up(count))
    every = [line.text(field) for line in read_lines(path)]
    chosen = np.random.default_rng(0).permutation(len(every))[:count]
    return [every[i] for i in chosen]


def _made_up(count: int) -> Iterator[str]:
    random = np.random.default_rng(0)
    for _ in range(count):
        letters = random.integers(97, 123, (12, 5)).astype(np.uint8)
        yield " ".join(bytes(word).decode() for word in letters)


if __name__ == "__main__":
    main()
