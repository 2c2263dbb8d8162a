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


_TURNS = [
    {"speaker": "Ann", "dia_id": "D1:1", "text": "I sold the boat."},
    {"speaker": "Bob", "dia_id": "D1:2", "text": "Look!", "blip_caption": "two oars"},
]
_HAYSTACK = {
    "haystack_session_ids": ["s1"],
    "haystack_dates": ["2023/05/20 (Sat) 02:21"],
    "haystack_sessions": [
        [
            {"role": "user", "content": "I sold the boat.", "has_answer": True},
            {"role": "assistant", "content": "I see."},
        ]
    ],
    "question": "What did I sell?",
    "answer": "the boat",
}
_HOTPOT = {
    "_id": "h1",
    "question": "Where lives who painted the kettle?",
    "answer": "Trondheim",
    "context": [
        ["Kettle", ["The kettle is green.", " Odile painted it."]],
        ["Odile", ["Odile lives in Trondheim."]],
    ],
    "supporting_facts": [["Kettle", 1], ["Odile", 0]],
}
_MUSIQUE = {
    "id": "m1",
    "question": "Who painted the kettle?",
    "answer": "Odile",
    "answer_aliases": ["O."],
    "answerable": True,
    "paragraphs": [
        {"title": "Kettle", "paragraph_text": "Odile painted it.", "is_supporting": True},
        {"title": "Cats", "paragraph_text": "There are two.", "is_supporting": False},
    ],
}
_NQ = {
    "example_id": 7,
    "question_text": "who painted the kettle",
    "document_text": "<P> Odile painted the kettle </P> <P> It is green </P>",
    "long_answer_candidates": [
        {"start_token": 0, "end_token": 6},
        {"start_token": 1, "end_token": 3},
        {"start_token": 6, "end_token": 11},
    ],
    "annotations": [
        {
            "long_answer": {"start_token": 1, "end_token": 3},
            "short_answers": [{"start_token": 1, "end_token": 2}],
            "yes_no_answer": "NONE",
        }
    ],
}


def _noted(start: int, end: int, said: str) -> dict[str, Any]:
    note = {"long_answer": {"start_token": start, "end_token": end}, "short_answers": []}
    return {**_NQ, "annotations": [{**note, "yes_no_answer": said}]}


SETS: dict[str, Any] = {
    "hotpot": [_HOTPOT],
    "2wiki": [{**_HOTPOT, "evidences": []}],
    "musique": [_MUSIQUE, {**_MUSIQUE, "id": "m2", "answerable": False}],
    "nq": [_NQ, _noted(-1, -1, "NONE"), _noted(6, 11, "YES"), _noted(6, 11, "NONE")],
    "squad": {
        "data": [
            {
                "title": "The_Kettle",
                "paragraphs": [
                    {
                        "context": "Odile painted it.",
                        "qas": [
                            {"id": "s1", "question": "Who?", "answers": [{"text": "Odile"}] * 2},
                            {"id": "s2", "question": "Why?", "is_impossible": True},
                        ],
                    }
                ],
            }
        ]
    },
    "locomo": [
        {
            "sample_id": "conv-1",
            "conversation": {
                "speaker_a": "Ann",
                "session_1_date_time": "1:56 pm on 8 May, 2023",
                "session_1": _TURNS,
            },
            "qa": [
                {"question": "What?", "answer": "the boat", "evidence": ["D1:1; D1:2"]},
                {"question": "Oars?", "adversarial_answer": "x", "category": 5, "evidence": []},
                {"question": "Year?", "answer": 2023, "evidence": ["D1:1"], "category": 2},
            ],
        }
    ],
    "longmemeval": [
        {**_HAYSTACK, "question_id": "l1", "answer_session_ids": ["s1"]},
        {**_HAYSTACK, "question_id": "l2_abs", "answer_session_ids": ["s1"]},
        {**_HAYSTACK, "question_id": "l3", "answer_session_ids": ["s9"]},
    ],
    "beam": (
        [
            {
                "batch_number": 1,
                "time_anchor": "March-15-2024",
                "turns": [
                    [
                        {"role": "user", "id": 7, "content": "My code is cobalt."},
                        {"role": "assistant", "id": 8, "content": "Noted."},
                    ],
                    [{"role": "user", "id": 7, "content": "It is teal now."}],
                ],
            }
        ],
        {
            "information_extraction": [
                {"question": "My code?", "ideal_response": "cobalt", "source_chat_ids": [7]}
            ],
            "knowledge_update": [
                {
                    "question": "My code now?",
                    "answer": "teal",
                    "source_chat_ids": {"old": [7], "new": [8]},
                }
            ],
            "abstention": [{"question": "My age?", "ideal_response": "It was never said."}],
        },
    ),
}
