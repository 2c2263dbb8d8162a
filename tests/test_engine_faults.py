"""What the engine does when documents, models, files or callers misbehave."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from memsvc_router.api import DocumentText, EncodedDocument
from memsvc_storage import NewDocument

from memsvc.engine import EncodingUnhealthy, EngineStopped, ModelNotReady
from tests.engine_support import PATIENCE, BagModel, Switches, add, answer, recalled, running

SHIPS = [NewDocument(f"Ship {i} carries cargo{i}.", document_id=f"s{i}") for i in range(6)]


def flip_a_byte_of(tensor: str, data_dir: Path) -> None:
    """Flip one byte in the first row of a tensor, in every segment file."""
    for path in data_dir.rglob("*.safetensors"):
        body = bytearray(path.read_bytes())
        header = int.from_bytes(body[:8], "little")
        start, _ = json.loads(body[8 : 8 + header])[tensor]["data_offsets"]
        body[8 + header + start] ^= 0x40
        path.write_bytes(body)


@pytest.mark.parametrize("tensor", ["content.0", "routing", "spans"])
async def test_a_flipped_byte_is_encoded_anew_and_never_served(
    tmp_path: Path, tensor: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", *SHIPS)
    flip_a_byte_of(tensor, tmp_path)
    switches = Switches()
    with caplog.at_level(logging.WARNING, "memsvc.engine"):
        async with running(tmp_path, BagModel(switches)) as engine:
            first = [await answer(engine, "b", f"cargo{i}") for i in range(6)]
            for i, said in enumerate(first):
                assert said in ("", SHIPS[i].text)
            async with asyncio.timeout(PATIENCE):
                while (await engine.stats("b")).pending:
                    await asyncio.sleep(0.02)
            for i, ship in enumerate(SHIPS):
                assert await answer(engine, "b", f"cargo{i}") == ship.text
            assert engine.counters()["blocks_corrupt"] == 1
            assert len(switches.encoded) == 1
    assert "encoded anew" in caplog.text
    assert "cargo" not in caplog.text


async def test_verification_finds_and_repairs_a_flipped_byte(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", *SHIPS)
        flip_a_byte_of("content.0", tmp_path)
        report = await engine.verify("b")
        assert len(report.corrupt) == 1
        async with asyncio.timeout(PATIENCE):
            while (await engine.stats("b")).ready < len(SHIPS):
                await asyncio.sleep(0.02)
        assert (await engine.verify("b")).corrupt == []


async def test_a_lost_segment_file_is_made_again(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        await add(engine, "b", *SHIPS)
    for path in tmp_path.rglob("*.safetensors"):
        path.unlink()
    async with running(tmp_path) as engine:
        async with asyncio.timeout(PATIENCE):
            while await answer(engine, "b", "cargo3") != SHIPS[3].text:
                await asyncio.sleep(0.02)


async def test_one_poisonous_document_fails_and_the_others_go_on(tmp_path: Path) -> None:
    async with running(tmp_path, BagModel(Switches(poison={"arsenic"}))) as engine:
        await engine.create_bank("b")
        bad = NewDocument("Tea with arsenic.", document_id="bad")
        result = await engine.add_documents("b", [*SHIPS[:3], bad, *SHIPS[3:]])
        operation = await engine.wait_operation(result.operation.operation_id, PATIENCE)
        assert (operation.state, operation.failed) == ("DONE", 1)
        failed = await engine.get_document("b", "bad")
        assert failed.state == "FAILED"
        assert "cannot be encoded" in failed.error
        assert await answer(engine, "b", "cargo5") == SHIPS[5].text
        assert engine.health().serving


class Flickering(BagModel):
    """A model that fails at some calls, by number, and is sound at all others."""

    def __init__(self, *fails: int) -> None:
        super().__init__()
        self._fails, self.calls = fails, -1

    def encode(self, documents: Sequence[DocumentText]) -> list[EncodedDocument]:
        self.calls += 1
        if self.calls in self._fails:
            raise RuntimeError("the device is gone")
        return super().encode(documents)


@pytest.mark.parametrize("fails", [(0,), (0, 2, 3), (0, 1, 2), (0, 3, 4, 5)])
@pytest.mark.parametrize("ships", [SHIPS[:1], SHIPS[:3]], ids=["one", "three"])
async def test_a_model_that_comes_and_goes_fails_no_document(
    tmp_path: Path, fails: tuple[int, ...], ships: list[NewDocument]
) -> None:
    async with running(tmp_path, Flickering(*fails)) as engine:
        await engine.create_bank("b")
        result = await engine.add_documents("b", ships)
        operation = await engine.wait_operation(result.operation.operation_id, PATIENCE)
        assert (operation.state, operation.failed) == ("DONE", 0)
        for i, ship in enumerate(ships):
            assert await answer(engine, "b", f"cargo{i}") == ship.text


async def test_health_fails_with_encoding_and_recovers(tmp_path: Path) -> None:
    switches = Switches(broken=True)
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        result = await engine.add_documents("b", SHIPS)
        async with asyncio.timeout(PATIENCE):
            while engine.health().serving:
                await asyncio.sleep(0.02)
        assert "encoding fails: RuntimeError" in engine.health().reason
        with pytest.raises(EncodingUnhealthy):
            await engine.wait_operation(result.operation.operation_id, 0.01)
        assert (await engine.get_document("b", "s0")).state == "PENDING"
        switches.broken = False
        operation = await engine.wait_operation(result.operation.operation_id, PATIENCE)
        assert operation.state == "DONE"
        assert engine.health().serving


async def test_health_recovers_though_nothing_is_left_to_encode(tmp_path: Path) -> None:
    switches = Switches(broken=True)
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        await engine.add_documents("b", SHIPS[:1])
        async with asyncio.timeout(PATIENCE):
            while engine.health().serving:
                await asyncio.sleep(0.02)
        await engine.delete_document("b", "s0")
        switches.broken = False
        async with asyncio.timeout(PATIENCE):
            while not engine.health().serving:
                await asyncio.sleep(0.02)


async def test_while_the_model_loads_writes_are_taken_and_questions_refused(
    tmp_path: Path,
) -> None:
    switches = Switches()
    switches.answering.clear()

    def slow() -> BagModel:
        switches.answering.wait(PATIENCE)
        return BagModel(switches)

    async with running(tmp_path, slow, ready=False) as engine:
        await engine.create_bank("b")
        result = await engine.add_documents("b", SHIPS)
        assert engine.model_state == "LOADING"
        assert not engine.health().serving
        with pytest.raises(ModelNotReady):
            await answer(engine, "b", "cargo1")
        switches.answering.set()
        assert (
            await engine.wait_operation(result.operation.operation_id, PATIENCE)
        ).state == "DONE"
        assert engine.health().serving
        assert await answer(engine, "b", "cargo1") == SHIPS[1].text


async def test_a_model_that_cannot_be_loaded_is_reported(tmp_path: Path) -> None:
    def missing() -> BagModel:
        raise FileNotFoundError("no weights here")

    async with running(tmp_path, missing, ready=False) as engine:
        with pytest.raises(ModelNotReady, match="no weights here"):
            await engine.wait_ready(PATIENCE)
        assert engine.model_state == "FAILED"
        assert not engine.health().serving
        await engine.create_bank("b")
        result = await engine.add_documents("b", SHIPS)
        with pytest.raises(EncodingUnhealthy, match="no weights here"):
            await engine.wait_operation(result.operation.operation_id, 0.01)
        assert (await engine.get_document("b", "s1")).text == SHIPS[1].text


async def test_a_document_deleted_under_a_running_answer_is_not_answered_from(
    tmp_path: Path,
) -> None:
    switches = Switches()
    async with running(tmp_path, BagModel(switches)) as engine:
        await engine.create_bank("b")
        await add(engine, "b", "The old mill is red.", NewDocument("The mill.", document_id="m"))
        (red,) = [d for d in await recalled(engine, "b", "red") if d != "m"]
        switches.answering.clear()
        task = asyncio.create_task(answer(engine, "b", "old mill red"))
        async with asyncio.timeout(PATIENCE):
            while not switches.events:
                await asyncio.sleep(0.01)
        await engine.delete_document("b", red)
        switches.answering.set()
        assert await task == "The mill."


async def test_bad_questions_are_the_callers_mistake(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
        with pytest.raises(ValueError, match="empty"):
            await answer(engine, "b", "  ")
        with pytest.raises(ValueError, match="max_tokens"):
            await engine.build_context("b", "tea", 0)

        def failing(_: object) -> bool:
            raise KeyError("no such field")

        await add(engine, "b", *SHIPS)
        with pytest.raises(KeyError):
            await recalled(engine, "b", "cargo1", filter=failing)
        assert await answer(engine, "b", "cargo1") == SHIPS[1].text


async def test_stopping_does_not_wait_for_a_model_that_loads(tmp_path: Path) -> None:
    loading = threading.Event()

    def slow() -> BagModel:
        loading.wait(PATIENCE)
        return BagModel()

    async with running(tmp_path, slow, ready=False) as engine:
        await engine.create_bank("b")
        await engine.stop(0.05)
        loading.set()
    async with running(tmp_path) as engine:
        assert (await engine.get_bank("b")).name == "b"


async def test_a_stopped_engine_refuses_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await engine.create_bank("b")
    assert not engine.health().serving
    with pytest.raises(EngineStopped):
        await engine.get_bank("b")
    with pytest.raises(EngineStopped):
        await answer(engine, "b", "tea")
