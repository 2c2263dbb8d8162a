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
    Question("What is the highest point in Bolivia?", "Sajama", ("factbook-bolivia-elevation",)),
    Question(
        "When did Kenya become independent?", "12 December 1963", ("factbook-kenya-independence",)
    ),
    Question(
        "What is the informal name of the assignment operator in assignment expressions?",
        "walrus operator",
        ("pep-572-abstract",),
    ),
    Question(
        "In the country whose aircraft registration prefix is OB, what is the highest point?",
        "Huascaran",
        (
            "factbook-peru-civil-aircraft-registration-country-code",
            "factbook-peru-elevation",
        ),
        "needs two documents: one says which country it is, the other has the answer",
    ),
    Question(
        "Who won the football world cup in 1998?", None, (), "the bank holds nothing about it"
    ),
)
FORGOTTEN = Question(
    "What is the national symbol of Bhutan?",
    "thunder dragon",
    ("factbook-bhutan-national-symbol-s",),
)
