"""Forgetting, former versions and feedback against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from memsvc_client import (
    MemoryClient,
    NewDocument,
    NewTurn,
    NotFound,
    SessionHandle,
    ToolCall,
)

from tests.e2e_support import (
    FACTS,
    QUESTION,
    TALK,
    Served,
    files_with,
    serving,
    wait_until,
)

_numbers = count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("forgetting") / "data") as running:
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


@pytest.fixture
def chat(client: MemoryClient, bank: str) -> SessionHandle:
    """A session of the agent `guide` in which `TALK` was said."""
    made = client.session(bank, "talk", agent="guide")
    made.extend(TALK, wait=True)
    return made


def test_a_forgotten_session_is_in_no_file(client: MemoryClient, bank: str, served: Served) -> None:
    client.add(bank, FACTS)
    chat = client.session(bank, "secret", agent="guide")
    tool = ToolCall("lookup", '{"word": "zymurgy-4711"}', "quixotic-4712")
    said = NewTurn("user", "The word is xylograph-4710.", turn_id="t", tool_calls=[tool])
    chat.extend(said, wait=True)
    client.feedback(chat.recall("What is the word?", scope="session"), True)
    assert files_with("xylograph-4710", served.data)
    fork = chat.fork(new_session="fork")
    looked = client.forget_documents(bank, session="secret", compact=True, validate_only=True)
    assert (looked.document_count, looked.session_count, looked.compacted) == (1, 1, False)
    assert chat.get().turn_count == 1
    receipt = client.forget_documents(bank, session="secret", compact=True)
    assert (receipt.document_count, receipt.session_count) == (1, 1)
    assert receipt.documents == (f"banks/{bank}/documents/secret~t",)
    assert receipt.compacted
    assert receipt.text_bytes > 0
    for word in ("xylograph-4710", "zymurgy-4711", "quixotic-4712"):
        assert files_with(word, served.data) == []
    assert list(fork.turns()) == []
    assert list(client.list_feedback(bank)) == []
    with pytest.raises(NotFound):
        chat.get()
    assert client.get_bank(bank).document_count == len(FACTS)


def test_a_turn_forgotten_is_not_told_by_the_next_one(
    client: MemoryClient, bank: str, served: Served
) -> None:
    chat = client.session(bank, "talk")
    chat.append("user", "The word is xylograph-4810.", turn_id="word", wait=True)
    chat.append("user", "My boat is called Orca.", turn_id="boat", wait=True)
    assert "xylograph-4810" in client.get_document(bank, "talk~boat").title
    client.forget_documents(bank, documents=["talk~word"], compact=True)
    assert files_with("xylograph-4810", served.data) == []
    assert "xylograph" not in repr(chat.recall("What is the word?", scope="session"))
    wait_until(lambda: client.get_document(bank, "talk~boat").state == "READY")
    (hit,) = chat.recall("What is my boat called?", scope="session").hits
    assert (hit.document_id, "xylograph" in repr(hit)) == ("talk~boat", False)
    client.compact_bank(bank)
    assert files_with("xylograph-4810", served.data) == []


@pytest.mark.usefixtures("chat")
def test_an_agent_and_a_filter_can_be_forgotten(client: MemoryClient, bank: str) -> None:
    client.add(bank, FACTS)
    people = client.forget_documents(bank, filter='metadata.kind = "person"')
    assert [one.rpartition("/")[2] for one in people.documents] == ["curie"]
    named = client.forget_documents(bank, documents=["keys", "never-there"])
    assert (named.document_count, named.compacted) == (1, False)
    assert client.forget_documents(bank, agent="nobody").document_count == 0
    client.session(bank, "more", agent="guide").append("user", "Hello.")
    guide = client.forget_documents(bank, agent="guide")
    assert (guide.document_count, guide.session_count) == (5, 2)
    assert [one.id for one in client.list_documents(bank)] == ["library"]
    assert list(client.list_sessions(bank)) == []


def test_feedback_of_what_was_found(client: MemoryClient, bank: str, chat: SessionHandle) -> None:
    recall = chat.recall(QUESTION, scope="session")
    read = list(dict.fromkeys(one.document for one in recall.hits if one.read))
    assert read
    useful = client.feedback(recall, True)
    assert (useful.question, sorted(useful.relevant)) == (QUESTION, sorted(read))
    turn = next(iter(chat.turns()))
    useless = client.feedback(recall, False, documents=[turn.document_id])
    assert useless.relevant == (turn.document,)
    assert turn.document not in useless.irrelevant
    answer = client.ask_answer(bank, QUESTION)
    wrong = client.feedback(answer, False, answer="In the harbour of Flensburg.")
    assert (wrong.verdict, wrong.answer) == ("WRONG", "In the harbour of Flensburg.")
    right = client.feedback(answer, True)
    assert set(right.relevant) == {one.document for one in answer.citations}
    assert len(list(client.list_feedback(bank))) == 4


def test_former_versions_are_kept_and_forgotten(
    client: MemoryClient, bank: str, served: Served
) -> None:
    client.add(bank, NewDocument("The code is begonia-77.", "First", "code"))
    client.update_document(bank, "code", text="The code is dahlia-78.", keep_version=True)
    changed = client.update_document(bank, "code", title="Third", keep_version=True)
    client.update_document(bank, "code", text="The code is freesia-79.")
    versions = list(client.list_document_versions(bank, "code", page_size=1))
    assert [(one.title, one.text) for one in versions] == [
        ("First", "The code is dahlia-78."),
        ("First", "The code is begonia-77."),
    ]
    assert versions[0].revision == changed.document.revision - 1
    assert None not in {one.replace_time for one in versions}
    for operation in client.list_operations(bank=bank):
        client.wait_operation(operation, timeout=120)
    assert "begonia" not in client.ask_answer(bank, "What is the code?").text
    receipt = client.forget_documents(bank, documents=["code"], compact=True)
    assert (receipt.document_count, receipt.version_count) == (1, 2)
    for word in ("begonia-77", "dahlia-78", "freesia-79"):
        assert files_with(word, served.data) == []
