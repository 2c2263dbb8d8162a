"""The owner thread: one thread loads the model and alone touches it, questions before encoding.

Knows models and waiting lines; nothing of banks, disks or the wire.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from memsvc_router.api import MemoryModel

from memsvc.engine.errors import EngineStopped, ModelNotReady, Overloaded
from memsvc.engine.types import ModelState

T = TypeVar("T")
Job = Callable[[MemoryModel], T]


@dataclass
class _Waiting:
    future: Future[Any]
    job: Job[Any]
    since: float = field(default_factory=time.monotonic)


class ModelOwner:
    """Runs jobs on the model, one at a time. Thread-safe."""

    def __init__(
        self, load_model: Callable[[], MemoryModel], max_questions: int, patience: float
    ) -> None:
        self._load_model = load_model
        self._max_questions = max_questions
        self._patience = patience
        self._questions: deque[_Waiting] = deque()
        self._encoding: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._answering = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="memsvc-model", daemon=True)
        self.state: ModelState = "LOADING"
        self.error = ""
        self.loaded: Future[MemoryModel] = Future()
        """Ends when the model is READY or FAILED (then with the loader's exception)."""
        self.loaded.set_running_or_notify_cancel()  # nobody who waits for it can cancel it

    def start(self) -> None:
        self._thread.start()

    def ask(self, job: Job[T]) -> Future[T]:
        """Queue a question. Raises ModelNotReady, Overloaded, EngineStopped."""
        with self._changed:
            self._check_open()
            if len(self._questions) + self._answering >= self._max_questions:
                self._questions = deque(w for w in self._questions if not w.future.cancelled())
            if len(self._questions) + self._answering >= self._max_questions:
                raise Overloaded(f"{self._max_questions} questions wait for the model already")
            return self._append(self._questions, job)

    def encode(self, job: Job[T]) -> Future[T]:
        """Queue a slice of encoding, behind questions. Raises ModelNotReady, EngineStopped."""
        with self._changed:
            self._check_open()
            return self._append(self._encoding, job)

    def stop(self, grace_seconds: float) -> bool:
        """Take no more jobs, drop waiting encoding, let questions end. False if time ran out."""
        with self._changed:
            self._stopping = True
            _refuse(self._encoding)
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(grace_seconds)
        with self._changed:
            _refuse(self._questions)
        return not self._thread.is_alive()

    def _check_open(self) -> None:
        if self._stopping:
            raise EngineStopped("the engine is stopping")
        if self.state == "LOADING":
            raise ModelNotReady("the model is loading")
        if self.state == "FAILED":
            raise ModelNotReady(f"the model could not be loaded: {self.error}")

    def _append(self, line: deque[_Waiting], job: Job[T]) -> Future[T]:
        future: Future[T] = Future()
        line.append(_Waiting(future, job))
        self._changed.notify()
        return future

    def _run(self) -> None:
        try:
            model = self._load_model()
        except BaseException as error:
            self.error = f"{type(error).__name__}: {error}"
            self.state = "FAILED"
            self.loaded.set_exception(error)
            return
        self.state = "READY"
        self.loaded.set_result(model)
        while (waiting := self._next()) is not None:
            future, job = waiting.future, waiting.job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job(model))
                except BaseException as error:
                    future.set_exception(error)
            del waiting, future, job  # the tensors of a job must not live until the next one

    def _next(self) -> _Waiting | None:
        """The next job; None once stopping and no question waits."""
        with self._changed:
            self._answering = False
            while not self._questions and not self._encoding:
                if self._stopping:
                    return None
                self._changed.wait()
            if self._encoding and (not self._questions or self._encoding_waited_long()):
                return self._encoding.popleft()
            self._answering = True
            return self._questions.popleft()

    def _encoding_waited_long(self) -> bool:
        # Without this a steady stream of questions would keep new memories out for ever.
        return time.monotonic() - self._encoding[0].since > self._patience


def _refuse(line: deque[_Waiting]) -> None:
    while line:
        waiting = line.popleft()
        if waiting.future.set_running_or_notify_cancel():
            waiting.future.set_exception(EngineStopped("the engine is stopping"))
