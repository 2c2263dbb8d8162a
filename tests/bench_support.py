"""Small files for bench tests: a handful of passages, conversations and questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard

PASSAGES: list[dict[str, Any]] = [
    {"id": "p1", "title": "Kettle", "text": "The kettle was painted green by Odile."},
    {"id": "p2", "title": "Odile", "text": "Odile lives in Trondheim with two cats."},
    {"id": "p3", "title": "Harbour", "text": "The harbour froze in the winter of 1902."},
    {"id": "p4", "title": "Violin", "text": "A violin hangs above the old piano."},
]
QUESTIONS: list[dict[str, Any]] = [
    {
        "id": "q1",
        "question": "Who painted the kettle green?",
        "answers": ["The kettle was painted green by Odile", "Odile"],
        "evidence": ["p1"],
    },
    {
        "id": "q2",
        "question": "When froze the harbour?",
        "answers": ["the harbour froze in winter"],
        "evidence": ["p3", "p1"],
    },
    {"id": "q3", "question": "Zzyzx quux?", "answers": [], "evidence": []},
]
CONVERSATIONS: list[dict[str, Any]] = [
    {
        "id": "c1",
        "turns": [
            {"id": "c1-0", "speaker": "ann", "time": "January-05-2024", "text": "I sold the boat."},
            {"id": "c1-1", "speaker": "bob", "time": "", "text": "And the oars?"},
        ],
    },
    {
        "id": "c2",
        "turns": [{"id": "c2-0", "speaker": "eve", "time": "", "text": "I sold the boat, too."}],
    },
]
CONVERSATION_QUESTIONS: list[dict[str, Any]] = [
    {
        "id": "k1",
        "conv": "c1",
        "question": "sold boat",
        "answers": ["I sold the boat."],
        "evidence": ["c1-0"],
    },
    {
        "id": "k2",
        "conv": "c2",
        "question": "oars",
        "answers": ["there is no information"],
        "evidence": [],
        "answerable": False,
    },
]


def write(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    """JSON lines, compressed if the name says so."""
    body = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(zstandard.compress(body) if path.suffix == ".zst" else body)
    return path
