"""NQ-open and other lists of questions with answers alone, over passages in memsvc's own format.

Expects `NQ-open.dev.jsonl` or `NQ-open.efficientqa.dev.1.1.jsonl` (Google's repository of natural
questions): lines with `question` and `answer` (a list). They name no evidence, so there is no
recall; `--passages` gives the memory that is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memsvc.bench.corpus import PASSAGES, Corpus, Question
from memsvc.bench.lines import InputError, read_records
from memsvc.bench.readers import read_passages


def read(path: Path, passages: Sequence[Path]) -> Corpus:
    """Raises InputError."""
    banks = read_passages(passages)
    if PASSAGES not in banks:
        raise InputError(f"{path}: questions of NQ-open need --passages with plain passages")
    questions = [
        Question(f"{path.name}:{number}", entry.text("question"), entry.texts("answer"), ())
        for number, entry in enumerate(read_records(path), 1)
    ]
    return Corpus({PASSAGES: banks[PASSAGES]}, questions)
