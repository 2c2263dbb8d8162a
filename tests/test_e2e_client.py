"""The SDK against a real server: the two stories, and what bad input gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from memsvc_client import (
    Aborted,
    AlreadyExists,
    AskOptions,
    AsyncMemoryClient,
    Done,
    FailedPrecondition,
    Hop,
    InvalidArgument,
    MemoryClient,
    MemsvcError,
    NewDocument,
    NotFound,
    ResourceExhausted,
)

from tests.e2e_support import FACTS, Served, serving

_numbers = count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("e2e") / "data") as running:
        with MemoryClient(running.target) as client:
            client.wait_serving()
        yield running


@pytest.fixture
def client(served: Served) -> Iterator[MemoryClient]:
    with MemoryClient(served.target, timeout=120) as made:
        yield made


@pytest.fixture
def bank(client: MemoryClient) -> str:
    """A fresh, empty bank."""
    return client.create_bank(f"bank-{next(_numbers)}").id


def fill(client: MemoryClient, bank: str) -> None:
    added = client.add(bank, FACTS)
    assert not added.errors
    assert added.operation is not None
    ended = client.wait_operation(added.operation, timeout=120)
    assert (ended.state, ended.done, ended.failed) == ("DONE", len(FACTS), 0)


async def test_a_bank_is_made_once_and_kept(served: Served, client: MemoryClient) -> None:
    name = f"bank-{next(_numbers)}"
    made = client.ensure_bank(name)
    client.add(name, FACTS[:1])
    assert client.ensure_bank(f"banks/{name}").create_time == made.create_time
    async with AsyncMemoryClient(served.target) as other:
        assert (await other.ensure_bank(name)).document_count == 1
        assert (await other.ensure_bank(f"{name}-b")).document_count == 0


def test_the_two_stories(client: MemoryClient, bank: str) -> None:
    fill(client, bank)
    assert {one.state for one in client.list_documents(bank)} == {"READY"}
    events = list(client.ask(bank, "Where was Marie Curie born?"))
    assert isinstance(events[0], Hop)
    assert isinstance(events[-1], Done)
    answer = client.ask_answer(bank, "Where was Marie Curie born?")
    assert answer.found
    assert "Warsaw" in answer.text
    (source, *_) = answer.citations
    text = client.get_document(bank, source.document).text
    assert text[source.start : source.end] == source.quote
    assert source.title == "Marie Curie"
    assert answer.usage.hops == len(answer.hops) >= 1

    client.delete_document(bank, "curie")
    with pytest.raises(NotFound):
        client.get_document(bank, "curie")
    hits = client.recall(bank, "Where was Marie Curie born?").hits
    assert hits
    assert "curie" not in {one.document_id for one in hits}
    after = client.ask_answer(bank, "Where was Marie Curie born?")
    assert "Warsaw" not in after.text


def test_recall_finds_the_words_it_says(client: MemoryClient, bank: str) -> None:
    fill(client, bank)
    found = client.recall(bank, "Where is the key of the cellar?", options=AskOptions(max_hops=1))
    best = found.hits[0]
    assert (best.document_id, best.title) == ("keys", "Keys of the house")
    assert client.get_document(bank, "keys").text[best.start : best.end] == best.quote
    only = client.recall(bank, "Where is the key?", filter='metadata.kind = "person"')
    assert {one.document_id for one in only.hits} == {"curie"}


def test_context_stays_within_its_tokens(client: MemoryClient, bank: str) -> None:
    fill(client, bank)
    for budget in (8, 24, 1000):
        built = client.build_context(bank, "When does the library open?", budget)
        assert built.tokens <= budget
    assert "nine in the morning" in built.text
    assert built.citations[0].document_id == "library"


def test_filters_and_pages_of_a_listing(client: MemoryClient, bank: str) -> None:
    client.add(
        bank, [NewDocument(f"t {n}", document_id=f"d{n}", metadata={"n": n}) for n in range(5)]
    )
    assert [one.id for one in client.list_documents(bank, page_size=2)] == [
        f"d{n}" for n in range(5)
    ]
    some = client.list_documents(bank, filter="metadata.n >= 2 AND NOT metadata.n = 3", page_size=1)
    assert [one.id for one in some] == ["d2", "d4"]
    with_text = list(client.list_documents(bank, with_text=True))
    assert [one.text for one in with_text] == [f"t {n}" for n in range(5)]
    assert {one.text for one in client.list_documents(bank)} == {""}


def test_documents_keep_what_they_were_given(client: MemoryClient, bank: str) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    later = datetime.now(UTC) + timedelta(days=1)
    metadata: dict[str, str | int | float | bool] = {"s": "ü", "i": 7, "f": 0.5, "b": True}
    client.add(bank, NewDocument("text 🫖", "title", "d", metadata, when, later))
    kept = client.get_document(bank, "d")
    assert (kept.text, kept.title, dict(kept.metadata)) == ("text 🫖", "title", metadata)
    assert (kept.event_time, kept.expire_time) == (when, later)
    changed = client.update_document(bank, "d", metadata={}, event_time=None, etag=kept.etag)
    assert changed.operation is None
    assert (dict(changed.document.metadata), changed.document.event_time) == ({}, None)
    assert changed.document.expire_time == later
    with pytest.raises(Aborted):
        client.update_document(bank, "d", title="x", etag=kept.etag)


def test_a_repeated_request_id_stores_nothing_twice(client: MemoryClient, bank: str) -> None:
    request = "6f0a4f5e-5d5c-4a5e-9a63-0d6a5d4f7b11"
    first = client.add(bank, ["one", "two"], request_id=request)
    again = client.add(bank, ["one", "two"], request_id=request)
    assert [one.name for one in first.documents] == [one.name for one in again.documents]
    assert client.get_bank(bank).document_count == 2
    with pytest.raises(AlreadyExists) as caught:
        client.add(bank, ["another"], request_id=request)
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_ingestion_of_many(client: MemoryClient, bank: str) -> None:
    documents = [NewDocument(f"Fact number {n}.", document_id=f"d{n}") for n in range(300)]
    documents[7] = NewDocument("", document_id="empty")
    result = client.ingest(bank, iter(documents))
    assert result.stored == 299
    ((place, error),) = result.errors
    assert (place, type(error)) == (7, InvalidArgument)
    assert client.get_bank(bank).document_count == 299
    ended = [client.wait_operation(one, timeout=240) for one in result.operations]
    assert sum(one.done for one in ended) == 299
    assert client.get_bank(bank).ready_count == 299


def test_a_quota_holds(client: MemoryClient, bank: str) -> None:
    client.update_bank(bank, quota_bytes=20)
    with pytest.raises(ResourceExhausted) as caught:
        client.add(bank, "much longer than twenty bytes")
    assert caught.value.reason == "QUOTA_EXCEEDED"
    client.update_bank(bank, quota_bytes=None)
    client.add(bank, "much longer than twenty bytes")


Bad = Callable[[MemoryClient, str], object]


@pytest.mark.parametrize(
    ("call", "kind", "field"),
    [
        (lambda c, _: c.get_bank("nowhere"), NotFound, None),
        (lambda c, b: c.get_document(b, "none"), NotFound, None),
        (lambda c, _: c.get_operation("none"), NotFound, None),
        (lambda c, b: c.create_bank(b), AlreadyExists, None),
        (lambda c, _: c.create_bank("No Good"), InvalidArgument, "bank_id"),
        (lambda c, b: c.add(b, ""), InvalidArgument, "text"),
        (lambda c, b: c.add(b, "x" * (2**20 + 1)), InvalidArgument, "text"),
        (lambda c, b: c.ask_answer(b, ""), InvalidArgument, "question"),
        (lambda c, b: c.recall(b, "q", options=AskOptions(k=-1)), InvalidArgument, "k"),
        (lambda c, b: c.recall(b, "q", filter="nonsense = 1"), InvalidArgument, "filter"),
        (lambda c, b: c.build_context(b, "q", 0), InvalidArgument, "max_tokens"),
        (lambda c, b: list(c.list_documents(b, page_size=-1)), InvalidArgument, "page_size"),
        (lambda c, b: list(c.list_documents(b, page_token="x")), InvalidArgument, "page_token"),
    ],
)
def test_bad_input(
    client: MemoryClient, bank: str, call: Bad, kind: type[MemsvcError], field: str | None
) -> None:
    with pytest.raises(kind) as caught:
        call(client, bank)
    assert caught.value.reason
    assert caught.value.request_id
    assert not caught.value.retryable
    if field is not None:
        assert any(field in one.field for one in caught.value.field_violations)


def test_nothing_happens_with_validate_only(client: MemoryClient, bank: str) -> None:
    client.add(bank, NewDocument("kept", document_id="d"))
    client.add(bank, "not stored", validate_only=True)
    client.delete_document(bank, "d", validate_only=True)
    client.delete_bank(bank, validate_only=True)
    client.create_bank("never-made", validate_only=True)
    assert [one.id for one in client.list_documents(bank)] == ["d"]
    assert "never-made" not in {one.id for one in client.list_banks()}


def test_deleted_text_is_in_no_file_after_compaction(
    client: MemoryClient, bank: str, served: Served
) -> None:
    secret = "xylophone-quartz-4711"
    added = client.add(bank, [NewDocument(f"The word is {secret}.", document_id="secret"), "other"])
    assert added.operation is not None
    client.wait_operation(added.operation, timeout=120)
    client.delete_document(bank, "secret")
    report = client.compact_bank(bank)
    assert report.bytes_after < report.bytes_before
    files = [path for path in served.data.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    checked = client.verify_bank(bank)
    assert (checked.corrupt_documents, checked.missing_documents) == ((), ())
    assert checked.block_count == 1


def test_operations_are_listed_and_encoding_is_not_cancelled(
    client: MemoryClient, bank: str
) -> None:
    added = client.add(bank, "text")
    assert added.operation is not None
    assert [one.name for one in client.list_operations(bank=bank)] == [added.operation.name]
    with pytest.raises(FailedPrecondition) as caught:
        client.cancel_operation(added.operation.name)
    assert caught.value.reason == "OPERATION_FINISHED"
    client.wait_operation(added.operation, timeout=120)
    done = client.list_operations(bank=bank, state="DONE")
    assert [one.name for one in done] == [added.operation.name]


def test_the_server_tells_about_itself(client: MemoryClient, served: Served) -> None:
    info = client.server_info()
    assert (info.state, info.pid) == ("READY", served.process.pid)
    assert client.health() == client.health("memsvc.v1.MemoryService") == "SERVING"


async def test_the_stories_by_asyncio(served: Served) -> None:
    async with AsyncMemoryClient(served.target, timeout=120) as client:
        bank = (await client.create_bank(f"bank-{next(_numbers)}")).id
        result = await client.ingest(bank, FACTS)
        for name in result.operations:
            await client.wait_operation(name, timeout=120)
        assert [one.id async for one in client.list_documents(bank)] == ["keys", "curie", "library"]
        kinds = [type(event) async for event in client.ask(bank, "Where was Marie Curie born?")]
        assert kinds[0] is Hop
        assert kinds[-1] is Done
        await client.delete_bank(bank)
        with pytest.raises(NotFound):
            await client.get_bank(bank)


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as first, MemoryClient(first.target) as client:
        client.create_bank("kept")
        client.add("kept", FACTS)  # Durable now; encoding may not have begun.
    assert first.process.returncode == 0
    with serving(tmp_path / "data") as second, MemoryClient(second.target, timeout=120) as client:
        for operation in client.list_operations(bank="kept"):
            assert client.wait_operation(operation, timeout=120).state == "DONE"
        assert client.get_bank("kept").ready_count == len(FACTS)
        assert "Warsaw" in client.ask_answer("kept", "Where was Marie Curie born?").text
