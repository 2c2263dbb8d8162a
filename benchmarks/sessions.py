"""Turns from many writers at once, and BuildContext over a large bank, through the SDK.

    python -m benchmarks.sessions [--turns 50000]

Each writer appends a turn, waits until it can be recalled, and appends the next. Acknowledged: the
call has returned, the turn is durable. Ready: its operation has ended. BuildContext is asked in
sessions of a bank that holds `--turns` turns, after a restart. JSON on stdout, a table on stderr.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from memsvc_client import MemoryClient

from benchmarks.server_process import ServerProcess
from memsvc.bench import machine
from memsvc.bench.haystack import sentences_of
from memsvc.bench.lines import read_lines
from memsvc.bench.metrics import percentiles

_CORPUS = Path(__file__).parent.parent / "demo" / "corpus" / "factbook.jsonl"
_WRITERS = (1, 10, 100)
_APPENDS = 200  # by all writers together, at least two each
_PER_SESSION, _AT_ONCE = 500, 100
_CONTEXTS, _BUDGET = 100, 1000
_BANK = "sessions"
Row = dict[str, float]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=50_000, help="of the bank asked for context")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="memsvc-sessions-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        with ServerProcess(data, log) as server, MemoryClient(server.listening()) as client:
            client.wait_serving(timeout=300)
            client.create_bank(_BANK)
            written = [appended(client, writers) for writers in _WRITERS]
            fill(client, given.turns)
            server.stop()
        with ServerProcess(data, log) as server, MemoryClient(server.listening()) as client:
            client.wait_serving(timeout=300)
            context = contexts(client, given.turns)
            server.stop()
    for row in written:
        print(f"{row['writers']:4.0f} writing: {_told(row)}", file=sys.stderr)
    print(f"context over {given.turns:,} turns: {_told(context)}", file=sys.stderr)
    print(json.dumps({"machine": machine.facts(), "append": written, "context": context}, indent=1))


def turns() -> Iterator[tuple[str, str]]:
    """Role and content, of one to three sentences, without end."""
    lines = [line.text("text") for line in read_lines(_CORPUS)]
    said = [" ".join(some) for text in lines for some in _threes(sentences_of(text))]
    return zip(itertools.cycle(("user", "assistant")), itertools.cycle(said), strict=False)


def _threes(sentences: list[str]) -> Iterator[list[str]]:
    return (sentences[at : at + 3] for at in range(0, len(sentences), 3))


def appended(client: MemoryClient, writers: int) -> Row:
    """Milliseconds until turns were acknowledged, and until they could be recalled."""

    def write(number: int) -> list[tuple[float, float]]:
        session = client.session(_BANK, f"w{writers}-{number}")
        found = []
        said = itertools.islice(turns(), 7 * number, None)
        for turn in itertools.islice(said, max(2, _APPENDS // writers)):
            began = time.perf_counter()
            operation = session.extend(turn).operation
            known = time.perf_counter()
            assert operation is not None
            client.wait_operation(operation)
            found.append((1e3 * (known - began), 1e3 * (time.perf_counter() - began)))
        return found

    with ThreadPoolExecutor(writers) as pool:
        times = [one for some in pool.map(write, range(writers)) for one in some]
    acknowledged, ready = (percentiles(list(column)) for column in zip(*times, strict=True))
    return {
        "writers": float(writers),
        "n": float(len(times)),
        **{f"acknowledged_{name}_ms": value for name, value in acknowledged.items()},
        **{f"ready_{name}_ms": value for name, value in ready.items()},
    }


def fill(client: MemoryClient, count: int) -> None:
    """Sessions of 500 turns, until there are so many turns."""
    said, session = turns(), client.session(_BANK, "s0")
    for number in range(-(-count // _PER_SESSION)):
        session = client.session(_BANK, f"s{number}")
        for _ in range(_PER_SESSION // _AT_ONCE):
            session.extend(list(itertools.islice(said, _AT_ONCE)))
        print(f"turns: {(number + 1) * _PER_SESSION}", file=sys.stderr, flush=True)
    session.extend(next(said), wait=True)  # encoded in order: all before it are


def contexts(client: MemoryClient, count: int) -> Row:
    """Milliseconds of a block of context, in sessions all over the bank."""
    sessions = -(-count // _PER_SESSION)
    times = []
    for number in range(_CONTEXTS + 1):
        session = client.session(_BANK, f"s{number % sessions}")
        began = time.perf_counter()
        built = session.context(_BUDGET)
        if number:  # the first one opens the bank
            times.append(1e3 * (time.perf_counter() - began))
        assert built.tokens <= _BUDGET
    return {"turns": float(count), "n": float(len(times))} | {
        f"{name}_ms": value for name, value in percentiles(times).items()
    }


def _told(row: Row) -> str:
    return ", ".join(f"{name} {value:,.1f}" for name, value in row.items() if name.endswith("_ms"))


if __name__ == "__main__":
    main()
