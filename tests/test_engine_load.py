"""Many callers at once: order, limits, cancellation and waiting."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from memsvc_router.api import Done, Event, Hop
from memsvc_storage import NewDocument

from memsvc.engine import IndexedView, Overloaded
from memsvc.engine.banks import Banks
from tests.engine_support import PATIENCE, BagModel, Switches, add, answer, recalled, running


async def test_adds_deletes_and_questions_from_many_tasks(tmp_path: Path) -> None:
    async with running(tmp_path, batch_documents=16) as engine:
        await engine.create_bank("b")

        async def live(worker: int) -> None:
            for i in range(8):
                name = f"w{worker}n{i}"
                await add(
                    engine, "b", NewDocument(f"Crate {name} holds gold{name}.", document_id=name)
                )
                assert await answer(engine, "b", f"gold{name}") == f"Crate {name} holds gold{name}."
                if i % 2:
                    await engine.delete_document("b", name)
                    assert name not in await recalled(engine, "b", f"gold{name}")

        await asyncio.gather(*(live(worker) for worker in range(8)))
        stats = await engine.stats("b")
        assert (stats.ready, stats.pending, stats.failed) == (32, 0, 0)
        page = await engine.list_operations("b", None, 1000)
        assert len(page.items) >= 64
        assert all(operation.finished for operation in page.items)


async def test_a_finished_operation_can_be_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in = Banks.take_in

    def slowly(*args: Any) -> None:
        time.sleep(0.3)  # others ring the bell between the commit and the live bank
        take_in(*args)

    monkeypatch.setattr(Banks, "take_in", slowly)
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", "Crate one holds silver.")
        assert await answer(engine, "b", "silver") == "Crate one holds silver."
        added = await engine.add_documents("b", [NewDocument("Crate two holds gold.")])
        waiting = asyncio.create_task(engine.wait_operation(added.operation.operation_id))
        while not waiting.done():
            engine._progress.ring()
            await asyncio.sleep(0.01)
        assert await answer(engine, "b", "gold") == "Crate two holds gold."


async def test_a_large_ingest_goes_through_in_batches(tmp_path: Path) -> None:
    async with running(tmp_path, batch_documents=64, batch_chars=4000) as engine:
        await engine.create_bank("a")
        await engine.create_bank("b")
        operations = []
        for bank in ("a", "b"):
            new = [NewDocument(f"Lamp {i} of {bank} burns oil{i}.") for i in range(500)]
            operations.append((await engine.add_documents(bank, new)).operation)
        for operation in operations:
            ended = await engine.wait_operation(operation.operation_id, PATIENCE)
            assert (ended.state, ended.done) == ("DONE", 500)
        assert await answer(engine, "a", "oil77") == "Lamp 77 of a burns oil77."
        assert await answer(engine, "b", "oil499") == "Lamp 499 of b burns oil499."


async def test_questions_go_on_while_their_bank_is_compacted(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        names = [f"n{i}" for i in range(60)]
        await add(
            engine, "b", *[NewDocument(f"Crate {n} is gold{n}.", document_id=n) for n in names]
        )
        kept = names[::3]

        async def ask_all() -> None:
            for name in kept:
                assert await answer(engine, "b", f"gold{name}") == f"Crate {name} is gold{name}."

        async def shrink() -> None:
            for at, name in enumerate(n for n in names if n not in kept):
                await engine.delete_document("b", name)
                if at % 13 == 0:
                    await engine.compact("b")

        await asyncio.gather(ask_all(), ask_all(), shrink())
        assert engine.counters().get("blocks_corrupt", 0) == 0
        await ask_all()


async def test_waiting_wakes_when_the_work_is_done_and_not_before(tmp_path: Path) -> None:
    switches = Switches()
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        switches.gate.clear()
        operation = (await engine.add_documents("b", [NewDocument("Tea.")])).operation
        early = await engine.wait_operation(operation.operation_id, 0.05)
        assert not early.finished
        waiting = asyncio.create_task(engine.wait_operation(operation.operation_id))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        switches.gate.set()
        assert (await asyncio.wait_for(waiting, PATIENCE)).state == "DONE"


async def test_deleting_what_waits_ends_its_operation(tmp_path: Path) -> None:
    switches = Switches(broken=True)
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        result = await engine.add_documents("b", [NewDocument("Tea.", document_id="t")])
        waiting = asyncio.create_task(engine.wait_operation(result.operation.operation_id))
        await engine.delete_document("b", "t")
        assert (await asyncio.wait_for(waiting, PATIENCE)).state == "DONE"


async def test_too_many_questions_are_refused(tmp_path: Path) -> None:
    switches = Switches()
    async with running(tmp_path, BagModel(switches), max_questions=3) as engine:
        await engine.create_bank("b")
        await add(engine, "b", "Tea is green.")
        switches.answering.clear()
        tasks = [asyncio.create_task(answer(engine, "b", "tea")) for _ in range(8)]
        async with asyncio.timeout(PATIENCE):
            while sum(task.done() for task in tasks) < 5:
                await asyncio.sleep(0.01)
        for task in tasks:
            if task.done():
                with pytest.raises(Overloaded):
                    task.result()
        waiting = [task for task in tasks if not task.done()]
        switches.answering.set()
        assert [await task for task in waiting] == ["Tea is green."] * 3


async def test_a_cancelled_question_stops_the_models_work(tmp_path: Path) -> None:
    switches = Switches()
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        await add(engine, "b", "Tea is green.")
        switches.answering.clear()
        seen: list[Event] = []

        async def listen() -> None:
            async for event in engine.ask("b", "tea"):
                seen.append(event)

        task = asyncio.create_task(listen())
        async with asyncio.timeout(PATIENCE):
            while not seen:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        switches.answering.set()
        events = switches.events
        assert await answer(engine, "b", "tea") == "Tea is green."
        assert isinstance(seen[0], Hop)
        assert len(seen) == 1
        # At most the event that was under way came after the cancellation.
        assert switches.events - events <= 4 + 3


async def test_leaving_an_answer_early_frees_the_model(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", "Tea is green.")
        events = engine.ask("b", "tea")
        async for _ in events:
            break
        await events.aclose()
        assert await answer(engine, "b", "tea") == "Tea is green."


async def test_stopping_lets_a_running_answer_end(tmp_path: Path) -> None:
    switches = Switches()
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        await add(engine, "b", "Tea is green.")
        switches.answering.clear()
        task = asyncio.create_task(answer(engine, "b", "tea"))
        async with asyncio.timeout(PATIENCE):
            while not switches.events:
                await asyncio.sleep(0.01)
        stopping = asyncio.create_task(engine.stop(20))
        await asyncio.sleep(0.05)
        switches.answering.set()
        assert await task == "Tea is green."
        await stopping


async def test_another_retriever_finds_through_the_same_view(tmp_path: Path) -> None:
    class Last:
        def __init__(self, view: IndexedView) -> None:
            self.view = view

        def retrieve(self, query: str, k: int) -> list[tuple[int, float]]:  # noqa: ARG002
            handle = self.view.handle_of("z")
            assert handle in self.view.handles()
            return [(handle, 1.0)] if handle is not None else []

    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", "Tea is green.", NewDocument("Tea is old.", document_id="z"))
        done = [e async for e in engine.ask("b", "green tea", retriever=Last)][-1]
        assert isinstance(done, Done)
        assert done.answer == "Tea is old."
