"""Sessions in a running engine: turns are remembered, and what is deleted is gone at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from memsvc_storage import (
    Appended,
    DocumentChanges,
    NewDocument,
    NewSession,
    NewTurn,
    SessionNotFound,
    TurnExists,
)

from memsvc.engine import Engine
from tests.engine_support import PATIENCE, add, answer, recalled, running

CODE = "The code of the safe is 1234."


async def say(engine: Engine, session: str, *texts: str) -> Appended:
    """Append turns t0, t1, … that say something, and wait until they are encoded."""
    turns = [NewTurn(f"t{n}", "user", text, text=text) for n, text in enumerate(texts)]
    result = await engine.append_turns("b", session, turns)
    assert result.operation is not None
    operation = await engine.wait_operation(result.operation.operation_id, PATIENCE)
    assert operation.state == "DONE"
    return result


async def opened(engine: Engine, *sessions: str, **fields: Any) -> None:
    await engine.create_bank("b")
    for name in sessions:
        await engine.create_session("b", NewSession(name, **fields))


async def test_turns_are_found_and_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await opened(engine, "s", agent="ada")
        await say(engine, "s", CODE, "The cat is called Tom.")
        assert await answer(engine, "b", "code safe") == CODE
        fork = await engine.fork_session("b", "s", "t0", NewSession("f"))
        assert (fork.agent, fork.turn_count) == ("ada", 1)
    async with running(tmp_path) as engine:
        assert (await recalled(engine, "b", "code safe"))[0] == "s~t0"
        ours = await recalled(
            engine, "b", "cat called", filter=lambda d: d.metadata.get("session") == "s"
        )
        assert ours[0] == "s~t1"
        page = await engine.list_turns("b", "s", 1, newest_first=True)
        assert [turn.content for turn in page.items] == ["The cat is called Tom."]
        names = [one.session_id for one in (await engine.list_sessions("b", 9)).items]
        assert names == ["s", "f"]
        assert (await engine.end_session("b", "f")).end_time is not None
        with pytest.raises(TurnExists):
            await engine.append_turns("b", "s", [NewTurn("t0", "user", "another")])


@pytest.mark.parametrize("how", ["delete", "session", "agent", "filter", "documents"])
async def test_what_is_forgotten_is_gone_at_once(tmp_path: Path, how: str) -> None:
    ways: dict[str, dict[str, Any]] = {
        "session": {"session_id": "s"},
        "agent": {"agent": "ada"},
        "filter": {"filter": lambda d: d.metadata.get("session") == "s"},
        "documents": {"document_ids": ["s~t0", "unknown"]},
    }
    async with running(tmp_path) as engine:
        await opened(engine, "s", agent="ada")
        await say(engine, "s", CODE)
        await add(engine, "b", NewDocument("The code of the door is 99.", document_id="d"))
        assert await recalled(engine, "b", "code safe") == ["s~t0", "d"]
        if how == "delete":
            receipt = await engine.delete_session("b", "s")
        else:
            told = await engine.forget_documents("b", **ways[how], dry_run=True)
            assert await recalled(engine, "b", "code safe") == ["s~t0", "d"]
            receipt = await engine.forget_documents("b", **ways[how])
            assert receipt == told
        assert await recalled(engine, "b", "code safe") == ["d"]
        assert receipt.document_ids == ["s~t0"]
        assert receipt.sessions == (0 if how in ("filter", "documents") else 1)


async def test_an_expired_session_vanishes_and_is_deleted(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await opened(engine, "s")
        await say(engine, "s", "The code of the door is 99.")
        soon = datetime.now(UTC) + timedelta(seconds=3)
        await engine.create_session("b", NewSession("brief", expire_time=soon))
        await say(engine, "brief", CODE)
        async with asyncio.timeout(PATIENCE):
            while await recalled(engine, "b", "code") != ["s~t0"]:
                await asyncio.sleep(0.02)
            while (await engine.get_bank("b")).document_count > 1:
                await asyncio.sleep(0.02)
            while await engine.expired_sessions(datetime.now(UTC), 9):
                await asyncio.sleep(0.02)
        assert datetime.now(UTC) >= soon
        with pytest.raises(SessionNotFound):
            await engine.get_session("b", "brief")
        await engine.create_session("b", NewSession("brief"))


async def test_former_versions_are_found_by_no_question(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await opened(engine)
        await add(engine, "b", NewDocument(CODE, document_id="d"))
        changes = DocumentChanges(text="The code of the safe is a secret.")
        _, operation = await engine.update_document("b", "d", changes, keep_version=True)
        assert operation is not None
        await engine.wait_operation(operation.operation_id, PATIENCE)
        assert await answer(engine, "b", "code safe 1234") == changes.text
        (version,) = (await engine.list_versions("b", "d", 9)).items
        assert (version.revision, version.text) == (1, CODE)


async def test_what_both_a_filter_and_ids_mean_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await opened(engine)
        others: list[dict[str, Any]]
        others = [{"document_ids": ["d"]}, {"agent": "ada"}, {"session_id": "s"}]
        for other in others:
            with pytest.raises(ValueError, match=r"not both|exactly one"):
                await engine.forget_documents("b", filter=lambda _: True, **other)
