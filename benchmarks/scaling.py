"""One bank that grows by prose: what routing, opening, memory and disk cost at every size.

    python -m benchmarks.scaling --prose FILE [--prose FILE …] [--tokens 10000,100000,1000000]

At each size the server is restarted: it opens banks once its model is loaded, and the first Recall
waits for that. Keys are read then, content is not. Recall is one round of routing through the SDK;
its forward is told apart. FAISS flat and IVF search as many vectors of 384, in turns with it and
without any embedding; what the vectors are does not matter to their time. JSON on stdout, a table
on stderr.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import faiss
import numpy as np
from memsvc_client import AskOptions, MemoryClient, NewDocument

from benchmarks.server_process import ServerProcess
from memsvc.bench import machine
from memsvc.bench.metrics import percentiles
from memsvc.bench.prose import read_prose

_BANK, _QUESTIONS, _WARM_UP, _WIDTH = "scaling", 60, 5, 384
_STEP = 2000  # documents to a stream
Row = dict[str, float]


def main() -> None:
    """Grow, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prose", type=Path, action="append", required=True)
    parser.add_argument("--tokens", default="10000,100000,1000000,10000000")
    given = parser.parse_args()
    passages = read_prose(given.prose).passages(seed=0)
    documents = (NewDocument(p.text, p.title, p.id) for p in passages)
    rows = []
    with TemporaryDirectory(prefix="memsvc-scaling-") as folder:
        for tokens in (int(one) for one in given.tokens.split(",")):
            rows.append(at_size(Path(folder), documents, tokens))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(as_table(rows), file=sys.stderr)
    print(json.dumps({"machine": machine.facts(), "rows": rows}, indent=1))


def at_size(folder: Path, documents: Iterator[NewDocument], tokens: int) -> Row:
    """Grow the bank to so many tokens, restart, and ask."""
    data, log = folder / "data", folder / "log"
    with ServerProcess(data, log) as server, MemoryClient(server.listening()) as client:
        client.wait_serving(timeout=300)
        row = grown(client, documents, tokens)
        server.stop()
    with ServerProcess(data, log) as server:
        with MemoryClient(server.listening()) as client:
            client.wait_serving(timeout=300)
            row |= asked(client, int(row["chunks"]))
        row["peak_gib"] = server.peak_rss() / (1 << 30)
        server.stop()
    disk = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    return row | {"disk_gib": disk / (1 << 30)}


def grown(client: MemoryClient, documents: Iterator[NewDocument], tokens: int) -> Row:
    """Add prose until the bank has so many tokens."""
    client.ensure_bank(_BANK)
    began, held = time.perf_counter(), _tokens(client)
    before = held
    while held < tokens:
        some = [one for _, one in zip(range(_STEP), documents, strict=False)]
        if not some:
            raise SystemExit(f"the prose ends at {held:,} tokens; {tokens:,} were asked for")
        for name in client.ingest(_BANK, some[: _needed(tokens - held)]).operations:
            client.wait_operation(name)
        held = _tokens(client)
    seconds = time.perf_counter() - began
    chunks = sum(one.chunks or 0 for one in client.list_documents(_BANK, page_size=1000))
    return {
        "tokens": float(held),
        "chunks": float(chunks),
        "ingest_tokens_per_s": (held - before) / seconds,
    }


def _needed(tokens: int) -> int:
    """Documents of about 120 tokens each."""
    return max(1, math.ceil(tokens / 120))


def _tokens(client: MemoryClient) -> int:
    return sum(one.tokens or 0 for one in client.list_documents(_BANK, page_size=1000))


def asked(client: MemoryClient, chunks: int) -> Row:
    """Opening the bank, then Recall in turns with FAISS."""
    about = [one.title or one.name for one in client.list_documents(_BANK, page_size=_QUESTIONS)]
    questions = [f"What is said of {title}?" for title in about[:_QUESTIONS]]
    once = AskOptions(k=16, max_hops=1)

    def recall(question: str) -> tuple[float, float]:
        began = time.perf_counter()
        usage = client.recall(_BANK, question, options=once).usage
        return 1e3 * (time.perf_counter() - began), usage.forward_ms

    first, _ = recall(questions[0])
    for question in questions[:_WARM_UP]:
        recall(question)
    flat, cells = _faiss(chunks)
    whole, rest, theirs, fewer = [], [], [], []
    for question in questions:
        wall, forward = recall(question)
        whole.append(wall)
        rest.append(wall - forward)
        theirs.append(_milliseconds(flat))
        fewer.append(_milliseconds(cells))
    told = percentiles(whole)
    outside = percentiles(rest)
    return {
        "open_ms": first - median(whole),
        "recall_p50": told["p50"],
        "recall_p95": told["p95"],
        "route_p50": outside["p50"],
        "route_p95": outside["p95"],
        "faiss_flat_p50": median(theirs),
        "faiss_ivf_p50": median(fewer),
    }


def _faiss(count: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """A search among so many vectors: of all, and of 16 cells out of about √count."""
    vectors = np.random.default_rng(0).standard_normal((count, _WIDTH), dtype=np.float32)
    flat = faiss.IndexFlatIP(_WIDTH)
    flat.add(vectors)
    centres = faiss.IndexFlatIP(_WIDTH)
    cells = max(1, math.isqrt(count))
    inverted = faiss.IndexIVFFlat(centres, _WIDTH, cells, faiss.METRIC_INNER_PRODUCT)
    inverted.train(vectors[: 64 * cells])
    inverted.add(vectors)
    inverted.nprobe = 16
    return lambda: flat.search(vectors[:1], 16), lambda: inverted.search(vectors[:1], 16)


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - began)


def as_table(rows: list[Row]) -> str:
    """Markdown, a column for each figure."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(f"{row[name]:,.4g}" for name in names) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
