"""Feedback through the whole service: both clients and the command line against a real server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from memsvc_client import (
    AlreadyExists,
    AsyncMemoryClient,
    InvalidArgument,
    MemoryClient,
    NotFound,
)
from memsvc_client.cli import exits
from memsvc_proto.v1 import feedback_pb2, feedback_pb2_grpc

from tests.e2e_support import environment
from tests.server_support import Served, refused, serving, stub

KEY = "123e4567-e89b-42d3-a456-426614174000"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    """Bank `b` with the documents d0, d1, d2."""
    async with serving(tmp_path) as running:
        await running.create_bank()
        await running.add("The fox is red.", "The whale is blue.", "The bear is brown.")
        yield running


async def test_what_is_said_comes_back(server: Served) -> None:
    def say() -> None:
        with MemoryClient(server.address) as client:
            hits = client.recall("b", "Which animal is red?").hits
            made = client.record_feedback(
                "b",
                "Which animal is red?",
                relevant=[hits[0].document],
                irrelevant=["d2"],
                verdict="RIGHT",
                answer="The fox",
            )
            assert list(client.list_feedback("b")) == [made]
            assert made.relevant == ("banks/b/documents/d0",)
            assert made.irrelevant == ("banks/b/documents/d2",)
            assert (made.verdict, made.answer) == ("RIGHT", "The fox")
            assert made.create_time is not None
            client.delete_feedback("b", made.id)
            assert list(client.list_feedback("b")) == []

    await asyncio.to_thread(say)


async def test_the_asyncio_client_says_the_same(server: Served) -> None:
    async with AsyncMemoryClient(server.address) as client:
        made = [
            await client.record_feedback("b", f"Question {n}?", relevant=["d1"]) for n in range(3)
        ]
        assert [one async for one in client.list_feedback("b", page_size=2)] == made
        await client.delete_feedback("b", made[1].name)
        assert [one async for one in client.list_feedback("b")] == [made[0], made[2]]
        with pytest.raises(NotFound) as caught:
            await client.delete_feedback("b", made[1].id)
        assert caught.value.reason == "FEEDBACK_NOT_FOUND"


async def test_a_repeated_request_is_kept_once(server: Served) -> None:
    async with AsyncMemoryClient(server.address) as client:
        first = await client.record_feedback("b", "Red?", relevant=["d0"], request_id=KEY)
        again = await client.record_feedback("b", "Red?", relevant=["d0"], request_id=KEY)
        assert again == first
        assert [one async for one in client.list_feedback("b")] == [first]
        with pytest.raises(AlreadyExists):
            await client.record_feedback("b", "Blue?", relevant=["d1"], request_id=KEY)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"question": "", "relevant_documents": ["banks/b/documents/d0"]}, "feedback.question"),
        ({"question": "x" * 8193, "verdict": 1}, "feedback.question"),
        ({"question": "Red?"}, "feedback.relevant_documents"),
        ({"question": "Red?", "verdict": 9}, "feedback.verdict"),
        ({"question": "Red?", "answer": "x" * 8193}, "feedback.answer"),
        ({"question": "Red?", "relevant_documents": ["d0"]}, "feedback.relevant_documents[0]"),
        (
            {"question": "Red?", "relevant_documents": ["banks/c/documents/d0"]},
            "feedback.relevant_documents[0]",
        ),
        (
            {
                "question": "Red?",
                "relevant_documents": ["banks/b/documents/d0"],
                "irrelevant_documents": ["banks/b/documents/d0"],
            },
            "feedback.irrelevant_documents",
        ),
        (
            {"question": "Red?", "irrelevant_documents": ["banks/b/documents/d0"] * 257},
            "feedback.irrelevant_documents",
        ),
    ],
)
async def test_what_cannot_be_kept_names_its_field(
    server: Served, said: dict[str, Any], field: str
) -> None:
    feedback: Any = stub(feedback_pb2_grpc.FeedbackServiceStub, server.channel)
    request = feedback_pb2.RecordFeedbackRequest(
        parent="banks/b", feedback=feedback_pb2.Feedback(**said)
    )
    refusal = await refused(feedback.RecordFeedback(request))
    assert refusal.fields == [field]
    listed = await feedback.ListFeedback(feedback_pb2.ListFeedbackRequest(parent="banks/b"))
    assert not listed.feedback


async def test_what_is_not_there_is_not_found(server: Served) -> None:
    async with AsyncMemoryClient(server.address) as client:
        with pytest.raises(NotFound) as document:
            await client.record_feedback("b", "Red?", relevant=["d0", "nobody"])
        assert document.value.reason == "DOCUMENT_NOT_FOUND"
        with pytest.raises(NotFound) as bank:
            await client.record_feedback("none", "Red?", verdict="WRONG")
        assert bank.value.reason == "BANK_NOT_FOUND"
        with pytest.raises(InvalidArgument):
            await client.record_feedback("b", "Red?", relevant="d0")


async def test_feedback_goes_with_its_document(server: Served) -> None:
    async with AsyncMemoryClient(server.address) as client:
        await client.record_feedback("b", "Red?", relevant=["d0"])
        await client.record_feedback("b", "Blue?", relevant=["d1"], irrelevant=["d0"])
        await client.delete_document("b", "d0")
        (left,) = [one async for one in client.list_feedback("b")]
        assert (left.question, left.irrelevant) == ("Blue?", ())


async def test_the_command_line(server: Served) -> None:
    async def memsvc(*arguments: str) -> tuple[int, str]:
        run = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "memsvc_client.cli", "feedback", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **environment(), "MEMSVC_SERVER": server.address},
        )
        return run.returncode, run.stdout + run.stderr

    code, shown = await memsvc(
        "add", "b", "Which is red?", "--relevant", "d0", "--irrelevant", "d1", "--wrong", "--json"
    )
    assert code == exits.OK, shown
    made = json.loads(shown)["data"]
    assert (made["verdict"], made["irrelevant"]) == ("WRONG", ["banks/b/documents/d1"])
    code, shown = await memsvc("list", "b")
    assert code == exits.OK
    assert "Which is red?" in shown
    assert "wrong" in shown
    code, _ = await memsvc("add", "b", "Which is red?", "--relevant", "nobody")
    assert code == exits.NOT_FOUND
    code, shown = await memsvc("delete", "b", made["name"], "--yes", "--json")
    assert code == exits.OK, shown
    assert "Which is red?" not in (await memsvc("list", "b"))[1]
