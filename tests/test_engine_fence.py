"""The identity fence: no model reads another's blocks; no bank answers from a part of itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from memsvc_router.api import Done, Event
from memsvc_storage import DocumentChanges, NewDocument, Operation

from memsvc.engine import BankReencoding, Engine, EngineConfig
from tests.engine_support import PATIENCE, BagModel, Switches, add, answer, recalled, running

PARIS = NewDocument("The capital of France is Paris.", title="France", document_id="fr")
ROME = NewDocument("The capital of Italy is Rome.", title="Italy", document_id="it")
SPAIN = NewDocument("The capital of Spain is Madrid.", title="Spain", document_id="es")
SHIPS = [NewDocument(f"Ship {i} carries cargo{i}.", document_id=f"s{i}") for i in range(6)]


async def filled(data_dir: Path, *documents: NewDocument) -> None:
    """Leaves bank "b" with blocks of `BagModel()`."""
    async with running(data_dir) as engine:
        await engine.create_bank("b")
        await add(engine, "b", *documents)


async def reencoding(engine: Engine) -> Operation:
    operation = (await engine.serving(await engine.get_bank("b"))).operation
    assert operation is not None
    return operation


async def state(engine: Engine) -> str | None:
    return (await engine.serving(await engine.get_bank("b"))).state


async def test_the_previous_model_serves_until_all_is_made_anew(tmp_path: Path) -> None:
    await filled(tmp_path, PARIS, ROME)
    new, old = Switches(), Switches()
    new.gate.clear()
    async with running(tmp_path, BagModel(new, pool=8), previous=BagModel(old)) as engine:
        assert await state(engine) == "REENCODING_SERVING_PREVIOUS"
        operation = await reencoding(engine)
        assert (operation.kind, operation.total) == ("REENCODE", 2)
        assert await answer(engine, "b", "capital of Italy") == ROME.text
        assert (await engine.build_context("b", "capital of Italy", 50)).tokens > 0
        assert (old.events > 0, new.events) == (True, 0)
        new.gate.set()
        ended = await engine.wait_operation(operation.operation_id, PATIENCE)
        assert (ended.state, ended.done, ended.failed) == ("DONE", 2, 0)
        told = old.events
        assert await answer(engine, "b", "capital of Italy") == ROME.text
        assert (old.events, new.events > 0) == (told, True)
        serving = await engine.serving(await engine.get_bank("b"))
        assert (serving.state, serving.operation) == ("SERVING", None)
        assert serving.made_by is not None
        assert serving.made_by["pool_size"] == 8
        assert sorted(new.encoded) == sorted([PARIS.text, ROME.text])
        assert old.encoded == []


async def test_what_is_written_meanwhile_is_found_at_once_and_afterwards(tmp_path: Path) -> None:
    await filled(tmp_path, PARIS, ROME, *SHIPS)
    new, old = Switches(), Switches()
    new.gate.clear()
    async with running(tmp_path, BagModel(new, pool=8), previous=BagModel(old)) as engine:
        operation = await reencoding(engine)
        await add(engine, "b", SPAIN)
        changes = DocumentChanges(text="The capital of France is Lyon.")
        _, update = await engine.update_document("b", "fr", changes)
        assert update is not None
        await engine.wait_operation(update.operation_id, PATIENCE)
        await engine.delete_document("b", "it")
        for _ in range(2):
            assert (
                await answer(engine, "b", "capital of Spain") == "The capital of Spain is Madrid."
            )
            assert (
                await answer(engine, "b", "capital of France") == "The capital of France is Lyon."
            )
            assert "it" not in await recalled(engine, "b", "capital of Italy")
            new.gate.set()
            await engine.wait_operation(operation.operation_id, PATIENCE)
        assert await state(engine) == "SERVING"
        assert sorted(old.encoded) == [changes.text, SPAIN.text]
        await add(engine, "b", ROME)
        assert await answer(engine, "b", "capital of Italy") == ROME.text
        assert ROME.text in new.encoded


async def test_a_question_that_runs_during_the_change_ends_undisturbed(tmp_path: Path) -> None:
    await filled(tmp_path, PARIS, ROME)
    new, old = Switches(), Switches()
    new.gate.clear()
    old.answering.clear()
    async with running(tmp_path, BagModel(new, pool=8), previous=BagModel(old)) as engine:
        operation = await reencoding(engine)
        events = engine.ask("b", "capital of Italy")
        heard: list[Event] = [await anext(events)]
        new.gate.set()
        await engine.wait_operation(operation.operation_id, PATIENCE)
        assert await recalled(engine, "b", "capital of Italy") == ["it", "fr"]
        old.answering.set()
        heard += [event async for event in events]
        assert isinstance(heard[-1], Done)
        assert heard[-1].answer == ROME.text
        assert new.events == 0


async def test_a_question_whose_old_blocks_are_gone_is_asked_again(tmp_path: Path) -> None:
    await filled(tmp_path, PARIS, ROME)
    new, old = Switches(), Switches()
    new.gate.clear()
    async with running(tmp_path, BagModel(new, pool=8), previous=BagModel(old)) as engine:
        operation = await reencoding(engine)
        held = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow_filter(_: object) -> bool:
            # Called while the view is made, in the previous model's thread.
            if not held.is_set():
                loop.call_soon_threadsafe(held.set)
                new.gate.set()
                asyncio.run_coroutine_threadsafe(
                    engine.wait_operation(operation.operation_id, PATIENCE), loop
                ).result(PATIENCE)
                asyncio.run_coroutine_threadsafe(engine.compact("b"), loop).result(PATIENCE)
            return True

        assert await recalled(engine, "b", "capital of Italy", filter=slow_filter) == ["it", "fr"]


async def test_documents_that_the_new_model_cannot_encode_fail_at_the_change(
    tmp_path: Path,
) -> None:
    await filled(tmp_path, PARIS, *SHIPS)
    new, old = Switches(poison={"paris"}), Switches()
    async with running(tmp_path, BagModel(new, pool=8), previous=BagModel(old)) as engine:
        async with asyncio.timeout(PATIENCE):
            while await state(engine) != "SERVING":
                await asyncio.sleep(0.02)
        document = await engine.get_document("b", "fr")
        assert (document.state, "cannot be encoded" in document.error) == ("FAILED", True)
        assert await answer(engine, "b", "cargo3") == SHIPS[3].text
        ended = (await engine.list_operations("b", None, 9)).items[0]
        assert ended.kind == "REENCODE"
        assert (ended.state, ended.done, ended.failed) == ("DONE", 6, 1)


async def test_a_sick_model_changes_nothing_until_it_is_sound(tmp_path: Path) -> None:
    await filled(tmp_path, PARIS)
    new = Switches(broken=True)
    async with running(tmp_path, BagModel(new, pool=8), previous=BagModel()) as engine:
        async with asyncio.timeout(PATIENCE):
            while not engine.counters().get("encode_failures"):
                await asyncio.sleep(0.02)
        assert await answer(engine, "b", "capital of France") == PARIS.text
        assert await state(engine) == "REENCODING_SERVING_PREVIOUS"
        new.broken = False
        operation = await reencoding(engine)
        assert (await engine.wait_operation(operation.operation_id, PATIENCE)).done == 1


async def test_without_the_previous_model_the_bank_is_closed_until_all_is_made_anew(
    tmp_path: Path,
) -> None:
    await filled(tmp_path, PARIS, ROME)
    new = Switches(broken=True)
    async with running(tmp_path, BagModel(new, pool=8), batch_documents=1) as engine:
        await engine.create_bank("other")
        assert await state(engine) == "REENCODING_UNAVAILABLE"
        operation = await reencoding(engine)
        asking = (
            lambda: engine.recall("b", "capital"),
            lambda: anext(engine.ask("b", "capital")),
            lambda: engine.build_context("b", "capital", 10),
        )
        for ask in asking:
            with pytest.raises(BankReencoding, match="0 of 2 documents") as refused:
                await ask()
            assert refused.value.operation.operation_id == operation.operation_id
        assert await recalled(engine, "other", "capital") == []
        written = await engine.add_documents("b", [SPAIN])
        await engine.delete_document("b", "it")
        new.broken = False
        ended = await engine.wait_operation(operation.operation_id, PATIENCE)
        assert (ended.state, ended.done) == ("DONE", 2)
        assert await answer(engine, "b", "capital of France") == PARIS.text
        await engine.wait_operation(written.operation.operation_id, PATIENCE)
        assert await answer(engine, "b", "capital of Spain") == SPAIN.text
        assert await state(engine) == "SERVING"


async def test_a_closed_bank_is_still_closed_after_a_restart(tmp_path: Path) -> None:
    await filled(tmp_path, PARIS, ROME)
    broken = Switches(broken=True)
    async with running(tmp_path, BagModel(broken, pool=8)) as engine:
        operation = await reencoding(engine)
    async with running(tmp_path, BagModel(broken, pool=8)) as engine:
        assert (await reencoding(engine)).operation_id == operation.operation_id
        with pytest.raises(BankReencoding):
            await engine.recall("b", "capital")
        broken.broken = False
        await engine.wait_operation(operation.operation_id, PATIENCE)
        assert sorted(await recalled(engine, "b", "capital")) == ["fr", "it"]


async def test_a_restart_goes_on_where_re_encoding_stopped(tmp_path: Path) -> None:
    await filled(tmp_path, *SHIPS)
    new = Switches(poison={"cargo5"})
    model = BagModel(new, pool=8)
    async with running(tmp_path, model, previous=BagModel(), batch_documents=2) as engine:
        operation = await reencoding(engine)
        async with asyncio.timeout(PATIENCE):
            while (await engine.get_operation(operation.operation_id)).done < 2:
                await asyncio.sleep(0.005)
        new.gate.clear()
        first = len(new.encoded)
        asyncio.get_running_loop().call_later(0.2, new.gate.set)
    again = Switches()
    async with running(tmp_path, BagModel(again, pool=8), previous=BagModel()) as engine:
        ended = await engine.wait_operation(operation.operation_id, PATIENCE)
        assert ended.state == "DONE"
        assert len(again.encoded) <= len(SHIPS) - min(first, 2)
        assert len(await recalled(engine, "b", "ship carries")) >= 5


async def test_a_previous_model_that_cannot_be_loaded_closes_the_bank(tmp_path: Path) -> None:
    await filled(tmp_path, PARIS)

    def missing() -> BagModel:
        raise FileNotFoundError("no such model")

    new = Switches()
    new.gate.clear()
    engine = await Engine.start(EngineConfig(tmp_path), lambda: BagModel(new, pool=8), missing)
    try:
        await engine.wait_ready(PATIENCE)
        assert await state(engine) == "REENCODING_UNAVAILABLE"
        with pytest.raises(BankReencoding):
            await engine.recall("b", "capital")
    finally:
        new.gate.set()
        await engine.stop(10)


async def test_a_previous_model_that_nobody_needs_is_not_loaded(tmp_path: Path) -> None:
    await filled(tmp_path, PARIS)
    loaded: list[str] = []

    def previous() -> BagModel:
        loaded.append("previous")
        return BagModel(pool=8)

    engine = await Engine.start(EngineConfig(tmp_path), BagModel, previous)
    try:
        await engine.wait_ready(PATIENCE)
        assert await answer(engine, "b", "capital of France") == PARIS.text
        assert loaded == []
    finally:
        await engine.stop(10)


async def test_the_old_blocks_leave_the_disk_by_themselves(tmp_path: Path) -> None:
    await filled(tmp_path, *SHIPS)
    async with running(
        tmp_path, BagModel(pool=1), previous=BagModel(), compact_seconds=0.05
    ) as engine:
        async with asyncio.timeout(PATIENCE):
            while await state(engine) != "SERVING" or (await engine.stats("b")).dead_fraction:
                await asyncio.sleep(0.02)
        assert await answer(engine, "b", "cargo4") == SHIPS[4].text


async def test_a_bank_deleted_on_its_way_holds_up_no_other(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        for bank in ("a", "again", "b"):
            await engine.create_bank(bank)
            await add(engine, bank, PARIS)
    new = Switches()
    new.gate.clear()
    async with running(tmp_path, BagModel(new, pool=8), previous=BagModel()) as engine:
        operation = await reencoding(engine)
        for bank in ("a", "again"):
            await engine.delete_bank(bank)
        await engine.create_bank("again")
        written = await engine.add_documents("again", [ROME])
        new.gate.set()
        await engine.wait_operation(written.operation.operation_id, PATIENCE)
        assert await recalled(engine, "again", "capital") == ["it"]
        assert (await engine.wait_operation(operation.operation_id, PATIENCE)).state == "DONE"
        assert await answer(engine, "b", "capital of France") == PARIS.text
