"""Documents through their life: encoded, found, changed, deleted, expired, across restarts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from memsvc_router.api import AskOptions
from memsvc_storage import DocumentChanges, DocumentNotFound, NewDocument

from memsvc.engine import BankNotFound
from tests.engine_support import PATIENCE, BagModel, Switches, add, answer, recalled, running

PARIS = NewDocument("The capital of France is Paris.", title="France", document_id="fr")
ROME = NewDocument("The capital of Italy is Rome.", title="Italy", document_id="it")


async def test_acknowledged_documents_become_ready_and_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        result = await engine.add_documents("b", [PARIS, ROME])
        operation = await engine.wait_operation(result.operation.operation_id, PATIENCE)
        assert (operation.state, operation.done, operation.failed) == ("DONE", 2, 0)
        assert (await engine.get_document("b", "fr")).state == "READY"
        assert await answer(engine, "b", "capital of Italy") == ROME.text
        assert await answer(engine, "b", "weight of a whale") == ""
        assert engine.counters()["documents_encoded"] == 2


async def test_a_citation_is_verbatim(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", PARIS, ROME)
        found = await engine.recall("b", "capital of France", with_texts=True)
        assert found.hits[0].document_id == "fr"
        text = found.texts[0].text
        assert text[found.hits[0].start : found.hits[0].end] == "The capital of France is Paris"


async def test_deleted_documents_vanish_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", PARIS, ROME)
        await engine.delete_document("b", "fr")
        assert await recalled(engine, "b", "capital of France") == ["it"]


async def test_updated_text_is_never_served_in_its_old_form(tmp_path: Path) -> None:
    switches = Switches()
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        await add(engine, "b", PARIS)
        switches.gate.clear()
        changes = DocumentChanges(text="France moved its capital to Lyon.")
        _, operation = await engine.update_document("b", "fr", changes)
        assert operation is not None
        assert await answer(engine, "b", "capital of France") == ""
        switches.gate.set()
        await engine.wait_operation(operation.operation_id, PATIENCE)
        assert await answer(engine, "b", "capital of France") == "France moved its capital to Lyon."


@pytest.mark.parametrize("how", ["delete", "update"])
async def test_what_changes_while_it_is_encoded_is_not_served_stale(
    tmp_path: Path, how: str
) -> None:
    switches = Switches()
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        await add(engine, "b", ROME)
        switches.gate.clear()
        switches.reached.clear()
        result = await engine.add_documents("b", [PARIS])
        assert await asyncio.to_thread(switches.reached.wait, PATIENCE)
        if how == "delete":
            await engine.delete_document("b", "fr")
        else:
            await engine.update_document("b", "fr", DocumentChanges(text="France chose Lyon."))
        switches.gate.set()
        assert (await engine.wait_operation(result.operation.operation_id, PATIENCE)).finished
        for _ in range(20):
            assert "Paris" not in await answer(engine, "b", "capital of France Paris")
            await asyncio.sleep(0.01)
        if how == "update":
            assert (await engine.get_document("b", "fr")).state == "READY"
            assert await answer(engine, "b", "France chose") == "France chose Lyon."


async def test_new_metadata_reaches_filters_without_encoding_again(tmp_path: Path) -> None:
    switches = Switches()
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        await add(engine, "b", PARIS, ROME)
        _, operation = await engine.update_document(
            "b", "it", DocumentChanges(metadata={"kind": "old"})
        )
        assert operation is None
        seen = await recalled(
            engine, "b", "capital", filter=lambda d: d.metadata.get("kind") == "old"
        )
        assert seen == ["it"]
        assert len(switches.encoded) == 2


async def test_expired_documents_vanish_and_are_deleted(tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", NewDocument("The code is 1234.", document_id="x", expire_time=soon))
        await add(engine, "b", NewDocument("The code is long.", document_id="y"))
        async with asyncio.timeout(PATIENCE):
            while await recalled(engine, "b", "code") != ["y"]:
                await asyncio.sleep(0.02)
        assert datetime.now(UTC) >= soon
        async with asyncio.timeout(PATIENCE):
            while (await engine.get_bank("b")).document_count > 1:
                await asyncio.sleep(0.02)
        with pytest.raises(DocumentNotFound):
            await engine.get_document("b", "x")


async def test_expiry_holds_before_the_sweeper_comes(tmp_path: Path) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    async with running(tmp_path, sweep_seconds=3600.0) as engine:
        await engine.create_bank("b")
        await add(engine, "b", NewDocument("The code is 1234.", document_id="x", expire_time=soon))
        while datetime.now(UTC) < soon:
            await asyncio.sleep(0.02)
        assert await recalled(engine, "b", "code") == []


async def test_finished_operations_are_forgotten_in_time(tmp_path: Path) -> None:
    async with running(
        tmp_path, sweep_seconds=0.05, compact_seconds=0.05, remember_days=0.0
    ) as engine:
        await engine.create_bank("b")
        await add(engine, "b", PARIS)
        async with asyncio.timeout(PATIENCE):
            while (await engine.list_operations("b", None, 10, None)).items:
                await asyncio.sleep(0.02)
        assert (await engine.get_document("b", "fr")).state == "READY"


async def test_a_restart_serves_the_same_bank_without_encoding(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", PARIS, ROME)
        await engine.delete_document("b", "it")
    switches = Switches()
    async with running(tmp_path, BagModel(switches)) as engine:
        assert await answer(engine, "b", "capital of France") == PARIS.text
        assert await recalled(engine, "b", "capital of Italy") == ["fr"]
        assert switches.encoded == []


async def test_what_waited_at_the_end_is_encoded_at_the_next_start(tmp_path: Path) -> None:
    switches = Switches(broken=True)
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        result = await engine.add_documents("b", [PARIS])
    async with running(tmp_path) as engine:
        operation = await engine.wait_operation(result.operation.operation_id, PATIENCE)
        assert operation.state == "DONE"
        assert await answer(engine, "b", "capital of France") == PARIS.text


_KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.engine_support import PATIENCE, BagModel, Switches, running, add
from memsvc_storage import NewDocument

async def main():
    switches = Switches()
    async with running(Path(sys.argv[1]), BagModel(switches)) as engine:
        await engine.create_bank("b")
        await add(engine, "b", *[NewDocument(f"Ship {i} carries tea.", document_id=f"s{i}")
                                 for i in range(5)])
        switches.gate.clear()
        await engine.add_documents("b", [NewDocument(f"Ship {i} carries tea.", document_id=f"s{i}")
                                         for i in range(5, 10)])
        await engine.delete_document("b", "s0")
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    paths = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _KILLED, str(tmp_path)], env=paths, timeout=PATIENCE
    )
    assert killed.returncode == -9
    async with running(tmp_path) as engine:
        async with asyncio.timeout(PATIENCE):
            while (await engine.stats("b")).pending:
                await asyncio.sleep(0.02)
        found = await recalled(engine, "b", "ship carries tea")
        assert sorted(found) == [f"s{i}" for i in range(1, 10)]


async def test_another_model_encodes_everything_anew_from_text(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", PARIS, ROME)
    switches = Switches()
    async with running(tmp_path, BagModel(switches, pool=8)) as engine:
        async with asyncio.timeout(PATIENCE):
            while (await engine.stats("b")).ready < 2:
                await asyncio.sleep(0.02)
        assert sorted(switches.encoded) == sorted([PARIS.text, ROME.text])
        assert await answer(engine, "b", "capital of Italy") == ROME.text
        assert engine.counters()["banks_reencoded"] == 1


async def test_compaction_keeps_every_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        ids = [f"s{i}" for i in range(40)]
        await add(engine, "b", *[NewDocument(f"Ship {i} carries tea.", document_id=i) for i in ids])
        for document_id in ids[::2]:
            await engine.delete_document("b", document_id)
        report = await engine.compact("b")
        assert report.bytes_after < report.bytes_before
        assert await answer(engine, "b", "ship s1") == "Ship s1 carries tea."
        found = await recalled(engine, "b", "ship carries tea", options=AskOptions(k=40))
        assert sorted(found) == sorted(ids[1::2])


async def test_mostly_dead_banks_are_compacted_by_themselves(tmp_path: Path) -> None:
    async with running(tmp_path, compact_seconds=0.1) as engine:
        await engine.create_bank("b")
        documents = await add(engine, "b", *[f"Ship {i} carries tea." for i in range(20)])
        before = (await engine.stats("b")).disk_bytes
        for document in documents[1:]:
            await engine.delete_document("b", document.document_id)
        async with asyncio.timeout(PATIENCE):
            while (await engine.stats("b")).disk_bytes >= before:
                await asyncio.sleep(0.02)
        assert await recalled(engine, "b", "ship tea") == [documents[0].document_id]


async def test_a_deleted_bank_is_gone_and_its_name_free(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", PARIS)
        await engine.delete_bank("b")
        with pytest.raises(BankNotFound):
            await answer(engine, "b", "capital of France")
        await engine.create_bank("b")
        assert await recalled(engine, "b", "capital of France") == []


async def test_filters_see_metadata_and_banks_are_apart(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        for bank in ("a", "b"):
            await engine.create_bank(bank)
        await add(engine, "a", NewDocument("Tea is green.", document_id="1", metadata={"n": 1}))
        await add(engine, "a", NewDocument("Tea is black.", document_id="2", metadata={"n": 2}))
        await add(engine, "b", NewDocument("Tea is white.", document_id="3"))
        assert await recalled(engine, "a", "tea", filter=lambda d: d.metadata["n"] == 2) == ["2"]
        assert await recalled(engine, "b", "tea") == ["3"]
