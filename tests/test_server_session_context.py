"""BuildSessionContext over a real connection: it reminds, in the callers' own budget."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from memsvc_proto.v1 import memory_pb2, session_pb2

from tests.engine_support import BagModel
from tests.server_support import BANK, Served, refused
from tests.session_support import SESSION, TOKENIZERS, append, context, create, new_turn, talking

_NO_SCOPE: Any = 99


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with talking(tmp_path) as served:
        yield served


async def test_a_context_reminds_and_repeats_the_last_turns(server: Served) -> None:
    when = datetime(2024, 1, 5, tzinfo=UTC)
    await create(server, "old", agent="ann")
    await append(server, "old", new_turn("My cat is named Tom.", "t", time=when))
    await append(server, "s", new_turn("Hello."), new_turn("What is my cat named?"))
    built = await context(server)
    assert built.text == (
        "[1] user, 5 January 2024\nMy cat is named Tom.\n\n"
        "user: Hello.\nuser: What is my cat named?"
    )
    (memory,) = built.memories
    assert (memory.citation.document, memory.role) == (f"{BANK}/documents/old~t", "user")
    assert memory.session == f"{BANK}/sessions/old"
    assert memory.time.ToDatetime(UTC) == when
    assert [turn.content for turn in built.recent] == ["Hello.", "What is my cat named?"]
    assert built.tokens == BagModel().count_tokens(built.text)
    asked = await context(server, query="cat", recent_turns=0, scope="OTHER_SESSIONS")
    assert asked.text == "[1] user, 5 January 2024\nMy cat is named Tom."
    before = await context(server, as_of=datetime(2023, 1, 1, tzinfo=UTC))
    assert not before.memories


@pytest.mark.parametrize("tokenizer", ["", "characters", "small"])
async def test_a_context_keeps_its_budget_by_the_tokens_of_the_caller(
    server: Served, tokenizer: str
) -> None:
    count = {
        "": BagModel().count_tokens,
        "characters": len,
        "small": TOKENIZERS.count("small"),
    }[tokenizer]
    turns = [new_turn(f"Tea number {n} is green. It grows in hill {n}.") for n in range(30)]
    await append(server, "s", *turns)
    await server.add(" ".join(f"Tea fact {n} is long." for n in range(200)))
    for most in (1, 30, 200, 2000):
        built = await context(
            server, max_tokens=most, tokenizer=tokenizer, query="tea", scope="BANK"
        )
        assert built.tokens == count(built.text) <= most
    assert built.memories
    assert len(built.recent) == 10


async def test_a_template_frames_the_context(server: Served) -> None:
    await append(server, "s", new_turn("Tea is green."))
    built = await context(server, template="Now:\n{recent}\nEnd.")
    assert (built.text, len(built.memories)) == ("Now:\nuser: Tea is green.\nEnd.", 0)


_Recency = memory_pb2.Recency
_BAD_CONTEXTS: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": 0}, "max_tokens"),
    ({"scope": _NO_SCOPE}, "scope"),
    ({"template": "{memories}{memories}"}, "template"),
    ({"template": "{memory}"}, "template"),
    ({"template": "far too long for the budget {recent}", "max_tokens": 3}, "template"),
    ({"recent_turns": -1}, "recent_turns"),
    ({"recent_share": 1.5}, "recent_share"),
    ({"tokenizer": "other"}, "tokenizer"),
    ({"recency": _Recency(half_life=-1)}, "recency.half_life"),
    ({"recency": _Recency(half_life=1, weight=11)}, "recency.weight"),
    ({"filter": "colour = 1"}, "filter"),
    ({"query": "x" * 8193}, "query"),
]


async def test_bad_contexts_are_named(server: Served) -> None:
    refusal = await refused(
        server.sessions.BuildSessionContext(
            session_pb2.BuildSessionContextRequest(name=SESSION, max_tokens=10)
        )
    )
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["query"])
    for fields, field in _BAD_CONTEXTS:
        asked = {"name": SESSION, "query": "tea", "max_tokens": 100, **fields}
        request = session_pb2.BuildSessionContextRequest(**asked)
        refusal = await refused(server.sessions.BuildSessionContext(request))
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
        if field == "tokenizer":
            assert refusal.reason == "UNKNOWN_TOKENIZER"
            assert "characters, small" in refusal.message
