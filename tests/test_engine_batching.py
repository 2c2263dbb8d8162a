"""Many answers at once: what shares a forward, whose turn it is, and whom a failure hits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from memsvc_router.api import AskOptions, Done, Event, Hop, MemoryView, Retriever, Step, Token
from memsvc_storage import NewDocument

from memsvc.engine import Engine, EngineStopped, MemoryChanged
from tests.engine_support import PATIENCE, Switches, add, answer, recalled, running
from tests.stepping_support import SteppingModel


def letter(bank: str, count: int = 12) -> str:
    """One sentence of `count` words and a few."""
    return f"Letter {bank} says {' '.join(f'{bank}{i}' for i in range(count))}."


@asynccontextmanager
async def banks(
    path: Path, model: SteppingModel, *names: str, words: int = 12, **settings: Any
) -> AsyncIterator[Engine]:
    """An engine with banks of one letter each, loaded, so that questions come in their order."""
    async with running(path, model, **settings) as engine:
        for name in names:
            await engine.create_bank(name)
            await add(engine, name, letter(name, words))
            await recalled(engine, name, "letter")
        try:
            yield engine
        finally:
            model.unleash()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.005)


async def until_asked(engine: Engine, count: int) -> None:
    """Return once so many questions have come, beside the one that loaded each bank."""
    loaded = len((await engine.list_banks(10)).items)
    await until(lambda: engine.counters()["questions"] == loaded + count)


def asked(engine: Engine, bank: str, question: str) -> asyncio.Task[str]:
    return asyncio.create_task(answer(engine, bank, question))


async def test_one_forward_serves_questions_of_several_banks(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", "b", "c") as engine:
        first = asked(engine, "a", "letter a")
        await until(lambda: bool(model.batches))
        others = [asked(engine, bank, f"letter {bank}") for bank in "bc"]
        await until_asked(engine, 3)
        model.unleash()
        assert [await task for task in (first, *others)] == [letter(bank) for bank in "abc"]
    together = [batch for batch in model.batches if len(batch) == 3]
    assert len(together) >= 10  # all words but those that came before the others
    assert all(set(batch) == {"letter a", "letter b", "letter c"} for batch in together)
    assert len(model.batches) <= 2 * 16 + 4  # and far from one forward for each word of each


async def test_no_more_than_the_most_are_answered_side_by_side(tmp_path: Path) -> None:
    model = SteppingModel()
    async with banks(tmp_path, model, "a", "b", max_active=2) as engine:
        tasks = [asked(engine, bank, f"letter {i}") for i in range(4) for bank in "ab"]
        assert [await task for task in tasks] == [letter("a"), letter("b")] * 4
    assert max(len(batch) for batch in model.batches) == 2


@pytest.mark.parametrize("most", [1, 3])
async def test_a_crowd_at_one_bank_does_not_hold_up_another(tmp_path: Path, most: int) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", "b", max_active=most) as engine:
        crowd = [asked(engine, "a", f"letter crowd{i:02}") for i in range(30)]
        await until_asked(engine, 30)
        await until(lambda: bool(model.batches))
        late = [asked(engine, "b", f"letter late{i}") for i in range(2)]
        await until_asked(engine, 32)
        model.unleash()
        await asyncio.gather(*crowd, *late)
    order = list(dict.fromkeys(question for batch in model.batches for question in batch))
    assert [q for q in order if "crowd" in q] == sorted(q for q in order if "crowd" in q)
    assert order.index("letter late0") <= most  # those that were active, then at once
    assert order.index("letter late1") <= most + 2


async def test_leaving_frees_the_place_within_one_step(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", words=200, max_active=1) as engine:
        leaving = asked(engine, "a", "letter leaving")
        await until(lambda: bool(model.batches))
        staying = asked(engine, "a", "letter staying")
        await until_asked(engine, 2)
        for _ in range(5):
            model.forwards.release()
        await until(lambda: len(model.batches) == 6)  # the sixth forward is under way
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        model.forwards.release()
        await until(lambda: len(model.batches) == 7)
        assert model.batches[6] == ["letter staying"]
        assert model.closed == [("letter leaving", "memsvc-model")]
        model.unleash()
        assert await staying == letter("a", 200)


async def test_who_leaves_while_waiting_is_never_begun(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", max_active=1) as engine:
        running_one = asked(engine, "a", "letter first")
        await until(lambda: bool(model.batches))
        leaving = asked(engine, "a", "letter leaving")
        await until_asked(engine, 2)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        last = asked(engine, "a", "letter last")
        model.unleash()
        assert [await running_one, await last] == [letter("a")] * 2
    assert not any("letter leaving" in batch for batch in model.batches)


async def test_a_step_that_fails_ends_its_own_question_only(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", "b") as engine:
        sound = asked(engine, "a", "letter sound")
        await until(lambda: bool(model.batches))
        failing = asked(engine, "b", "letter kaput")
        await until_asked(engine, 2)
        model.unleash()
        with pytest.raises(ZeroDivisionError):
            await failing
        assert await sound == letter("a")
        assert {"letter sound", "letter kaput"} in [set(batch) for batch in model.batches]
        assert await answer(engine, "b", "letter again") == letter("b")


async def test_a_batch_that_fails_ends_all_its_questions_and_no_more(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", "b", max_active=2) as engine:
        tasks = [asked(engine, bank, f"letter {bank}") for bank in "ab"]
        await until_asked(engine, 2)
        await until(lambda: bool(model.batches))
        model.forwards.release()
        await until(lambda: len(model.batches) == 2)
        later = asked(engine, "a", "letter later")
        await until_asked(engine, 3)
        model.gone = True
        model.forwards.release()
        for task in tasks:
            with pytest.raises(RuntimeError, match="device is gone"):
                await task
        model.gone = False
        model.unleash()
        assert await later == letter("a")


async def test_documents_are_encoded_during_a_long_answer(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    quick = {"encode_patience": 0.0, "batch_chars": 40}
    async with banks(tmp_path, model, "a", "b", words=2000, **quick) as engine:
        long = asked(engine, "a", "letter a")
        await until(lambda: bool(model.batches))
        new = [NewDocument(f"Crate {i} holds gold{i}.") for i in range(5)]
        operation = (await engine.add_documents("b", new)).operation
        while not (await engine.get_operation(operation.operation_id)).finished:
            model.forwards.release()
            await asyncio.sleep(0.005)
        assert not long.done()
        assert len(model.batches) < 1500
        model.unleash()
        assert await long == letter("a", 2000)


async def test_recalls_and_long_answers_take_turns(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", words=200) as engine:
        long = asked(engine, "a", "letter a")
        await until(lambda: bool(model.batches))
        recalls = [asyncio.create_task(recalled(engine, "a", "letter")) for _ in range(20)]
        await until_asked(engine, 21)
        for _ in range(21):  # a forward for each recall, and one for the way there
            model.forwards.release()
        assert [len(await recall) for recall in recalls] == [1] * 20
        await until(lambda: len(model.batches) == 22)
        assert not long.done()
        model.unleash()
        assert await long == letter("a", 200)


async def test_stopping_lets_answers_that_are_under_way_end(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", "b", max_active=1) as engine:
        tasks = [asked(engine, bank, "letter") for bank in "ab"]
        await until_asked(engine, 2)
        await until(lambda: bool(model.batches))
        stopping = asyncio.create_task(engine.stop(PATIENCE))
        await until(lambda: engine.health().reason == "stopping")
        with pytest.raises(EngineStopped):
            await answer(engine, "a", "letter too late")
        model.unleash()
        assert [await task for task in tasks] == [letter("a"), letter("b")]
        await stopping


async def test_stopping_ends_answers_that_take_longer_than_its_patience(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a", words=100_000, max_active=1) as engine:
        telling = asked(engine, "a", "letter telling")
        waiting = asked(engine, "a", "letter waiting")
        await until_asked(engine, 2)
        await until(lambda: bool(model.batches))
        stopping = asyncio.create_task(engine.stop(0.1))
        await until(lambda: waiting.done())
        model.unleash()
        await stopping
        for task in (telling, waiting):
            with pytest.raises(EngineStopped):
                await task
        assert model.closed == [("letter telling", "memsvc-model")]


async def test_a_new_start_tells_the_same_hops_only_once(tmp_path: Path) -> None:
    switches = Switches()
    async with running(tmp_path, SteppingModel(switches)) as engine:
        await engine.create_bank("b")
        await add(engine, "b", "The old mill is red.", NewDocument("The mill.", document_id="m"))
        (red,) = [d for d in await recalled(engine, "b", "red") if d != "m"]
        switches.answering.clear()
        events: AsyncGenerator[Event, None] = engine.ask("b", "old mill red")
        told = [await anext(events)]
        await engine.delete_document("b", red)
        switches.answering.set()
        told += [event async for event in events]
    assert [type(event) for event in told if isinstance(event, Hop | Done)] == [Hop, Done]
    assert "".join(event.text for event in told if isinstance(event, Token)) == "The mill."


async def test_a_document_that_vanishes_under_a_half_told_answer(tmp_path: Path) -> None:
    model = SteppingModel(paced=True)
    async with banks(tmp_path, model, "a") as engine:
        task = asked(engine, "a", "letter")
        for _ in range(4):
            model.forwards.release()
        await until(lambda: len(model.batches) == 5)
        (document,) = (await engine.list_documents("a", 2, None)).items
        await engine.delete_document("a", document.document_id)
        model.unleash()
        with pytest.raises(MemoryChanged, match="just changed"):
            await task


async def test_time_spent_in_the_line_is_taken_from_the_budget(tmp_path: Path) -> None:
    given: list[float | None] = []

    class Noting(SteppingModel):
        def ask(
            self,
            view: MemoryView,
            question: str,
            options: AskOptions,
            retriever: Retriever | None = None,
        ) -> Iterator[Event | Step]:
            given.append(options.max_seconds)
            return super().ask(view, question, options, retriever)

    model = Noting(paced=True)
    async with banks(tmp_path, model, "a", max_active=1) as engine:
        first = asked(engine, "a", "letter first")
        await until(lambda: bool(model.batches))
        late = [
            asyncio.create_task(answer(engine, "a", "letter", options=AskOptions(max_seconds=most)))
            for most in (1e-9, 1000)
        ]
        await until_asked(engine, 3)
        model.unleash()
        await asyncio.gather(first, *late)
    without, spent, left = given
    assert (without is None, spent is None, left is None) == (True, False, False)
    assert 0 < (spent or 0) < (left or 0) < 1000  # models take no budget of nothing
