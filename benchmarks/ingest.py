"""Ten thousand documents through the SDK against a real server: encoding, memory, restart, recall.

    python -m benchmarks.ingest --passages FILE [--passages FILE …] [--documents 10000]

JSON on stdout, a table on stderr. The bare forward is the model's `network.blocks` alone, without
tokenizer, copies or storage, measured in this process over an even sample of the same documents
before the server starts and after it has ended (the mean of both: machines drift): once as it
serves, and once through the transformers library's own modules. The server's rate counts from the
first call to the last document READY, text commits and files included.
Recall is one round of routing, through the SDK; beside it, in turns with a rest between, stands
what a RAG path needs at least: its embedding of the question and FAISS flat over as many vectors,
both in this process, without texts. Like for like, both are asked of one engine (`recall`).
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from memsvc_client import AskOptions, MemoryClient, MemsvcError, NewDocument
from memsvc_router.api import DocumentText
from memsvc_router.checkpoint import DEFAULT_MODEL, load_checkpoint
from memsvc_router.encoding import encode_documents
from memsvc_router.network import MemoryNetwork
from rich.console import Console
from tokenizers import Tokenizer

from benchmarks import rag
from benchmarks.recall import beside_rag, compared
from benchmarks.server_process import ServerProcess
from memsvc.bench.lines import read_lines
from memsvc.bench.table import report_table

_BANK = "ingest"
_SAMPLE = 1000  # documents of the bare forward
_QUESTIONS = 200
_WARM_UP = 5
_REST = 0.01  # seconds: torch's threads spin after a product, beside whoever comes next


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=Path, action="append", required=True)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--questions", type=Path, help="default: the documents' own titles")
    arguments = parser.parse_args()
    documents = read_documents(arguments.passages, arguments.documents)
    questions = read_questions(arguments.questions, documents)
    report = measure(documents, questions)
    print(json.dumps(report))
    Console(stderr=True).print(report_table(report))


def read_documents(passages: Sequence[Path], most: int) -> list[NewDocument]:
    """The first `most` passages, under ids of their own."""
    found: list[NewDocument] = []
    for path in passages:
        for line in read_lines(path):
            if len(found) == most:
                return found
            found.append(NewDocument(line.text("text"), line.text("title", ""), f"d{len(found)}"))
    if len(found) < most:
        raise SystemExit(f"the files hold {len(found)} passages, not {most}")
    return found


def read_questions(path: Path | None, documents: Sequence[NewDocument]) -> list[str]:
    """At most 200 questions: from a file, or one about every n-th document."""
    if path is not None:
        return [line.text("question") for line in read_lines(path)][:_QUESTIONS]
    step = max(1, len(documents) // _QUESTIONS)
    about = documents[::step][:_QUESTIONS]
    return [f"What is known about {d.title or d.text[:60]}?" for d in about]


def measure(documents: Sequence[NewDocument], questions: Sequence[str]) -> dict[str, Any]:
    """All measurements, in order."""
    sample = [
        DocumentText(d.title, d.text) for d in documents[:: max(1, len(documents) // _SAMPLE)]
    ]
    say(f"bare forward over {len(sample)} documents")
    before = bare_rates(sample)
    with TemporaryDirectory(prefix="memsvc-ingest-") as directory:
        data, log = Path(directory) / "data", Path(directory) / "log"
        with ServerProcess(data, log) as server, MemoryClient(server.listening()) as client:
            client.wait_serving(timeout=300)
            encoding = ingest(client, documents)
            recall = recalls(client, questions, len(documents))
            memory = server.peak_rss()
            server.stop()
        say("restart")
        restart = restart_seconds(data, log, questions[0])
        say("recall beside the rag path of the same engine")
        engine = beside_rag(data, _BANK, questions, _REST)
    after = bare_rates(sample)
    forward, library = ((a + b) / 2 for a, b in zip(before, after, strict=True))
    return {
        "documents": len(documents),
        **encoding,
        "forward_tokens_per_s": round(forward, 1),
        "library_tokens_per_s": round(library, 1),
        "share_of_forward": round(encoding["tokens_per_s"] / forward, 4),
        "share_of_library": round(encoding["tokens_per_s"] / library, 4),
        "peak_rss_mib": round(memory / 2**20, 1),
        "restart_to_first_answer_s": round(restart, 2),
        "recall": recall,
        "recall_in_engine": engine,
        "threads": torch.get_num_threads(),
    }


def bare_rates(sample: Sequence[DocumentText]) -> tuple[float, float]:
    """Tokens per second of the network alone: as it serves, and by the library's modules."""
    network, tokenizer, _ = load_checkpoint(DEFAULT_MODEL)
    library = _rate(network, tokenizer, sample)
    network.settle()
    return _rate(network, tokenizer, sample), library


