"""Natural Questions, simplified: the outermost long-answer candidates of all pages make one bank.

Expects `v1.0-simplified_nq-dev-all.jsonl` or the simplified training file (Natural Questions' own
site): lines with `question_text`, `document_text`, `long_answer_candidates`, `annotations`,
`example_id`. Short answers and yes/no are what is right; a question that no annotator could answer
from its page is one to abstain from; one with a long answer only is asked, but its answer is not
scored.
"""

from __future__ import annotations

from pathlib import Path

from memsvc.bench.corpus import PASSAGES, Corpus, Passage, Question
from memsvc.bench.lines import Line, read_records


def read(path: Path) -> Corpus:
    """Raises InputError."""
    bank: dict[str, Passage] = {}
    questions = [_question(entry, bank) for entry in read_records(path)]
    return Corpus({PASSAGES: list(bank.values())}, questions)


def _question(entry: Line, bank: dict[str, Passage]) -> Question:
    page = entry.id("document_url", "example_id")
    words = entry.text("document_text").split(" ")
    spans = [_span(part) for part in entry.parts("long_answer_candidates")]
    outermost: dict[tuple[int, int], str] = {}
    for number, (start, end) in enumerate(spans):
        text = _plain(words[start:end])
        if text and not any(a <= start and end <= b for a, b in outermost):
            outermost[start, end] = name = f"{page}#{number}"
            bank[name] = Passage(name, entry.text("document_title", ""), text)
    notes = entry.parts("annotations")
    evidence, answers = [], []
    for note in notes:
        start, end = _span(note.part("long_answer", note.record.get("long_answer")))
        evidence += [name for (a, b), name in outermost.items() if a <= start < end <= b]
        answers += [_plain(words[a:b]) for a, b in map(_span, note.parts("short_answers"))]
        answers += [said for said in [note.text("yes_no_answer", "NONE").lower()] if said != "none"]
    golds = tuple(dict.fromkeys(answer for answer in answers if answer))
    return Question(
        id=entry.id("example_id"),
        text=entry.text("question_text"),
        answers=None if evidence and not golds else golds,
        evidence=tuple(dict.fromkeys(evidence[:1])),  # the annotators' first choice is enough
    )


def _span(part: Line) -> tuple[int, int]:
    match part.record:
        case {"start_token": int(start), "end_token": int(end)}:
            return start, end
        case _:
            raise part.error("'start_token' and 'end_token' must be numbers")


def _plain(words: list[str]) -> str:
    """Without the page's tags."""
    return " ".join(w for w in words if not (w.startswith("<") and w.endswith(">"))).strip()
