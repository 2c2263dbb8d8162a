"""The LangGraph store: what is found, kept and expired by memsvc, and a compiled graph with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore, PutOp
from memsvc_client import InvalidArgument, MemoryClient, NotFound
from memsvc_client.integrations.langgraph import MemsvcStore

from tests.e2e_support import environment
from tests.integration_support import answering, fresh_bank, run_example

USER = ("users", "ann")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with answering(tmp_path_factory.mktemp("langgraph") / "data") as served:
        yield served


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[MemoryClient]:
    with MemoryClient(address, timeout=120) as made:
        yield made


@pytest.fixture
def store(client: MemoryClient) -> MemsvcStore:
    return MemsvcStore(client, fresh_bank(client))


def test_times_are_those_of_the_item(store: MemsvcStore) -> None:
    store.put(USER, "k", {"n": 1})
    first = store.get(USER, "k")
    store.put(USER, "k", {"n": 2})
    second = store.get(USER, "k")
    assert first is not None
    assert second is not None
    assert first.created_at == first.updated_at == second.created_at < second.updated_at


def test_what_is_encoded_can_be_chosen(client: MemoryClient) -> None:
    store = MemsvcStore(client, fresh_bank(client), fields=["memory"])
    store.put(USER, "a", {"memory": "The boiler was serviced by Okafor.", "noise": "harbour"})
    store.put(
        USER,
        "b",
        {"memory": "x", "notes": [{"text": "The harbour"}, {"text": "has a lighthouse."}]},
        index=["notes[*].text"],
    )
    texts = {one.text for one in client.list_documents(store.bank, with_text=True)}
    assert texts == {"The boiler was serviced by Okafor.", "The harbour\nhas a lighthouse."}
    assert store.search(USER, query="Who serviced the boiler?", limit=1)[0].key == "a"
    assert store.search(USER, query="What is in the harbour?", limit=1)[0].key == "b"


def test_large_values_are_kept_and_found(store: MemsvcStore) -> None:
    large = {"text": "The lighthouse keeper is called Magnus. " + "Waves come and go. " * 2000}
    store.put(USER, "large", large)
    store.put(USER, "small", {"text": "Bread is baked at five."})
    found = store.get(USER, "large")
    assert found is not None
    assert found.value == large
    assert [one.value for one in store.search(USER, filter=large)] == [large]
    best = store.search(USER, query="What is the lighthouse keeper called?", limit=1)
    assert best[0].value == large
    with pytest.raises(InvalidArgument):
        store.put(USER, "too large", {"text": "x" * 2**20})


def test_more_is_found_than_one_recall_brings(store: MemsvcStore) -> None:
    count = 300
    store.batch(
        [PutOp(USER, str(n), {"text": f"House {n} is painted.", "n": n}) for n in range(count)]
    )
    found = store.search(USER, query="Which house is painted?", limit=count + 5)
    assert {one.key for one in found} == {str(n) for n in range(count)}
    scores = [one.score for one in found if one.score is not None]
    assert len(scores) == count
    assert scores == sorted(scores, reverse=True)
    few = store.search(USER, query="Which house is painted?", filter={"n": {"$gte": 250}}, limit=3)
    assert [one.key for one in few] == [one.key for one in found if int(one.key) >= 250][:3]


def test_items_expire_and_live_on_when_read(client: MemoryClient) -> None:
    store = MemsvcStore(client, fresh_bank(client), ttl={"default_ttl": 5})  # minutes
    store.put(USER, "short", {"n": 1}, ttl=0.02)
    store.put(USER, "read", {"n": 2})
    store.put(("short",), "lived", {}, ttl=0.02)
    store.put(USER, "for ever", {"n": 3}, ttl=None)
    lifetimes = {
        one.metadata["lg_key"]: one.expire_time for one in client.list_documents(store.bank)
    }
    assert lifetimes["for ever"] is None
    time.sleep(1.5)
    assert store.get(USER, "short") is None
    assert store.list_namespaces() == [USER]
    assert {one.key for one in store.search(USER, refresh_ttl=False)} == {"read", "for ever"}
    store.get(USER, "read")
    later = {one.metadata["lg_key"]: one.expire_time for one in client.list_documents(store.bank)}
    before, after = lifetimes["read"], later["read"]
    assert before is not None
    assert after is not None
    assert after > before
    store.put(USER, "short", {"n": 4})
    again = store.get(USER, "short")
    assert again is not None
    assert again.value == {"n": 4}


def test_other_documents_of_the_bank_are_left_alone(client: MemoryClient) -> None:
    bank = fresh_bank(client)
    client.add(bank, "Ann lives in Bergen.")
    store = MemsvcStore(client, bank)
    store.put(USER, "k", {"text": "Ann lives in Oslo."})
    assert [one.key for one in store.search((), query="Where does Ann live?")] == ["k"]
    assert store.list_namespaces() == [USER]


def test_a_missing_bank_is_an_error_until_it_is_made(client: MemoryClient) -> None:
    store = MemsvcStore(client, "made-later")
    for call in (
        lambda: store.get(USER, "k"),
        lambda: store.put(USER, "k", {}),
        lambda: store.delete(USER, "k"),
        lambda: store.search(USER),
        lambda: store.search(USER, query="q"),
    ):
        with pytest.raises(NotFound):
            call()
    store.setup()
    store.setup()
    store.put(USER, "k", {"n": 1})
    assert store.get(USER, "k") is not None


async def test_many_at_once(store: MemsvcStore) -> None:
    await asyncio.gather(*(store.aput(USER, str(n), {"n": n}) for n in range(20)))
    found = await store.asearch(USER, limit=50)
    assert {one.key for one in found} == {str(n) for n in range(20)}
    await asyncio.gather(*(store.aput(USER, "one", {"n": n}) for n in range(8)))
    assert len(await store.asearch(USER, filter={"n": {"$lt": 8}}, limit=50)) == 9


class Chat(TypedDict):
    said: str
    reply: str


def _chat(store: BaseStore) -> Any:
    """A graph that remembers what each user says, and recalls it when asked."""

    def listen(state: Chat, config: RunnableConfig, *, store: BaseStore) -> dict[str, str]:
        namespace = ("memories", config.get("configurable", {})["user"])
        if state["said"].endswith("?"):
            found = store.search(namespace, query=state["said"], limit=1)
            return {"reply": found[0].value["text"] if found else "I do not know"}
        store.put(namespace, state["said"][:20], {"text": state["said"]})
        return {"reply": "noted"}

    graph = StateGraph(Chat)
    graph.add_node("listen", listen)
    graph.add_edge(START, "listen")
    graph.add_edge("listen", END)
    return graph.compile(store=store)


async def test_a_compiled_graph_remembers_across_runs(store: MemsvcStore) -> None:
    chat = _chat(store)
    ann: RunnableConfig = {"configurable": {"user": "ann"}}
    bob: RunnableConfig = {"configurable": {"user": "bob"}}
    assert chat.invoke({"said": "The key hangs under the blue pot."}, ann)["reply"] == "noted"
    await chat.ainvoke({"said": "My sister is called Ingrid."}, ann)
    asked = chat.invoke({"said": "Where is the key?"}, ann)
    assert asked["reply"] == "The key hangs under the blue pot."
    asked = await chat.ainvoke({"said": "What is the name of my sister?"}, ann)
    assert asked["reply"] == "My sister is called Ingrid."
    assert chat.invoke({"said": "Where is the key?"}, bob)["reply"] == "I do not know"


def test_the_example_of_the_docs(address: str) -> None:
    assert run_example("LangGraph", address) == "The spare key hangs under the blue pot.\n"


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("langgraph", "langgraph", "langgraph"),
        ("langchain", "langchain_core", "langchain"),
        ("llamaindex", "llama_index", "llamaindex"),
    ],
)
def test_without_its_framework_an_adapter_says_what_to_install(
    module: str, package: str, extra: str
) -> None:
    code = (
        "import sys, memsvc_client, memsvc_client.integrations\n"
        f"assert not any(name.partition('.')[0] == {package!r} for name in sys.modules)\n"
        f"sys.modules[{package!r}] = None\n"
        f"try:\n    import memsvc_client.integrations.{module}\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert f"pip install 'memsvc[{extra}]'" in done.stdout
