"""The owner thread: who goes first, who is refused, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from memsvc_router.api import MemoryModel

from memsvc.engine import EngineStopped, ModelNotReady, Overloaded
from memsvc.engine.batching import Telling
from memsvc.engine.owner import ModelOwner, Steps
from tests.engine_support import PATIENCE, BagModel
from tests.stepping_support import Forward, SteppingModel

T = TypeVar("T")


@contextmanager
def busy(
    questions: int = 10, patience: float = PATIENCE, with_question: bool = False
) -> Iterator[tuple[ModelOwner, Noting]]:
    """An owner whose thread is held by encoding, or by a question, until
    `Noting.release`."""
    owner = ModelOwner(BagModel, questions, patience)
    owner.start()
    owner.loaded.result(PATIENCE)
    noting = Noting()
    if with_question:
        owner.ask(noting.hold)
    else:
        owner.encode(one_step(noting.hold))
    noting.held.wait(PATIENCE)
    try:
        yield owner, noting
    finally:
        noting.release.set()
        assert owner.stop(PATIENCE)


@contextmanager
def stepping(model: SteppingModel) -> Iterator[ModelOwner]:
    """An owner of this model, ready; its waiting encoding goes last."""
    owner = ModelOwner(lambda: model, 10, PATIENCE)
    owner.start()
    owner.loaded.result(PATIENCE)
    yield owner
    assert owner.stop(PATIENCE)


def one_step(job: Callable[[MemoryModel], T]) -> Callable[[MemoryModel], Steps[T]]:
    """Encoding that is done at its first step."""

    def begin(model: MemoryModel) -> Steps[T]:
        yield from ()
        return job(model)

    return begin


class Noting:
    """Jobs that note their names in the order in which they run."""

    def __init__(self) -> None:
        self.held, self.release = threading.Event(), threading.Event()
        self.names: list[str] = []

    def hold(self, _: MemoryModel) -> None:
        self.held.set()
        self.release.wait(PATIENCE)

    def job(self, name: str) -> Callable[[MemoryModel], str]:
        def run(_: MemoryModel) -> str:
            self.names.append(name)
            return name

        return run


def test_questions_go_ahead_of_encoding() -> None:
    with busy() as (owner, noting):
        encoding = [owner.encode(one_step(noting.job(f"e{i}"))) for i in range(3)]
        questions = [owner.ask(noting.job(f"q{i}")) for i in range(3)]
        noting.release.set()
        assert [f.result(PATIENCE) for f in questions] == ["q0", "q1", "q2"]
        assert [f.result(PATIENCE) for f in encoding] == ["e0", "e1", "e2"]
        assert noting.names == ["q0", "q1", "q2", "e0", "e1", "e2"]


def test_encoding_that_waited_long_goes_ahead_of_questions() -> None:
    with busy(patience=0.0, with_question=True) as (owner, noting):
        last = owner.ask(noting.job("q"))
        owner.encode(one_step(noting.job("e")))
        noting.release.set()
        last.result(PATIENCE)
        assert noting.names == ["e", "q"]


def test_no_question_waits_behind_two_steps_of_encoding() -> None:
    with busy(patience=0.0, with_question=True) as (owner, noting):
        encoding = [owner.encode(one_step(noting.job(f"e{i}"))) for i in range(9)]
        questions = [owner.ask(noting.job(f"q{i}")) for i in range(8)]
        noting.release.set()
        for future in (*encoding, *questions):
            future.result(PATIENCE)
        for number in range(8):
            assert noting.names.index(f"q{number}") < noting.names.index(f"e{number + 1}")


def test_questions_come_between_the_steps_of_a_long_document() -> None:
    names: list[str] = []

    def begin(_: MemoryModel) -> Steps[str]:
        for number in range(4):
            names.append(f"step {number}")
            if number == 1:
                owner.ask(lambda _: names.append("question"))
            yield
        return "done"

    owner = ModelOwner(BagModel, 10, PATIENCE)
    owner.start()
    owner.loaded.result(PATIENCE)
    assert owner.encode(begin).result(PATIENCE) == "done"
    assert names == ["step 0", "step 1", "question", "step 2", "step 3"]
    assert owner.stop(PATIENCE)


def test_stopping_does_not_wait_for_the_rest_of_what_is_encoded() -> None:
    begun = threading.Event()

    def begin(_: MemoryModel) -> Steps[None]:
        while True:
            begun.set()
            yield

    owner = ModelOwner(BagModel, 10, PATIENCE)
    owner.start()
    owner.loaded.result(PATIENCE)
    endless = owner.encode(begin)
    assert begun.wait(PATIENCE)
    assert owner.stop(PATIENCE)
    with pytest.raises(EngineStopped):
        endless.result(PATIENCE)


def test_banks_take_turns_with_jobs() -> None:
    with busy() as (owner, noting):
        jobs = [owner.ask(noting.job(f"a{i}"), "a") for i in range(4)]
        jobs += [owner.ask(noting.job(f"b{i}"), "b") for i in range(2)]
        noting.release.set()
        for job in jobs:
            job.result(PATIENCE)
        assert noting.names == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_a_cancelled_question_makes_room_and_never_runs() -> None:
    with busy(questions=2) as (owner, noting):
        first = owner.ask(noting.job("first"))
        owner.ask(noting.job("second"))
        with pytest.raises(Overloaded):
            owner.ask(noting.job("third"))
        assert first.cancel()
        fourth = owner.ask(noting.job("fourth"))
        noting.release.set()
        fourth.result(PATIENCE)
        assert noting.names == ["second", "fourth"]


def test_a_failing_job_does_not_stop_the_thread() -> None:
    def fail(_: MemoryModel) -> None:
        raise ZeroDivisionError

    with busy() as (owner, noting):
        failing = owner.ask(fail)
        after = owner.ask(noting.job("after"))
        noting.release.set()
        assert after.result(PATIENCE) == "after"
        with pytest.raises(ZeroDivisionError):
            failing.result(PATIENCE)


def test_answers_without_steps_have_turns_of_one_event() -> None:
    told: list[str] = []

    def telling(name: str) -> Telling:
        for number in range(3):
            told.append(f"{name}{number}")
            yield None

    with busy() as (owner, noting):
        begins = [lambda _, name=name: telling(name) for name in "xyz"]
        answers = [owner.stream(begin, "b") for begin in begins]
        noting.release.set()
        for answer in answers:
            answer.future.result(PATIENCE)
    assert told == ["x0", "y0", "z0", "x1", "y1", "z1", "x2", "y2", "z2"]


def test_an_answer_nobody_hears_is_closed_though_nothing_else_happens() -> None:
    model = SteppingModel(paced=True)
    closed = threading.Event()

    def endless(_: MemoryModel) -> Telling:
        try:
            while True:
                yield Forward("endless", "")
        finally:
            closed.set()

    with stepping(model) as owner:
        answer = owner.stream(endless, "b")
        while not model.batches:
            time.sleep(0.001)
        answer.abandon()
        model.forwards.release()
        assert closed.wait(PATIENCE)
        assert answer.future.result(PATIENCE) is None


def test_who_leaves_during_a_turn_is_not_in_its_batch() -> None:
    model = SteppingModel()
    held = threading.Event()

    def leaving(_: MemoryModel) -> Telling:
        yield Forward("leaving", "")

    def sending(_: MemoryModel) -> Telling:
        first.abandon()
        yield Forward("sending", "")

    with stepping(model) as owner:
        owner.encode(one_step(lambda _: held.wait(PATIENCE)))
        first, second = owner.stream(leaving, "b"), owner.stream(sending, "b")
        held.set()
        second.future.result(PATIENCE)
    assert model.batches == [["sending"]]


def test_encoding_takes_no_more_time_than_questions() -> None:
    order: list[str] = []
    done = threading.Event()

    def endless(_: MemoryModel) -> Telling:
        while not done.is_set():
            order.append("turn")
            yield None
            done.wait(0.001)

    def slowly(_: MemoryModel) -> None:
        time.sleep(0.1)
        order.append("slice")

    with busy(patience=0.0, with_question=True) as (owner, noting):
        answer = owner.stream(endless, "b")
        slices = [owner.encode(one_step(slowly)) for _ in range(4)]
        noting.release.set()
        for one in slices:
            one.result(PATIENCE)
        done.set()
        answer.future.result(PATIENCE)
    first, last = order.index("slice"), len(order) - order[::-1].index("slice")
    assert order[first:last].count("turn") > 2 * 3  # three gaps, each as long as a slice


def test_stopping_ends_questions_and_drops_encoding() -> None:
    with busy() as (owner, noting):
        question = owner.ask(noting.job("q"))
        encoding = owner.encode(one_step(noting.job("e")))
        assert not owner.stop(0.0)
        with pytest.raises(EngineStopped):
            encoding.result(PATIENCE)
        with pytest.raises(EngineStopped):
            question.result(PATIENCE)
        with pytest.raises(EngineStopped):
            owner.ask(noting.job("late"))


def test_nothing_runs_before_the_model_is_there() -> None:
    loading = threading.Event()

    def load() -> BagModel:
        loading.wait(PATIENCE)
        return BagModel()

    owner = ModelOwner(load, 1, PATIENCE)
    owner.start()
    with pytest.raises(ModelNotReady, match="loading"):
        owner.ask(lambda model: model.count_tokens("a"))
    loading.set()
    owner.loaded.result(PATIENCE)
    assert owner.ask(lambda model: model.count_tokens("a b")).result(PATIENCE) == 2
    assert owner.stop(PATIENCE)
