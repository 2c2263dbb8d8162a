"""Open banks share a budget of memory: those asked longest ago are closed, and nobody notices."""

from __future__ import annotations

from pathlib import Path

from memsvc_storage import NewDocument

from memsvc.engine import Engine
from tests.engine_support import add, answer, running

NAMES = ("one", "two", "three")
SMALL = 1  # byte: room for no bank beside the one that is asked


async def filled(engine: Engine) -> None:
    for name in NAMES:
        await engine.create_bank(name)
        await add(engine, name, NewDocument(f"Crate {name} holds gold."))


def opened(engine: Engine) -> list[str]:
    return [name for name in NAMES if engine._banks.loaded(name) is not None]


async def asked(engine: Engine, name: str) -> None:
    assert await answer(engine, name, "gold") == f"Crate {name} holds gold."


async def test_the_bank_asked_longest_ago_is_closed_and_opened_again(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await filled(engine)
        size = engine._banks.live("one").near_bytes
    async with running(tmp_path, near_bytes=2 * size, warm_banks=0) as engine:
        for name in ("one", "two", "one", "three"):
            await asked(engine, name)
        assert opened(engine) == ["one", "three"]
        await asked(engine, "two")
        assert opened(engine) == ["two", "three"]
        await add(engine, "two", NewDocument("Barrel two holds silver."))
        assert await answer(engine, "two", "silver") == "Barrel two holds silver."


async def test_what_is_pinned_stays_open(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await filled(engine)
    pinned = ("two", "nowhere")
    async with running(tmp_path, pinned_banks=pinned, near_bytes=SMALL, warm_banks=0) as engine:
        for name in ("one", "three", "one"):
            await asked(engine, name)
        assert opened(engine) == ["one", "two"]


async def test_a_bank_that_grows_makes_others_close(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await filled(engine)
        size = engine._banks.live("one").near_bytes
    async with running(tmp_path, near_bytes=2 * size, warm_banks=0) as engine:
        for name in ("one", "two"):
            await asked(engine, name)
        assert opened(engine) == ["one", "two"]
        await add(engine, "one", NewDocument("Barrel one holds silver."))
        assert opened(engine) == ["one"]
        await asked(engine, "two")
