"""`make demo`: start a server, fill a bank, ask it, delete a source, ask again, put it back.

    .venv/bin/python -m demo.run

A second run finds the bank in .demo/ and uses it. Every claim it prints is checked; the exit
status is 1 if one does not hold. Talks to the server through the SDK alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from memsvc_client import (
    Answer,
    MemoryClient,
    MemsvcError,
    NewDocument,
    NotFound,
    Operation,
)
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo import corpus
from demo.questions import FORGOTTEN, QUESTIONS, Question
from demo.server import ServerStartError, running_server
from demo.show import make_console, show_answer, show_question

FOLDER = Path(__file__).resolve().parent.parent / ".demo"
BANK = "demo"
_DIGEST = "corpus_digest"


class Demo:
    """One run against one server. `failures` are the claims that did not hold."""

    def __init__(self, client: MemoryClient, console: Console) -> None:
        self.client, self.console = client, console
        self.documents = {one.document_id: one for one in corpus.documents()}
        self.titles = {name: one.title for name, one in self.documents.items()}
        self.failures: list[str] = []

    def run(self) -> None:
        """All of it, in order."""
        self.fill()
        for number, question in enumerate(QUESTIONS, 1):
            show_question(self.console, f"{number}.", question)
            self.check(question, self.ask(question))
        self.forget(FORGOTTEN, len(QUESTIONS) + 1)

    def fill(self) -> None:
        """Bring the bank to hold exactly the corpus, encoded; only what is missing is added."""
        self.make_bank()
        stored = {one.id for one in self.client.list_documents(BANK, page_size=1000)}
        missing = [one for name, one in self.documents.items() if name not in stored]
        if missing:
            self.ingest(missing)
        else:
            self.console.print(f"bank {BANK!r} holds all {len(stored)} documents already: reused")
        for operation in self.client.list_operations(bank=BANK):
            if not operation.ended:  # left by a run that was stopped
                self.client.wait_operation(operation)
        states = [one.state for one in self.client.list_documents(BANK, page_size=1000)]
        ready = states.count("READY")
        self.claim(
            ready == len(self.documents) == len(states),
            f"{ready} of {len(self.documents)} documents are encoded, {len(states)} stored",
        )

    def make_bank(self) -> None:
        """A bank for this version of the corpus; one of another version is replaced."""
        digest = corpus.digest()
        try:
            if self.client.get_bank(BANK).metadata.get(_DIGEST) == digest:
                return
            self.client.delete_bank(BANK)
        except NotFound:
            pass
        self.client.create_bank(
            BANK, display_name="World Factbook and PEPs", metadata={_DIGEST: digest}
        )

    def ingest(self, missing: Sequence[NewDocument]) -> None:
        """Store documents by a client stream and wait until they are encoded."""
        bars = Progress(
            TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(),
            TimeElapsedColumn(), console=self.console,
        )  # fmt: skip
        with bars:
            stored = bars.add_task("stored (acknowledged)", total=len(missing))
            encoded = bars.add_task("encoded (answerable)", total=len(missing))
            result = self.client.ingest(
                BANK, missing, on_batch=lambda batch: bars.advance(stored, len(batch.results))
            )
            before = 0
            for name in result.operations:

                def follow(operation: Operation, before: int = before) -> None:
                    bars.update(encoded, completed=before + operation.done)

                before += self.client.wait_operation(name, on_progress=follow).done
        self.claim(not result.errors, f"documents were refused: {result.errors[:3]}")

    def ask(self, question: Question) -> Answer:
        """Ask, show, and compare every quote with the stored text."""
        began = time.perf_counter()
        answer = self.client.ask_answer(BANK, question.text)
        show_answer(self.console, answer, self.titles, (time.perf_counter() - began) * 1e3)
        for one in answer.citations:
            text = self.client.get_document(BANK, one.document_id).text
            self.claim(
                text[one.start : one.end] == one.quote, f"a quote of {one.title!r} is not verbatim"
            )
        return answer

    def check(self, question: Question, answer: Answer) -> None:
        """Hold the answer against what the question says is right."""
        if question.expected is None:
            self.claim(not answer.found, "this answer cannot be in the bank")
            return
        right = answer.found and question.expected.lower() in answer.text.lower()
        self.claim(right, f"the answer should hold {question.expected!r}")
        missing = set(question.sources) - {one.document_id for one in answer.citations}
        names = ", ".join(self.titles[name] for name in sorted(missing))
        self.claim(not missing, f"not cited: {names}")

    def forget(self, question: Question, number: int) -> None:
        """Ask, delete the last source, ask again, and put it back whatever happened."""
        show_question(self.console, f"{number}.", question)
        self.check(question, self.ask(question))
        name = question.sources[-1]
        self.client.delete_document(BANK, name)
        self.console.print(
            f"\n   [bold red]deleted[/] {self.titles[name]!r}; the same question again"
        )
        try:
            answer = self.ask(question)
            cited = {one.document_id for one in answer.citations}
            routed = {hit.document_id for hop in answer.hops for hit in hop.routed}
            self.claim(name not in cited | routed, "the deleted document was still found")
            assert question.expected is not None
            gone = not answer.found or question.expected.lower() not in answer.text.lower()
            self.claim(gone, "the deleted answer was still given")
        finally:
            added = self.client.add(BANK, self.documents[name])
            assert added.operation is not None
            self.client.wait_operation(added.operation)
        self.console.print(f"\n   added {self.titles[name]!r} again for the next run")

    def claim(self, holds: bool, failure: str) -> None:
        """Note a claim that does not hold."""
        if not holds:
            self.failures.append(failure)
            self.console.print(f"   [bold red]FAILED:[/] {failure}")


def main(folder: Path = FOLDER) -> int:
    """Run the demo with its data in `folder`; returns the exit status."""
    console, began = make_console(), time.perf_counter()
    console.print(f"[bold]memsvc demo[/]: a server of its own on loopback, data in {folder.name}/")
    try:
        with running_server(folder) as address, MemoryClient(address) as client:
            client.wait_serving()
            console.print(f"server on {address} ready in {time.perf_counter() - began:.1f} s")
            demo = Demo(client, console)
            demo.run()
    except KeyboardInterrupt:
        console.print("\nstopped; the server is down")
        return 130
    except (ServerStartError, MemsvcError) as error:
        console.print(f"\n[bold red]demo failed:[/] {error}", markup=True)
        return 1
    asked = len(QUESTIONS) + 2
    console.print(
        f"\n{len(demo.documents)} documents, {asked} questions, "
        f"{len(demo.failures)} failed checks, {time.perf_counter() - began:.1f} s; server stopped"
    )
    return 1 if demo.failures else 0


if __name__ == "__main__":
    sys.exit(main())