def _rate(network: MemoryNetwork, tokenizer: Tokenizer, sample: Sequence[DocumentText]) -> float:
    encode_documents(network, tokenizer, sample[:64])
    with _timed_forward(network) as clock:
        encoded = encode_documents(network, tokenizer, sample)
    return sum(one.tokens for one in encoded) / clock.seconds


@dataclass
class _Clock:
    """Seconds during which at least one thread was at it."""

    seconds: float = 0.0
    running: int = 0
    since: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, more: int) -> None:
        """A thread begins (1) or ends (-1)."""
        with self.lock:
            now = time.perf_counter()
            if self.running:
                self.seconds += now - self.since
            self.running, self.since = self.running + more, now


@contextmanager
def _timed_forward(network: MemoryNetwork) -> Iterator[_Clock]:
    """Time what the network spends on blocks meanwhile."""
    clock = _Clock()
    blocks: Callable[..., Any] = network.blocks

    def timed(*args: Any, **named: Any) -> Any:
        clock.change(1)
        try:
            return blocks(*args, **named)
        finally:
            clock.change(-1)

    with patch.object(network, "blocks", timed):
        yield clock


def ingest(client: MemoryClient, documents: Sequence[NewDocument]) -> dict[str, Any]:
    """Store all documents and wait until they are encoded."""
    client.create_bank(_BANK)
    began = time.perf_counter()
    result = client.ingest(_BANK, documents)
    stored = time.perf_counter() - began
    say(f"{result.stored} documents stored in {stored:.1f} s")
    failed = sum(client.wait_operation(name).failed for name in result.operations)
    seconds = time.perf_counter() - began
    bank = client.get_bank(_BANK)
    assert (result.stored, failed) == (len(documents), 0), (result.errors, failed)
    tokens = sum(document.tokens or 0 for document in client.list_documents(_BANK, page_size=1000))
    say(f"{tokens} tokens encoded in {seconds:.1f} s")
    return {
        "tokens": tokens,
        "stored_s": round(stored, 2),
        "ready_s": round(seconds, 2),
        "tokens_per_s": round(tokens / seconds, 1),
        "bytes_per_token": round(bank.kv_bytes / tokens, 3),
    }


def recalls(client: MemoryClient, questions: Sequence[str], documents: int) -> dict[str, Any]:
    """Latency of recall as the SDK sees it, the share that was not the model's forward, and the
    latency of a RAG path over as many `documents`."""
    options = AskOptions(k=rag.FOUND, max_hops=1)
    opponent = rag.Rag(documents)
    for question in questions[:_WARM_UP]:
        client.recall(_BANK, question, options=options)
        opponent.flat(question)
    wall: list[float] = []
    theirs: list[float] = []
    forward = 0.0
    for question in questions:
        time.sleep(_REST)
        began = time.perf_counter()
        usage = client.recall(_BANK, question, options=options).usage
        wall.append((time.perf_counter() - began) * 1e3)
        time.sleep(_REST)
        theirs.append(opponent.flat(question).whole)
        forward += usage.forward_ms
    share = round(1 - forward / sum(wall), 4)
    return {**compared(wall, theirs), "share_outside_forward": share}


def restart_seconds(data: Path, log: Path, question: str) -> float:
    """From starting the process to the first answer."""
    began = time.perf_counter()
    with ServerProcess(data, log) as server, MemoryClient(server.listening()) as client:
        while True:
            try:
                client.ask_answer(_BANK, question)
            except MemsvcError as error:
                if not error.retryable:
                    raise
                time.sleep(0.02)
                continue
            seconds = time.perf_counter() - began
            server.stop()
            return seconds


def say(message: str) -> None:
    """Progress, on stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
