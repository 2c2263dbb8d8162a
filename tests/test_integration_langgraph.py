"""The LangGraph store, told the same as LangGraph's own store in memory, answers the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from zlib import crc32

import pytest
from langgraph.store.base import GetOp, IndexConfig, ListNamespacesOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore
from memsvc_client import MemoryClient
from memsvc_client.integrations.langgraph import MemsvcStore

from tests.integration_support import Twins, answering, fresh_bank, plain

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


def embed(texts: Sequence[str]) -> list[list[float]]:
    """Bags of words, so that LangGraph's own store has something to search by."""
    bags = [Counter(crc32(word.encode()) % 512 for word in text.lower().split()) for text in texts]
    return [[float(bag[place]) for place in range(512)] for bag in bags]


@pytest.fixture(params=["sync", "async"])
def twins(request: pytest.FixtureRequest, store: MemsvcStore) -> Twins:
    mode: Literal["sync", "async"] = request.param
    return Twins(store, InMemoryStore(index=IndexConfig(dims=512, embed=embed)), mode)


async def test_items_are_kept_replaced_and_deleted(twins: Twins) -> None:
    value = {"name": "Ann", "tags": ["a", 1, None, True], "deep": {"n": 0.5, "zero\0": "ü🫖"}}
    assert await twins.same("get", USER, "k") is None
    await twins.same("put", USER, "k", value)
    assert await twins.same("get", USER, "k") == ("item", USER, "k", value)
    await twins.same("put", USER, "k", {"other": 1})
    assert await twins.same("get", USER, "k") == ("item", USER, "k", {"other": 1})
    assert await twins.same("get", (*USER, "x"), "k") is None
    await twins.same("put", USER, "empty", {})
    assert await twins.same("get", USER, "empty") == ("item", USER, "empty", {})
    await twins.same("delete", USER, "k")
    await twins.same("delete", USER, "never there")
    assert await twins.same("get", USER, "k") is None


async def test_keys_and_labels_are_kept_apart_whatever_they_hold(twins: Twins) -> None:
    places = [
        (("a", "b"), "c"),
        (("a",), "b/c"),
        (("a/b",), "c"),
        (("a%2Fb",), "c"),
        (("a0",), "k"),
        (("ä", 'quo"te', "back\\slash"), "k e\ny"),
    ]
    for number, (namespace, key) in enumerate(places):
        await twins.same("put", namespace, key, {"n": number})
    for number, (namespace, key) in enumerate(places):
        assert (await twins.same("get", namespace, key))[3] == {"n": number}
        assert len(await twins.same("search", namespace)) == (2 if namespace == ("a",) else 1)
    await twins.same("list_namespaces")


async def test_bad_namespaces_are_refused(twins: Twins) -> None:
    for namespace in [(), ("langgraph", "x"), ("a.b",), ("",), (5,)]:
        refused = await twins.same("put", namespace, "k", {"n": 1})
        assert issubclass(refused, ValueError)


async def test_searches_list_filter_and_page(twins: Twins) -> None:
    for number in range(12):
        value = {"n": number, "even": number % 2 == 0, "of": {"third": number % 3}, "l": [number]}
        await twins.same("put", USER, f"k{number}", value)
    await twins.same("put", USER, "k3", {"n": 3, "replaced": True})
    await twins.same("put", ("users", "bob"), "k", {"n": 100})
    filters: list[dict[str, Any]] = [
        {"even": True},
        {"n": 7},
        {"n": {"$gt": 4, "$lte": 9}},
        {"n": {"$gte": 4}, "even": {"$ne": True}},
        {"of": {"third": 2}},
        {"of": {"third": {"$lt": 1}}},
        {"l": [5]},
        {"n": {"$eq": 11}},
        {"absent": None},
        {"n": "7"},
        {"n": {"$in": [1]}},
    ]
    for filter in filters:
        await twins.same("search", USER, filter=filter, limit=100)
    for offset in (0, 5, 11, 20):
        await twins.same("search", USER, limit=5, offset=offset)
        await twins.same("search", USER, filter={"even": True}, limit=2, offset=offset)
    assert await twins.same("search", USER, limit=0) == []
    assert await twins.same("search", ("use",)) == []
    ours, theirs = await twins.both("search", ("users",), limit=100)
    assert sorted(map(str, plain(ours))) == sorted(map(str, plain(theirs)))
    assert len(ours) == 13


async def test_namespaces_are_listed(twins: Twins) -> None:
    for namespace in ["a b c", "a b d e", "a b d i", "a b f", "a c f", "z", "b c"]:
        await twins.same("put", tuple(namespace.split()), "k", {"n": 1})
        await twins.same("put", tuple(namespace.split()), "l", {"n": 2})
    questions: list[dict[str, Any]] = [
        {},
        {"prefix": ("a", "b"), "max_depth": 3},
        {"prefix": ("a", "*", "d")},
        {"prefix": ("*", "c")},
        {"suffix": ("f",)},
        {"suffix": ("b", "*")},
        {"prefix": ("a",), "suffix": ("f",)},
        {"max_depth": 1},
        {"limit": 2, "offset": 3},
        {"prefix": ("a", "b", "c", "d")},
    ]
    for question in questions:
        await twins.same("list_namespaces", **question)


async def test_a_batch_reads_what_was_there_before_it(twins: Twins) -> None:
    await twins.same("put", USER, "k", {"n": 1})
    ops = [
        PutOp(USER, "k", {"n": 2}),
        GetOp(USER, "k"),
        SearchOp(USER),
        PutOp(USER, "new", {"n": 3}),
        PutOp(USER, "new", {"n": 4}),
        PutOp(USER, "gone", {"n": 5}),
        PutOp(USER, "gone", None),
        ListNamespacesOp(),
    ]
    read = await twins.same("batch", ops)
    assert read[1][3] == {"n": 1}
    after = await twins.same("search", USER)
    assert [one[3] for one in after] == [{"n": 2}, {"n": 4}]


async def test_searches_by_a_query(twins: Twins) -> None:
    await twins.same("put", USER, "home", {"text": "Ann lives in Oslo near the harbour"})
    await twins.same("put", USER, "food", {"text": "Her favourite food is pizza with anchovies"})
    await twins.same("put", USER, "secret", {"text": "Ann lives in Paris"}, index=False)
    query = "Where does Ann live, in Oslo ?"
    found = await twins.same("search", USER, query=query)
    assert [one[2] for one in found] == ["home", "food", "secret"]
    assert [one[4] for one in found] == [False, False, True]  # the last one has no score
    for more in ({"limit": 1}, {"limit": 1, "offset": 1}, {"filter": {"text": {"$ne": "x"}}}):
        await twins.same("search", USER, query=query, **more)
    assert await twins.same("search", ("users", "bob"), query=query) == []
    await twins.same("put", USER, "food", {"text": "Ann lives in Oslo ?"})
    assert (await twins.same("search", USER, query=query))[0][2] == "food"
    await twins.same("delete", USER, "food")
    await twins.same("search", USER, query=query)


async def test_any_order_of_puts_and_deletes(twins: Twins) -> None:
    chance = random.Random(7)
    for _ in range(40):
        namespace = (chance.choice("ab"),)
        key = chance.choice("xyz")
        if chance.random() < 0.3:
            await twins.same("delete", namespace, key)
        else:
            await twins.same("put", namespace, key, {"n": chance.randrange(100)})
        await twins.same("get", namespace, key)
        await twins.same("search", namespace)
