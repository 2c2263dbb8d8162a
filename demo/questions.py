"""What the demo asks, and what a right answer looks like. Knows no server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """`expected` must be in the answer (None: the bank holds none); every document in `sources`
    must be cited."""

    text: str
    expected: str | None
    sources: tuple[str, ...] = ()
    remark: str = ""


QUESTIONS = (
    Question("What is the capital of Mongolia?", "Ulaanbaatar", ("factbook-mongolia-capital",)),
    Question(
        "What is the highest point in Tanzania?", "Kilimanjaro", ("factbook-tanzania-elevation",)
    ),
    Question(
        "When did Kenya become independent?", "12 December 1963", ("factbook-kenya-independence",)
    ),
    Question(
        "What did the assignment expression operator become informally known as?",
        "walrus operator",
        ("pep-572-abstract",),
    ),
    Question(
        "Which configuration flag builds CPython without the GIL?",
        "--disable-gil",
        ("pep-703-abstract",),
    ),
    Question(
        "The aircraft registration prefix of a country is TF. What is the capital of that country?",
        "Reykjavik",
        (
            "factbook-iceland-civil-aircraft-registration-country-code",
            "factbook-iceland-capital",
        ),
        "needs two documents: one says which country it is, the other has the answer",
    ),
    Question("What is the boiling point of mercury?", None, (), "the bank holds nothing about it"),
)
FORGOTTEN = Question(
    "What is the highest point of the country whose internet country code is .np?",
    "Mount Everest",
    ("factbook-nepal-internet-country-code", "factbook-nepal-elevation"),
    "the last of its sources will be deleted",
)
