"""Requests of Compare, and a bank to compare on."""

from __future__ import annotations

from typing import Any

from memsvc_proto.v1 import compare_pb2

from tests.server_support import BANK, Served

TEXTS = (
    "The red fox lives in the forest. It hunts mice at night.",
    "The blue whale lives in the ocean. It eats krill.",
    "Paris is the capital of France.",
)
QUESTIONS = (
    compare_pb2.CompareQuestion(
        id="whale",
        text="Where lives the whale?",
        answers=["The blue whale lives in the ocean."],
        evidence=["d1"],
    ),
    compare_pb2.CompareQuestion(
        text="capital of France?", answers=["Berlin"], evidence=["d2", "gone"]
    ),
    compare_pb2.CompareQuestion(text="Quantum chromodynamics?", unanswerable=True),
    compare_pb2.CompareQuestion(text="What hunts mice?"),
)
PATHS = ("msa", "bm25", "files")  # those that load no embedder


def request(**fields: Any) -> compare_pb2.CompareRequest:
    """All questions on the quick paths, unless told otherwise."""
    asked: dict[str, Any] = {"bank": BANK, "questions": QUESTIONS, "paths": PATHS, **fields}
    return compare_pb2.CompareRequest(**asked)


async def events(server: Served, **fields: Any) -> list[compare_pb2.CompareEvent]:
    """All events of a comparison."""
    return [event async for event in server.memory.Compare(request(**fields))]


def of_kind(told: list[compare_pb2.CompareEvent], kind: str) -> list[Any]:
    """The events of one kind."""
    return [getattr(one, kind) for one in told if one.WhichOneof("event") == kind]
