"""The LlamaIndex memory block and retriever with LlamaIndex's own memory, over a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import Memory, StaticMemoryBlock
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import MetadataMode
from llama_index.core.storage.chat_store.base_db import MessageStatus
from memsvc_client import MemoryClient, NotFound
from memsvc_client.integrations.llamaindex import MemsvcMemoryBlock, MemsvcRetriever

from tests.integration_support import answering, bank_of_facts, fresh_bank, run_example

TALK = [
    ("user", "My sister Ingrid keeps bees on the roof of the old brewery."),
    ("assistant", "That sounds lovely; I will remember it."),
    ("user", "The spare key hangs under the blue pot beside the garden door."),
    ("assistant", "Noted: the key is under the blue pot."),
    ("user", "Tell me something about the weather in autumn, please."),
    ("assistant", "In autumn it rains more often than in summer."),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with answering(tmp_path_factory.mktemp("llamaindex") / "data") as served:
        yield served


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[MemoryClient]:
    with MemoryClient(address, timeout=120) as made:
        yield made


@pytest.fixture(scope="module")
def facts(client: MemoryClient) -> str:
    return bank_of_facts(client)


def said(role: str, text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole(role), content=text)


def words(text: str) -> list[str]:
    """Tokens enough for a memory that only counts them, without anything to download."""
    return text.split()


def memory(block: MemsvcMemoryBlock, session: str) -> Memory:
    """A memory so short that all but the last messages go to its blocks."""
    return Memory.from_defaults(
        session_id=session,
        token_limit=60,
        chat_history_token_ratio=0.3,
        token_flush_size=10,
        tokenizer_fn=words,
        memory_blocks=[block, StaticMemoryBlock(static_content=[TextBlock(text="Be polite.")])],
    )


async def test_what_leaves_the_short_memory_is_remembered(client: MemoryClient) -> None:
    bank = fresh_bank(client)
    talk = memory(MemsvcMemoryBlock(client=client, bank=bank, max_tokens=60), "talk")
    for role, text in TALK:
        await talk.aput(said(role, text))
    left = [one.content for one in await talk.aget_all(MessageStatus.ACTIVE)]
    turns = list(client.list_turns(bank, "talk"))
    kept = [(turn.role, turn.content) for turn in turns]
    assert kept == TALK[: len(kept)]
    assert len(kept) >= 2
    assert left == [text for _, text in TALK[len(kept) :]]

    read = await talk.aget(input="Who keeps bees on the roof?")
    (system, *rest) = read
    assert system.role == MessageRole.SYSTEM
    assert "Ingrid keeps bees" in (system.content or "")
    assert "Be polite." in (system.content or "")
    assert [one.content for one in rest] == left
    assert len(list(client.list_turns(bank, "talk"))) == len(kept)  # reading writes nothing


def test_blocking_calls_do_the_same(client: MemoryClient) -> None:
    bank = fresh_bank(client)
    talk = memory(MemsvcMemoryBlock(client=client, bank=bank), "talk")
    talk.put_messages([said(role, text) for role, text in TALK])
    read = talk.get(input="Who keeps bees on the roof?")
    assert "Ingrid keeps bees" in (read[0].content or "")


async def test_an_agent_is_reminded_of_its_other_sessions(client: MemoryClient) -> None:
    bank = fresh_bank(client)
    question = [said("user", "What is the colour of my hat?")]
    for name, agent in (("old", "ann"), ("others", "bob")):
        block = MemsvcMemoryBlock(client=client, bank=bank, session=name, agent=agent)
        await block.aput([said("user", f"I am {agent}, and my hat is the colour of {name} brass.")])
        await block.aget(question)  # waits for what the block has put
    anew = MemsvcMemoryBlock(client=client, bank=bank, session="new", agent="ann")
    reminded = await anew.aget(question)
    assert "old brass" in reminded
    assert "others brass" not in reminded
    own = MemsvcMemoryBlock(client=client, bank=bank, session="new", agent="ann", scope="session")
    assert await own.aget(question) == ""
    assert await anew.aget([]) == ""
    assert await anew.aget([said("assistant", "hello")]) == ""


async def test_tool_calls_are_turns_and_empty_messages_are_not(client: MemoryClient) -> None:
    bank = fresh_bank(client)
    block = MemsvcMemoryBlock(client=client, bank=bank, session="s")
    call = ToolCallBlock(tool_call_id="1", tool_name="weather", tool_kwargs={"city": "Zürich"})
    messages = [
        ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text="One moment."), call]),
        ChatMessage(role=MessageRole.TOOL, content="Rain", additional_kwargs={"tool_call_id": "1"}),
        said("assistant", " "),
    ]
    await block.aput(messages, session_id="not used")
    first, second = client.list_turns(bank, "s")
    assert (first.role, first.content) == ("assistant", "One moment.")
    (made,) = first.tool_calls
    assert (made.id, made.name, made.arguments) == ("1", "weather", '{"city": "Zürich"}')
    assert (second.role, second.content) == ("tool", "Rain")
    assert "session_id" not in messages[0].additional_kwargs
    await block.aput([said("user", f"Message number {n}.") for n in range(150)])
    assert len(list(client.list_turns(bank, "s"))) == 152


async def test_a_block_needs_a_session_and_a_bank(client: MemoryClient) -> None:
    with pytest.raises(ValueError, match="session"):
        await MemsvcMemoryBlock(client=client, bank="b").aget([said("user", "q")])
    with pytest.raises(NotFound):
        await MemsvcMemoryBlock(client=client, bank="nowhere", session="s").aput(
            [said("user", "q")]
        )


async def test_a_chat_engine_talks_with_the_memory(client: MemoryClient) -> None:
    bank = fresh_bank(client)
    talk = memory(MemsvcMemoryBlock(client=client, bank=bank), "talk")
    await talk.aput_messages([said(role, text) for role, text in TALK])
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=talk)
    reply = await engine.achat("Who keeps bees on the roof?")
    assert "Ingrid keeps bees" in reply.response  # the mock repeats its prompt


async def test_nodes_come_with_where_they_are_from(client: MemoryClient, facts: str) -> None:
    retriever = MemsvcRetriever(client, facts, k=2)
    found = retriever.retrieve("Where is the key of the cellar?")
    assert [one.id_ for one in found] == [
        one.id_ for one in await retriever.aretrieve("Where is the key of the cellar?")
    ]
    best, source = found[0], client.get_document(facts, "keys")
    assert len(found) == 2
    assert (best.node.node_id, best.text) == (source.name, source.text)
    assert best.score == best.metadata["score"] >= (found[1].score or 0)
    assert (best.metadata["title"], best.metadata["year"]) == ("Keys of the house", 2024)
    for_models = best.node.get_content(MetadataMode.LLM)
    assert "Keys of the house" in for_models
    assert "score" not in for_models
    only = MemsvcRetriever(client, facts, filter='metadata.kind = "person"', content="passage")
    (curie,) = only.retrieve("Where is the key of the cellar?")
    assert curie.metadata["title"] == "Marie Curie"
    text = client.get_document(facts, "curie").text
    assert curie.text == text[curie.metadata["start"] : curie.metadata["end"]]
    with pytest.raises(NotFound):
        MemsvcRetriever(client, "nowhere").retrieve("q")


async def test_a_query_engine_answers_from_what_was_found(client: MemoryClient, facts: str) -> None:
    retriever = MemsvcRetriever(client, facts, k=1)
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    assert "hangs under the blue pot" in str(engine.query("Where is the key of the cellar?"))
    assert "nine in the morning" in str(await engine.aquery("When does the library open?"))


def test_the_example_of_the_docs(address: str, client: MemoryClient) -> None:
    client.create_bank("talks")
    bank_of_facts(client, "notes")
    assert "hangs under the blue pot" in run_example("LlamaIndex", address)
