"""The tools of `memsvc mcp` against a real server, by the real client of the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from memsvc_client import MemoryClient

from tests.e2e_support import FACTS, Served, serving
from tests.mcp_support import NOBODY, Mode, Transport, call, connected, refused, text

_numbers = count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("mcp") / "data") as running:
        with MemoryClient(running.target) as client:
            client.wait_serving()
        yield running


@pytest.fixture
def client(served: Served) -> Iterator[MemoryClient]:
    with MemoryClient(served.target, timeout=120) as made:
        yield made


@pytest.fixture
def bank() -> str:
    """The name of a bank that there is not yet."""
    return f"bank-{next(_numbers)}"


@pytest.fixture
def filled(client: MemoryClient, bank: str) -> str:
    """A bank that holds the facts."""
    client.create_bank(bank)
    added = client.add(bank, FACTS)
    assert added.operation is not None
    client.wait_operation(added.operation, timeout=120)
    return bank


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_life_of_a_memory(
    served: Served, bank: str, transport: Transport, mode: Mode
) -> None:
    async with connected(transport, served.target, bank, "--wait", "120", mode=mode) as client:
        kept = await call(
            client,
            "remember",
            text="The spare key hangs under the blue pot beside the garden door.",
            title="Spare key",
            metadata={"kind": "house", "year": 2024, "sure": True},
            event_time="2026-03-01T12:00:00+01:00",
        )
        assert kept["state"] == "READY"
        key = kept["document"]
        await call(client, "remember", text="The library opens at nine in the morning.")

        found = await call(client, "recall", question="Where is the spare key?", k=1)
        (best,) = found["memories"]
        assert (best["document"], best["title"]) == (key, "Spare key")
        assert "blue pot" in best["quote"]
        answer = await call(client, "ask", question="Where does the spare key hang?")
        assert answer["found"]
        assert "pot" in answer["answer"]
        assert answer["sources"][0]["document"] == key
        block = await call(client, "context", query="When does the library open?", max_tokens=200)
        assert "nine" in block["text"]
        assert block["tokens"] <= 200
        listing = await call(client, "list", filter="metadata.year = 2024")
        (one,) = listing["documents"]
        assert (one["document"], one["metadata"]["sure"]) == (key, True)
        assert one["event_time"] == "2026-03-01T11:00:00Z"

        receipt = await call(client, "forget", documents=[key, "never-there"])
        assert (receipt["status"], receipt["documents"]) == ("FORGOTTEN", [key])
        assert receipt["not_found"] == ["never-there"]
        after = await call(client, "recall", question="Where is the spare key?")
        assert key not in {one["document"] for one in after["memories"]}


async def test_what_the_tools_say_of_themselves(served: Served, bank: str) -> None:
    async with connected("stdio", served.target, bank) as client:
        assert "remember" in (client.instructions or "")
        tools = {one.name: one for one in (await client.list_tools()).tools}
    assert list(tools) == ["remember", "recall", "ask", "context", "forget", "list"]
    reads = {
        name for name, one in tools.items() if one.annotations and one.annotations.read_only_hint
    }
    assert reads == {"recall", "ask", "context", "list"}
    forget, remember = tools["forget"].annotations, tools["remember"].annotations
    assert forget is not None
    assert remember is not None
    assert (forget.destructive_hint, forget.idempotent_hint) == (True, True)
    assert (remember.destructive_hint, remember.idempotent_hint) == (False, False)
    for tool in tools.values():
        assert tool.title
        assert tool.description
        assert tool.output_schema is not None
        for name, schema in tool.input_schema["properties"].items():
            assert schema.get("description"), f"{tool.name}.{name}"
    assert tools["remember"].input_schema["required"] == ["text"]


async def test_an_empty_memory_is_no_error(served: Served, bank: str) -> None:
    async with connected("stdio", served.target, bank) as client:
        assert (await call(client, "recall", question="Who?"))["memories"] == []
        assert (await call(client, "ask", question="Who?"))["found"] is False
        assert (await call(client, "context", query="Who?"))["text"] == ""
        assert (await call(client, "list"))["documents"] == []


async def test_readers_get_the_same_as_programs(served: Served, filled: str) -> None:
    async with connected("http", served.target, filled) as client:
        asked = await client.call_tool("ask", {"question": "Where was Marie Curie born?"})
        assert "Warsaw" in text(asked)
        assert "document curie" in text(asked)
        listed = await client.call_tool("list", {"limit": 2})
        assert "keys: Keys of the house (kind=house, year=2024)" in text(listed)
        assert "There are more" in text(listed)
        assert "library" not in text(listed)


async def test_forgetting_by_a_filter_needs_a_confirmation(
    served: Served, filled: str, client: MemoryClient
) -> None:
    old = "metadata.year < 2025"
    async with connected("stdio", served.target, filled) as agent:
        told = await call(agent, "forget", filter=old)
        assert (told["status"], told["document_count"]) == ("NEEDS_CONFIRMATION", 2)
        assert set(told["documents"]) == {"keys", "curie"}
        assert client.get_bank(filled).document_count == 3
        done = await call(agent, "forget", filter=old, confirm=True, erase=True)
        assert (done["status"], done["document_count"]) == ("FORGOTTEN", 2)
        assert done["erased"] is True
        assert done["text_bytes"] > 0
    assert [one.id for one in client.list_documents(filled)] == ["library"]


async def test_only_the_bank_of_the_command_is_seen(served: Served, filled: str, bank: str) -> None:
    assert filled == bank
    async with connected("stdio", served.target, f"{filled}-other") as client:
        assert (await call(client, "recall", question="Where is the key?"))["memories"] == []
        said = await refused(client, "forget", documents=[f"banks/{filled}/documents/keys"])
        assert "INVALID_ARGUMENT" in said


async def test_errors_tell_what_to_do(served: Served, filled: str, client: MemoryClient) -> None:
    async with connected("stdio", served.target, filled) as agent:
        said = await refused(agent, "recall", question="q", filter="nonsense = 1")
        assert "INVALID_ARGUMENT/INVALID_FILTER" in said
        assert "What to do: Correct the filter" in said
        assert "Request id: " in said
        assert "question" in await refused(agent, "ask", question="")
        assert "timezone" in await refused(
            agent, "remember", text="t", event_time="2026-03-01T12:00:00"
        )
        assert "either `documents` or `filter`" in await refused(agent, "forget")
        client.update_bank(filled, quota_bytes=10)
        full = await refused(agent, "remember", text="More than ten bytes.")
        assert "QUOTA_EXCEEDED" in full
        assert "Memory is full" in full
        client.delete_bank(filled)
        assert "BANK_NOT_FOUND" in await refused(agent, "recall", question="q")


async def test_what_is_not_yet_encoded_is_told_as_stored(
    served: Served, bank: str, client: MemoryClient
) -> None:
    async with connected("stdio", served.target, bank, "--wait", "0") as agent:
        kept = await call(agent, "remember", text="The word is xylophone.")
        assert kept["state"] in ("PENDING", "READY")
    assert client.get_document(bank, kept["document"]).text == "The word is xylophone."


async def test_without_a_server_the_tools_say_so(bank: str) -> None:
    async with connected("stdio", NOBODY, bank) as client:
        said = await refused(client, "recall", question="Where is the key?")
    assert "UNAVAILABLE" in said
    assert "`memsvc serve`" in said
