"""One bank that grows by prose: what routing, opening, memory and disk cost at every size.

    python -m benchmarks.scaling --prose FILE [--prose FILE …] [--tokens 10000,100000,1000000]

FILE is any text, or JSON lines with `text`; there must be enough of it. At each size the server is
restarted: it opens banks once its model is loaded, and the first Recall waits for that. Keys are
read then, content is not. Then it is asked 40 questions, so that a bank that is large enough gets
its coarse pass (docs/routing.md), and waited for until that is measured, or 20 seconds. Recall is
one round of routing through the SDK, its forward told apart. In turns with it, in this process and
without a server: a RAG path's embedding of the question, and FAISS over a vector for each passage.
JSON on stdout, a table on stderr.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from memsvc_client import AskOptions, MemoryClient, NewDocument
from memsvc_client.resources import Routing

from benchmarks.rag import FOUND, Rag, Spent
from benchmarks.server_process import ServerProcess
from benchmarks.timing import Row, as_table, slopes
from memsvc.bench import machine
from memsvc.bench.metrics import percentiles
from memsvc.bench.prose import read_prose

_BANK, _STEP = "scaling", 2000  # documents to a stream
_BEFORE, _QUESTIONS = 40, 100  # asked until the coarse pass is measured, and then measured
_TENDED_SECONDS, _LOOK_SECONDS = 20.0, 0.2
_REST = 0.01  # seconds: torch's threads spin after a product, beside whoever comes next
_GROWING = ("recall_p50", "outside_forward_p50", "flat_p50", "ivf_p50")


def main() -> None:
    """Grow, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prose", type=Path, action="append", required=True)
    parser.add_argument("--tokens", default="10000,100000,1000000,10000000")
    given = parser.parse_args()
    passages = read_prose(given.prose).passages(seed=0)
    documents = (NewDocument(p.text, p.title, p.id) for p in passages)
    rows: list[Row] = []
    held: list[NewDocument] = []
    with TemporaryDirectory(prefix="memsvc-scaling-") as folder:
        for tokens in (int(one) for one in given.tokens.split(",")):
            rows.append(at_size(Path(folder), documents, held, tokens))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(as_table(rows, list(rows[-1])), file=sys.stderr)
    facts = {**machine.facts(), "time": machine.now()}
    body = {"machine": facts, "rows": rows, "slopes": slopes(rows, "chunks", _GROWING)}
    print(json.dumps(body, indent=1, allow_nan=False))


def at_size(
    folder: Path, documents: Iterator[NewDocument], held: list[NewDocument], tokens: int
) -> Row:
    """Grow the bank to so many tokens, restart, and ask. `held`: what it holds, kept up to date."""
    data, log = folder / "data", folder / "log"
    with ServerProcess(data, log) as server, MemoryClient(server.listening()) as client:
        client.wait_serving(timeout=300)
        row = grown(client, documents, held, tokens)
        server.stop()
    with ServerProcess(data, log) as server:
        with MemoryClient(server.listening()) as client:
            client.wait_serving(timeout=300)
            row |= asked(client, held)
        row["peak_gib"] = server.peak_rss() / (1 << 30)
        server.stop()
    disk = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    return row | {"disk_gib": disk / (1 << 30)}


def grown(
    client: MemoryClient, documents: Iterator[NewDocument], held: list[NewDocument], wanted: int
) -> Row:
    """Add prose until the bank has so many tokens."""
    client.ensure_bank(_BANK)
    began, tokens = time.perf_counter(), _sum(client, "tokens")
    before = tokens
    while tokens < wanted:
        some = list(islice(documents, min(_STEP, math.ceil((wanted - tokens) / 120))))
        if not some:
            raise SystemExit(f"the prose ends at {tokens:,} tokens; {wanted:,} were asked for")
        for name in client.ingest(_BANK, some).operations:
            client.wait_operation(name)
        held += some
        tokens = _sum(client, "tokens")
    seconds = time.perf_counter() - began
    return {
        "tokens": tokens,
        "documents": len(held),
        "chunks": _sum(client, "chunks"),
        "ingest_tokens_per_s": (tokens - before) / seconds,
    }


def _sum(client: MemoryClient, of: str) -> int:
    """Tokens or chunks of all documents."""
    return sum(getattr(one, of) or 0 for one in client.list_documents(_BANK, page_size=1000))


def asked(client: MemoryClient, held: Sequence[NewDocument]) -> Row:
    """Opening the bank, then Recall in turns with RAG."""
    count = _BEFORE + _QUESTIONS
    some = [held[at * len(held) // count] for at in range(count)]
    questions = [f"What is said of {one.title}: {one.text[:60]}?" for one in some]
    first, _ = _recall(client, questions[0])
    rag = Rag(len(held))
    for question in questions[:_BEFORE]:
        _recall(client, question)
        rag.flat(question)
        rag.cells(question)
    routing = _tended(client)
    ours: list[tuple[float, float]] = []
    flat: list[Spent] = []
    cells: list[Spent] = []
    for question in questions[_BEFORE:]:
        time.sleep(_REST)
        ours.append(_recall(client, question))
        time.sleep(_REST)
        flat.append(rag.flat(question))
        cells.append(rag.cells(question))
    walls = [wall for wall, _ in ours]
    columns = {
        "recall": walls,
        "outside_forward": [wall - forward for wall, forward in ours],
        "rag_flat": [one.whole for one in flat],
        "rag_ivf": [one.whole for one in cells],
        "flat": [one.search for one in flat],
        "ivf": [one.search for one in cells],
    }
    row: Row = {"open_ms": first - median(walls)}
    row |= {f"{n}_{of}": x for n, times in columns.items() for of, x in percentiles(times).items()}
    row["against_rag"] = median(walls) / median(one.whole for one in flat)
    return row | {"coarse": float(routing.coarse), "coarse_recall": routing.recall}


def _recall(client: MemoryClient, question: str) -> tuple[float, float]:
    """Milliseconds of one round of routing, and of the model's forward in it."""
    began = time.perf_counter()
    options = AskOptions(k=FOUND, max_hops=1)
    usage = client.recall(_BANK, question, options=options).usage
    return 1e3 * (time.perf_counter() - began), usage.forward_ms


def _tended(client: MemoryClient) -> Routing:
    """How the bank is routed over once that is measured, or was not in 20 seconds."""
    until = time.monotonic() + _TENDED_SECONDS
    while True:
        routing = client.get_bank(_BANK).routing
        assert routing is not None, "an open bank tells how it is routed over"
        if routing.questions or time.monotonic() > until:
            return routing
        time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    main()
