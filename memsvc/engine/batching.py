"""The answers in the making: all are brought forward in turns, and their steps run as one batch.

Lives in the owner thread. Knows generators of steps and the model's `run`; nothing of waiting
lines, banks or what the steps compute.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field

from memsvc_router.api import MemoryModel, Step

_LOG = logging.getLogger("memsvc.engine")

Telling = Generator[Step | None, None, None]
"""Tells an answer. Yields each `Step` it needs run, and None where others may have their turn."""


@dataclass(eq=False)
class Answer:
    """One streamed question. `lane`: who shares the model fairly, that is its bank's name;
    `future` ends with the telling."""

    lane: str
    begin: Callable[[MemoryModel], Telling]
    future: Future[None] = field(default_factory=Future)
    abandoned: bool = False

    def abandon(self) -> None:
        """Nobody listens any more: the telling is closed before the next forward. Thread-safe."""
        self.abandoned = True
        self.future.cancel()


@dataclass(eq=False)
class _Running:
    answer: Answer
    telling: Telling
    step: Step | None = None
    stepped: bool = False


class Answers:
    """The active set. Only `wanted` may be called from other threads."""

    def __init__(self) -> None:
        self._running: list[_Running] = []

    def __len__(self) -> int:
        return len(self._running)

    def wanted(self) -> int:
        """How many are told to somebody."""
        return sum(not one.answer.abandoned for one in list(self._running))

    def lanes(self) -> Counter[str]:
        """How many are active by lane."""
        return Counter(one.answer.lane for one in self._running)

    def admit(self, answer: Answer, model: MemoryModel) -> None:
        """Take an answer in, unless it was abandoned while it waited."""
        if answer.future.set_running_or_notify_cancel():
            self._running.append(_Running(answer, answer.begin(model)))

    def close_abandoned(self) -> None:
        """Free the places of answers that nobody listens to."""
        for one in [one for one in self._running if one.answer.abandoned]:
            self._end(one)

    def turn(self, model: MemoryModel) -> None:
        """Bring every answer forward to its next step, then run all steps as one batch.

        An answer without steps (a model that forwards by itself) has the turn for one event. Who
        fails ends alone; if the batch itself fails, so does every question in it.
        """
        for one in list(self._running):
            if not one.answer.abandoned:
                self._advance(one)
        self.close_abandoned()
        batch = [one for one in self._running if one.step is not None]
        if batch:
            try:
                model.run([one.step for one in batch if one.step is not None])
            except BaseException as error:
                _LOG.error("a batch of %d steps failed: %s", len(batch), type(error).__name__)
                for one in batch:
                    self._end(one, error)

    def end_all(self, error: BaseException) -> None:
        """Close every answer; its listener gets the error."""
        for one in list(self._running):
            self._end(one, error)

    def _advance(self, one: _Running) -> None:
        one.step = None
        try:
            while not one.answer.abandoned:
                one.step = next(one.telling)
                one.stepped = one.stepped or one.step is not None
                if one.step is not None or not one.stepped:
                    return
        except StopIteration:
            self._end(one)
        except BaseException as error:
            self._end(one, error)

    def _end(self, one: _Running, error: BaseException | None = None) -> None:
        try:
            one.telling.close()
        except BaseException as fault:
            _LOG.error("an answer could not be closed: %s", type(fault).__name__)
        self._running.remove(one)  # before its listener hears of it, and asks again
        if error is None:
            one.answer.future.set_result(None)
        else:
            one.answer.future.set_exception(error)
