"""The LangChain retriever with LangChain's own runnables, over a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from memsvc_client import AskOptions, MemoryClient, NewDocument, NotFound, Recency
from memsvc_client.integrations.langchain import MemsvcRetriever

from tests.integration_support import answering, bank_of_facts, fresh_bank, run_example

QUESTION = "Where is the key of the cellar?"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with answering(tmp_path_factory.mktemp("langchain") / "data") as served:
        yield served


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[MemoryClient]:
    with MemoryClient(address, timeout=120) as made:
        yield made


@pytest.fixture(scope="module")
def bank(client: MemoryClient) -> str:
    return bank_of_facts(client)


def test_documents_come_with_where_they_are_from(client: MemoryClient, bank: str) -> None:
    found = MemsvcRetriever(client=client, bank=bank).invoke(QUESTION)
    assert all(isinstance(one, Document) for one in found)
    best, source = found[0], client.get_document(bank, "keys")
    assert best.id == source.name == best.metadata["document"]
    assert best.page_content == source.text
    assert best.metadata["title"] == "Keys of the house"
    assert (best.metadata["kind"], best.metadata["year"]) == ("house", 2024)
    assert source.create_time is not None
    assert best.metadata["create_time"] == source.create_time.isoformat()
    assert "event_time" not in best.metadata
    scores = [one.metadata["score"] for one in found]
    assert scores == sorted(scores, reverse=True)


def test_passages_are_the_part_that_was_found(client: MemoryClient) -> None:
    bank = fresh_bank(client)
    filler = "The weather was fine and nothing happened that day. " * 60
    long = NewDocument(
        f"{filler}The parrot of the captain is called Nelson. {filler}",
        event_time=datetime(2026, 1, 2, tzinfo=UTC),
    )
    added = client.add(bank, long)
    assert added.operation is not None
    client.wait_operation(added.operation, timeout=120)
    retriever = MemsvcRetriever(client=client, bank=bank, content="passage")
    (only,) = retriever.invoke("What is the parrot of the captain called?")
    assert "Nelson" in only.page_content
    assert len(only.page_content) < len(long.text) / 2
    assert long.text[only.metadata["start"] : only.metadata["end"]] == only.page_content
    assert only.metadata["event_time"] == "2026-01-02T00:00:00+00:00"


async def test_how_many_and_which(client: MemoryClient, bank: str) -> None:
    retriever = MemsvcRetriever(client=client, bank=bank, k=2, options=AskOptions(max_hops=1))
    assert len(retriever.invoke(QUESTION)) == 2
    assert len(await retriever.ainvoke(QUESTION, k=1)) == 1
    assert len(retriever.batch([QUESTION, "Who was born in Warsaw?"])[1]) == 2
    people = 'metadata.kind = "person"'
    only = MemsvcRetriever(client=client, bank=bank, filter=people)
    for found in (
        only.invoke(QUESTION),
        await only.ainvoke(QUESTION),
        retriever.invoke(QUESTION, filter=people),
    ):
        assert [one.metadata["title"] for one in found] == ["Marie Curie"]
    assert retriever.invoke(" ") == []


def test_what_was_known_then_and_what_is_recent(client: MemoryClient) -> None:
    bank = fresh_bank(client)
    moved = [
        NewDocument(f"Ann moved to {town}.", event_time=datetime(year, 1, 1, tzinfo=UTC))
        for town, year in (("Oslo", 2020), ("Lima", 2024))
    ]
    added = client.add(bank, moved)
    assert added.operation is not None
    client.wait_operation(added.operation, timeout=120)
    question, then = "Where did Ann move?", datetime(2022, 1, 1, tzinfo=UTC)
    retriever = MemsvcRetriever(client=client, bank=bank)
    for found in (
        retriever.invoke(question, as_of=then),
        MemsvcRetriever(client=client, bank=bank, as_of=then).invoke(question),
    ):
        assert [one.page_content for one in found] == ["Ann moved to Oslo."]
    recency = Recency(half_life=timedelta(days=365), weight=10)
    first = MemsvcRetriever(client=client, bank=bank, recency=recency).invoke(question)[0]
    assert first.page_content == "Ann moved to Lima."


def test_what_goes_wrong_is_raised_and_told_to_callbacks(client: MemoryClient) -> None:
    class Watching(BaseCallbackHandler):
        errors: list[BaseException] = []  # noqa: RUF012

        def on_retriever_error(self, error: BaseException, **_: Any) -> None:
            self.errors.append(error)

    watching = Watching()
    with pytest.raises(NotFound):
        MemsvcRetriever(client=client, bank="nowhere").invoke("q", {"callbacks": [watching]})
    assert [type(one) for one in watching.errors] == [NotFound]


async def test_a_chain_answers_from_what_was_found(client: MemoryClient, bank: str) -> None:
    prompts: list[str] = []

    def noted(prompt: Any) -> Any:
        prompts.append(prompt.to_string())
        return prompt

    def joined(documents: list[Document]) -> str:
        return "\n".join(one.page_content for one in documents)

    retriever = MemsvcRetriever(client=client, bank=bank, k=1)
    chain = (
        {"context": retriever | joined, "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
        | RunnableLambda(noted)
        | FakeListChatModel(responses=["Under the blue pot.", "At nine."])
        | StrOutputParser()
    )
    assert chain.invoke(QUESTION) == "Under the blue pot."
    assert await chain.ainvoke("When does the town library open?") == "At nine."
    assert "hangs under the blue pot" in prompts[0]
    assert "opens at nine in the morning" in prompts[1]


def test_the_example_of_the_docs(address: str, client: MemoryClient) -> None:
    bank_of_facts(client, "notes")
    printed = run_example("LangChain", address)
    assert "banks/notes/documents/keys" in printed
    assert "under the blue pot" in printed
