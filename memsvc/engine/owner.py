"""The owner thread: one thread loads the model and alone touches it, questions before encoding.

It goes round in circles: questions that wait are admitted, fairly between banks; one job (recall,
context) or one step of encoding runs; then every answer in the making has its turn, and their
steps run as one batch. Knows models and waiting lines; nothing of banks, disks or the wire.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from memsvc_router.api import MemoryModel

from memsvc.engine.batching import Answer, Answers, Telling
from memsvc.engine.errors import EngineStopped, ModelNotReady, Overloaded
from memsvc.engine.fairness import FairLine
from memsvc.engine.types import ModelState

_LAST_STEP_SECONDS = 1.0  # for the forward that is under way when the grace time ends

T = TypeVar("T")
Job = Callable[[MemoryModel], T]
Steps = Generator[None, None, T]
"""Work that others may come between: yields after each step, and returns its result."""


@dataclass
class _Waiting:
    future: Future[Any]
    job: Job[Any]
    since: float = field(default_factory=time.monotonic)


@dataclass
class _Encoding:
    """Something to encode, and how far it is."""

    future: Future[Any]
    begin: Job[Steps[Any]]
    since: float = field(default_factory=time.monotonic)
    steps: Steps[Any] | None = None

    def step(self, model: MemoryModel) -> bool:
        """Whether there is more to do."""
        try:
            if self.steps is None:
                if not self.future.set_running_or_notify_cancel():
                    return False
                self.steps = self.begin(model)
            next(self.steps)
        except StopIteration as end:
            self.future.set_result(end.value)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            return True
        return False


class ModelOwner:
    """Runs questions and encoding on the model. Thread-safe.

    `max_questions` may wait or run at a time, `max_active` of them be told side by side; encoding
    that waited for `patience` seconds takes turns with questions.
    """

    def __init__(
        self,
        load_model: Callable[[], MemoryModel],
        max_questions: int,
        patience: float,
        max_active: int = 16,
    ) -> None:
        self._load_model = load_model
        self._max_questions = max_questions
        self._patience = patience
        self._max_active = max_active
        self._jobs: FairLine[_Waiting] = FairLine()
        self._answers: FairLine[Answer] = FairLine()
        self._encoding: deque[_Encoding] = deque()
        self._begun: _Encoding | None = None
        self._active = Answers()
        self._at_job = False
        self._after_step = False
        self._questions_until = 0.0  # questions have the model to themselves until then
        self._changed = threading.Condition()
        self._stopping = False
        self._cut_off = False
        self._thread = threading.Thread(target=self._run, name="memsvc-model", daemon=True)
        self.state: ModelState = "LOADING"
        self.error = ""
        self.loaded: Future[MemoryModel] = Future()
        """Ends when the model is READY or FAILED (then with the loader's exception)."""
        self.loaded.set_running_or_notify_cancel()  # nobody who waits for it can cancel it

    def start(self) -> None:
        self._thread.start()

    def ask(self, job: Job[T], lane: str = "") -> Future[T]:
        """Queue a question that is answered in one go; `lane`: the bank, to be fair between them.

        Raises ModelNotReady, Overloaded, EngineStopped.
        """
        future: Future[T] = Future()
        with self._changed:
            self._check_room()
            self._jobs.push(lane, _Waiting(future, job))
            self._changed.notify()
        return future

    def stream(self, begin: Callable[[MemoryModel], Telling], lane: str) -> Answer:
        """Queue a question whose answer is told piece by piece, beside others.

        Raises ModelNotReady, Overloaded, EngineStopped.
        """
        answer = Answer(lane, begin)
        with self._changed:
            self._check_room()
            self._answers.push(lane, answer)
            self._changed.notify()
        return answer

    def encode(self, begin: Job[Steps[T]]) -> Future[T]:
        """Queue encoding, behind questions; they come between its steps, too.

        Raises ModelNotReady, EngineStopped.
        """
        future: Future[T] = Future()
        with self._changed:
            self._check_open()
            self._encoding.append(_Encoding(future, begin))
            self._changed.notify()
        return future

    def stop(self, grace_seconds: float) -> bool:
        """Take no more jobs, drop encoding, let questions end; those that have not within
        `grace_seconds` get EngineStopped. False if the model is busy even then."""
        with self._changed:
            self._stopping = True
            _refuse(one.future for one in self._encoding)
            self._encoding.clear()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(grace_seconds)
        with self._changed:
            self._cut_off = True
            _refuse(one.future for one in self._jobs.drain())
            _refuse(one.future for one in self._answers.drain())
        if self._thread.is_alive():
            self._thread.join(_LAST_STEP_SECONDS)
        return not self._thread.is_alive()

    def _check_open(self) -> None:
        if self._stopping:
            raise EngineStopped("the engine is stopping")
        if self.state == "LOADING":
            raise ModelNotReady("the model is loading")
        if self.state == "FAILED":
            raise ModelNotReady(f"the model could not be loaded: {self.error}")

    def _check_room(self) -> None:
        self._check_open()
        if self._questions() >= self._max_questions:
            self._jobs.discard(lambda one: one.future.cancelled())
            self._answers.discard(lambda one: one.future.cancelled())
        if self._questions() >= self._max_questions:
            raise Overloaded(f"{self._max_questions} questions wait for the model already")

    def _questions(self) -> int:
        return len(self._jobs) + len(self._answers) + self._active.wanted() + self._at_job

    # ---- the thread
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
        while self._wait():
            self._admit(model)
            began = time.monotonic()
            if self._encode_step(model):
                self._questions_until = 2 * time.monotonic() - began
            else:
                self._do_job(model)
            self._active.turn(model)
        self._active.end_all(EngineStopped("the engine is stopping"))
        if self._begun is not None:
            self._begun.future.set_exception(EngineStopped("the engine is stopping"))
            self._begun = None

    def _wait(self) -> bool:
        """Return when there is something to do; False once all is done and no more will come."""
        with self._changed:
            while not (self._jobs or self._answers or self._active):
                if self._stopping:
                    return False
                if self._encoding or self._begun is not None:
                    break
                self._changed.wait()
            return not self._cut_off

    def _admit(self, model: MemoryModel) -> None:
        self._active.close_abandoned()
        with self._changed:
            while self._answers and len(self._active) < self._max_active:
                self._active.admit(self._answers.pop(self._active.lanes()), model)

    def _encode_step(self, model: MemoryModel) -> bool:
        """Take encoding one step further where it is its turn; False if it is not."""
        with self._changed:
            first = self._begun or (self._encoding[0] if self._encoding else None)
            self._after_step = first is not None and self._encoding_is_due(first)
            if first is None or not self._after_step:
                return False
            if self._begun is None:
                self._encoding.popleft()
        self._begun = first if first.step(model) else None
        return True

    def _do_job(self, model: MemoryModel) -> None:
        """The next job, if one waits."""
        with self._changed:
            self._at_job = bool(self._jobs)
            waiting = self._jobs.pop({}) if self._jobs else None
        if waiting is None:
            return
        future = waiting.future
        if not future.set_running_or_notify_cancel():
            self._at_job = False
            return
        try:
            result = waiting.job(model)
        except BaseException as error:
            self._at_job = False
            future.set_exception(error)
        else:
            self._at_job = False  # before its caller hears of it, and asks again
            future.set_result(result)

    def _encoding_is_due(self, encoding: _Encoding) -> bool:
        """Encoding waits for questions, but with patience at an end has every other go, and no
        more time than they: neither holds up the other for ever."""
        if self._stopping:
            return False
        if not (self._jobs or self._active):
            return True
        now = time.monotonic()
        if self._after_step or now < self._questions_until:
            return False
        return now - encoding.since > self._patience


def _refuse(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        if future.set_running_or_notify_cancel():
            future.set_exception(EngineStopped("the engine is stopping"))
