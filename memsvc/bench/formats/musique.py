"""MuSiQue: the paragraphs of all questions make one bank.

Expects `musique_ans_v1.0_dev.jsonl` or `musique_full_v1.0_dev.jsonl` (MuSiQue's own repository):
lines with `id`, `question`, `answer`, `answer_aliases`, `answerable` and `paragraphs` (`title`,
`paragraph_text`, `is_supporting`). What cannot be answered from a question's own paragraphs may be
answerable from the whole bank, so such questions are asked, but not scored, and that is told.
"""

from __future__ import annotations

from pathlib import Path

from memsvc.bench.corpus import Corpus, Question
from memsvc.bench.formats.filling import Pool
from memsvc.bench.lines import Line, read_records


def read(path: Path) -> Corpus:
    """Raises InputError."""
    pool = Pool()
    questions = [_question(entry, pool) for entry in read_records(path)]
    unscored = sum(question.answers is None for question in questions)
    told = (
        f"{unscored} questions that their own paragraphs do not answer are not scored: the bank "
        "holds those of all questions"
    )
    return Corpus(pool.banks, questions, (told,) if unscored else ())


def _question(entry: Line, pool: Pool) -> Question:
    evidence = []
    for part in entry.parts("paragraphs"):
        name = pool.put(part.text("title", ""), part.text("paragraph_text"))
        if part.record.get("is_supporting"):
            evidence.append(name)
    answerable = entry.record.get("answerable", True)
    answers = (entry.text("answer"), *entry.texts("answer_aliases")) if answerable else None
    return Question(
        id=entry.id("id"),
        text=entry.text("question"),
        answers=answers,
        evidence=tuple(dict.fromkeys(evidence)) if answerable else (),
    )
