"""A promoted version serves from the next start on; banks are encoded anew only if keys change."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from memsvc_router import load_model
from memsvc_router.checkpoint import DEFAULT_MODEL
from memsvc_storage import NewDocument, RouterNotFound, RouterVersions
from safetensors.torch import load_file, save_file

from memsvc import config
from memsvc.engine import Engine
from memsvc.routers import served_by
from memsvc.serve import engine_config
from tests.engine_support import PATIENCE, add
from tests.router_support import TOWNS

QUESTION = "Which city is the capital of Italy?"
DOCUMENTS = [NewDocument(TOWNS[n].text, TOWNS[n].title, n) for n in ("paris", "rome", "whale")]


@asynccontextmanager
async def served(settings: config.ServerConfig) -> AsyncIterator[Engine]:
    """An engine as `memsvc serve` would start it."""
    named = served_by(settings)
    previous = partial(load_model, named.previous) if named.previous != named.model else None
    engine = await Engine.start(engine_config(settings), partial(load_model, named.model), previous)
    try:
        await engine.wait_ready(PATIENCE)
        yield engine
    finally:
        await engine.stop(10)


@pytest.fixture
async def settings(tmp_path: Path) -> config.ServerConfig:
    """A data directory with bank `b`, encoded by the model that ships."""
    made = config.load({"data": tmp_path / "data"})
    async with served(made) as engine:
        await engine.create_bank("b")
        await add(engine, "b", *DOCUMENTS)
    return made


def version(data: Path, tensor: str, factor: float) -> int:
    """A version whose checkpoint differs from the default model's in one tensor."""
    versions = RouterVersions(data)
    with versions.drafting(DEFAULT_MODEL.name) as draft:
        for name in ("config.json", "tokenizer.json"):
            shutil.copyfile(DEFAULT_MODEL / name, draft / name)
        weights = load_file(DEFAULT_MODEL / "model.safetensors")
        weights[tensor] = (weights[tensor].float() * factor).to(torch.float16)
        save_file(weights, draft / "model.safetensors")
        return versions.keep(draft, 0, {}).number


def files(data: Path) -> set[str]:
    return {path.name for path in (data / "banks").rglob("*.safetensors")}


async def scores(engine: Engine) -> dict[str, float]:
    recall = await engine.recall("b", QUESTION)
    return {hit.document_id: hit.score for hit in recall.hits}


async def test_a_router_that_asks_otherwise_serves_the_blocks_that_are_there(
    settings: config.ServerConfig,
) -> None:
    async with served(settings) as engine:
        before = await scores(engine)
    blocks = files(settings.data)
    number = version(settings.data, "router.query.weight", -1.0)
    RouterVersions(settings.data).promote(number)
    assert served_by(settings).version == number
    async with served(settings) as engine:
        state = await engine.serving(await engine.get_bank("b"))
        assert (state.state, state.operation) == ("SERVING", None)
        after = await scores(engine)
        assert not [
            one
            for one in (await engine.list_operations("b", None, 10)).items
            if one.kind == "REENCODE"
        ]
        assert engine.counters().get("documents_reencoded", 0) == 0
    assert files(settings.data) == blocks
    assert after.keys() == before.keys()
    assert after != before
    RouterVersions(settings.data).rollback()
    async with served(settings) as engine:
        assert await scores(engine) == before


async def test_a_router_with_other_keys_has_banks_encoded_anew_and_serves_meanwhile(
    settings: config.ServerConfig,
) -> None:
    blocks = files(settings.data)
    number = version(settings.data, "router.word_weight.weight", 2.0)
    RouterVersions(settings.data).promote(number)
    async with served(settings) as engine:
        state = await engine.serving(await engine.get_bank("b"))
        assert state.state in ("REENCODING_SERVING_PREVIOUS", "SERVING")
        assert set(await scores(engine)) == {"paris", "rome", "whale"}
        (operation,) = [
            one
            for one in (await engine.list_operations("b", None, 10)).items
            if one.kind == "REENCODE"
        ]
        ended = await engine.wait_operation(operation.operation_id, PATIENCE)
        assert (ended.state, ended.done) == ("DONE", 3)
        assert set(await scores(engine)) == {"paris", "rome", "whale"}
    assert files(settings.data) - blocks


def test_a_model_that_is_set_is_meant(tmp_path: Path) -> None:
    number = version(tmp_path, "router.query.weight", 0.5)
    RouterVersions(tmp_path).promote(number)
    named = config.load({"data": tmp_path, "model": "some/model"})
    assert (served_by(named).model, served_by(named).version) == ("some/model", 0)
    unset = config.load({"data": tmp_path})
    current = RouterVersions(tmp_path).get(number)
    assert served_by(unset).model == str(current.checkpoint)
    assert served_by(unset).previous is None
    RouterVersions(tmp_path).rollback()
    assert served_by(unset).model is None
    assert served_by(unset).previous == str(current.checkpoint)


def test_a_version_that_should_serve_and_is_gone_is_not_passed_over(tmp_path: Path) -> None:
    number = version(tmp_path, "router.query.weight", 0.5)
    RouterVersions(tmp_path).promote(number)
    shutil.rmtree(tmp_path / "routers" / str(number))
    with pytest.raises(RouterNotFound):
        served_by(config.load({"data": tmp_path}))
