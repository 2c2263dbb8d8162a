"""A model that writes its answer word by word, each word a forward that the engine batches."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memsvc_router.api import AskOptions, Event, MemoryView, Retriever, Step, Token

from tests.engine_support import PATIENCE, BagModel, Switches


@dataclass(eq=False)
class Forward(Step):
    """The forward of one question that yields `word`; `error`: why it failed."""

    question: str
    word: str
    error: Exception | None = None


class SteppingModel(BagModel):
    """A `BagModel` with a forward before the first hop and one for each word of the answer, after
    which it looks whether its source still stands.

    `batches`: whose questions were in each forward. While `paced`, each forward waits for a
    `forwards.release()`. A question that holds "kaput" fails in its own forward at the second word.
    """

    def __init__(self, switches: Switches | None = None, paced: bool = False) -> None:
        super().__init__(switches)
        self.batches: list[list[str]] = []
        self.forwards = threading.Semaphore(0)
        self.paced = paced
        self.gone = False  # the device: every forward fails
        self.closed: list[tuple[str, str]] = []  # questions that ended, and in which thread

    def ask(
        self,
        view: MemoryView,
        question: str,
        options: AskOptions,
        retriever: Retriever | None = None,
    ) -> Iterator[Event | Step]:
        try:
            yield Forward(question, "")
            for event in super().ask(view, question, options, retriever):
                if isinstance(event, Token):
                    yield from self._words(question, event.text)
                    view.texts([handle for handle, _, _ in self._routed(view, question, 1, None)])
                else:
                    yield event
        finally:
            self.closed.append((question, threading.current_thread().name))

    def _words(self, question: str, text: str) -> Iterator[Event | Step]:
        for number, word in enumerate(re.findall(r"\S+\s*", text)):
            step = Forward(question, word)
            if number == 1 and "kaput" in question:
                step.error = ZeroDivisionError("this question's own forward")
            yield step
            if step.error is not None:
                raise step.error
            yield Token(step.word)

    def run(self, steps: Sequence[Step]) -> None:
        self.batches.append([step.question for step in steps if isinstance(step, Forward)])
        if self.paced:
            assert self.forwards.acquire(timeout=PATIENCE)
        if self.gone:
            raise RuntimeError("the device is gone")

    def unleash(self) -> None:
        """Forwards wait no more."""
        self.paced = False
        self.forwards.release(2)  # for one that waits, and one about to
