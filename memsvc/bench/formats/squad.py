"""SQuAD 1.1 and 2.0, and other sets in their form: all paragraphs make one bank.

Expects `dev-v1.1.json` or `dev-v2.0.json` (SQuAD's own site): an object with `data`, a list of
articles (`title`, `paragraphs` with `context` and `qas`). Where `is_impossible` is true the right
thing is to abstain.
"""

from __future__ import annotations

from pathlib import Path

from memsvc.bench.corpus import Corpus, Question
from memsvc.bench.formats.filling import Pool
from memsvc.bench.lines import Line, read_document


def read(path: Path) -> Corpus:
    """Raises InputError."""
    pool = Pool()
    questions: list[Question] = []
    for article in read_document(path).parts("data"):
        title = article.text("title", "").replace("_", " ")
        for paragraph in article.parts("paragraphs"):
            name = pool.put(title, paragraph.text("context"))
            questions += [_question(part, name) for part in paragraph.parts("qas")]
    return Corpus(pool.banks, questions)


def _question(part: Line, passage: str) -> Question:
    impossible = part.record.get("is_impossible", False)
    answers = [] if impossible else [answer.text("text") for answer in part.parts("answers")]
    return Question(
        id=part.id("id"),
        text=part.text("question"),
        answers=tuple(dict.fromkeys(answers)),
        evidence=() if impossible else (passage,),
    )
