"""Seeded rounds of SIGKILL during mixed add, update and delete traffic against a real server.

    python -m benchmarks.crash [--rounds 25] [--seed 1]

After each kill a new server starts over the same data (some of them are killed while they start).
Checked then: every acknowledged write is there with its text, every acknowledged delete holds, a
call in flight happened whole or not at all, all documents become READY, every block verifies, and
what recall and ask quote stands in a living document. One line on stdout: lost=0 resurrected=0
torn=0, and exit code 1 if it is not so. The seed fixes what is written and when it is killed; how
far the server came by then is the machine's.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from memsvc_client import AskOptions, Citation, Document, Hit, MemoryClient

from benchmarks.crash_traffic import BANK, Ledger, Verdict, Writer
from benchmarks.server_process import ServerProcess

_WRITERS = 3
_MOST_WRITES = 60  # acknowledged calls of a round until the kill …
_LONGEST_TRAFFIC = 30.0  # … or seconds, on a machine that is too slow for that
_LONGEST_DELAY = 0.3  # seconds more, so that calls die at any point
_LONGEST_START = 4.0  # seconds until a kill of a server that is just starting
_KILLED_STARTING = 0.2  # share of rounds with such a kill, too
_ASKED = 4  # documents that are asked for after each restart, living and deleted
_READY_SECONDS = 600.0
_LOOK_SECONDS = 0.002


class CrashRounds:
    """Rounds over one data directory."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._data, self._log = folder / "data", folder / "log"
        self._seed = seed
        self._random = random.Random(seed)
        self._ledgers = [Ledger() for _ in range(_WRITERS)]
        self.verdict = Verdict()

    @property
    def writes(self) -> Counter[str]:
        """Acknowledged calls by kind."""
        # Copied, because writers count on meanwhile.
        return sum((ledger.writes.copy() for ledger in self._ledgers), Counter())

    def run(self, rounds: int) -> Verdict:
        """All rounds. Raises what a writer met before its server was killed."""
        server = self._start()
        try:
            with MemoryClient(server.listening()) as client:
                client.wait_serving(timeout=300)
                client.create_bank(BANK)
            for number in range(1, rounds + 1):
                seconds = self._traffic(server, number)
                self._kill_while_starting()
                server = self._start()
                verdict, documents = self._check(server)
                self.verdict.add(verdict)
                say(
                    f"round {number}: killed after {seconds:.2f} s; since the beginning "
                    f"{dict(self.writes)}; {documents} documents; {summary(verdict)}"
                )
            server.stop()
        finally:
            server.end()
        return self.verdict

    def _start(self) -> ServerProcess:
        return ServerProcess(self._data, self._log)

    def _kill_while_starting(self) -> None:
        if self._random.random() < _KILLED_STARTING:
            with self._start() as server:
                time.sleep(self._random.random() * _LONGEST_START)
                server.kill()

    def _traffic(self, server: ServerProcess, number: int) -> float:
        """Write until a seeded moment, then kill."""
        killed = threading.Event()
        writes = self._random.randint(0, _MOST_WRITES) + self.writes.total()
        delay = self._random.random() * _LONGEST_DELAY
        with MemoryClient(server.listening()) as client:
            began = time.monotonic()
            writers = [
                Writer(client, ledger, f"w{i}", f"{self._seed}/{number}/{i}", killed)
                for i, ledger in enumerate(self._ledgers)
            ]
            for writer in writers:
                writer.start()
            while self.writes.total() < writes and time.monotonic() - began < _LONGEST_TRAFFIC:
                time.sleep(_LOOK_SECONDS)
            time.sleep(delay)
            killed.set()  # before the kill: a writer that fails from here on has no fault
            server.kill()
            seconds = time.monotonic() - began
        for writer in writers:
            writer.join(60)
            if writer.error is not None or writer.is_alive():
                raise writer.error or RuntimeError(
                    f"{writer.name} hangs in a call to a dead server"
                )
        return seconds

    def _check(self, server: ServerProcess) -> tuple[Verdict, int]:
        with MemoryClient(server.listening()) as client:
            found = {d.id: d for d in client.list_documents(BANK, with_text=True, page_size=500)}
            verdict = Verdict()
            for ledger in self._ledgers:
                verdict.add(ledger.judge({name: one.text for name, one in found.items()}))
            known = {name for ledger in self._ledgers for name in ledger.acknowledged}
            verdict.torn += found.keys() - known
            client.wait_serving(timeout=300)
            self._become_ready(client, verdict)
            self._question(client, found, known, verdict)
        return verdict, len(found)

    def _become_ready(self, client: MemoryClient, verdict: Verdict) -> None:
        """Every document is encoded, and every block is what was written."""
        deadline = time.monotonic() + _READY_SECONDS
        while client.get_bank(BANK).pending_count and time.monotonic() < deadline:
            time.sleep(0.1)
        verdict.lost += [d.id for d in client.list_documents(BANK) if d.state != "READY"]
        report = client.verify_bank(BANK)
        verdict.torn += [*report.corrupt_documents, *report.missing_documents]

    def _question(
        self, client: MemoryClient, found: dict[str, Document], known: set[str], verdict: Verdict
    ) -> None:
        """Ask for some living and some deleted documents: only living text may be quoted."""
        living, deleted = sorted(found), sorted(known - found.keys())
        for names in (living, deleted):
            for name in self._random.sample(names, min(_ASKED, len(names))):
                question = f"What does the note {name} say?"
                hits = client.recall(BANK, question, options=AskOptions(k=16)).hits
                answer = client.ask_answer(BANK, question)
                sources: list[Hit | Citation] = [*hits, *answer.citations]
                for one in sources:
                    if one.document_id not in found:
                        verdict.resurrected.append(one.document_id)
                    elif one.quote != found[one.document_id].text[one.start : one.end]:
                        verdict.torn.append(one.document_id)


def summary(verdict: Verdict) -> str:
    """The counts that must be 0."""
    return (
        f"lost={len(verdict.lost)} resurrected={len(verdict.resurrected)} torn={len(verdict.torn)}"
    )


def say(message: str) -> None:
    """Progress, on stderr."""
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="memsvc-crash-") as folder:
        rounds = CrashRounds(Path(folder), arguments.seed)
        verdict = rounds.run(arguments.rounds)
    writes = " ".join(f"{kind}={count}" for kind, count in sorted(rounds.writes.items()))
    print(f"rounds={arguments.rounds} seed={arguments.seed} {writes} {summary(verdict)}")
    for name in [*verdict.lost, *verdict.resurrected, *verdict.torn]:
        say(f"violated: {name}")
    sys.exit(0 if verdict.sound else 1)


if __name__ == "__main__":
    main()
