"""BEIR: one bank, and graded relevance instead of answers.

Expects an unpacked BEIR archive, such as `scifact/`: `corpus.jsonl` and `queries.jsonl` (`_id`,
`title`, `text`) and `qrels/test.tsv` (query-id, corpus-id, score; `dev.tsv` or another where there
is no test). Queries without a relevant document are not asked. nDCG@10 is BEIR's own measure: ask
with `--k 10` or more.
"""

from __future__ import annotations

from pathlib import Path

from memsvc.bench.corpus import PASSAGES, Corpus, Passage, Question
from memsvc.bench.lines import InputError, Line, read_lines

_SPLITS = ("test", "dev")


def read(folder: Path) -> Corpus:
    """Raises InputError."""
    passages = [_passage(line) for line in read_lines(folder / "corpus.jsonl")]
    grades = _grades(_qrels(folder))
    questions = [
        Question(line.id("_id"), line.text("text"), None, tuple(found), grades=found)
        for line in read_lines(folder / "queries.jsonl")
        if (found := grades.get(line.id("_id")))
    ]
    blank = sum(passage is None for passage in passages)
    told = (f"{blank} documents without any text are not in the bank",) if blank else ()
    return Corpus({PASSAGES: [p for p in passages if p is not None]}, questions, told)


def _passage(line: Line) -> Passage | None:
    title, text = line.text("title", ""), line.text("text", "")
    text = text if text.strip() else title
    return Passage(line.id("_id"), title, text) if text.strip() else None


def _qrels(folder: Path) -> Path:
    files = {path.stem: path for path in sorted((folder / "qrels").glob("*.tsv"))}
    for name in (*_SPLITS, *files):
        if name in files:
            return files[name]
    raise InputError(f"{folder}: no qrels/*.tsv")


def _grades(path: Path) -> dict[str, dict[str, float]]:
    """For each query its relevant documents, the most relevant first."""
    grades: dict[str, dict[str, float]] = {}
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not row.strip() or (number == 1 and row.startswith("query-id")):
            continue
        try:
            query, document, score = row.split("\t")
            grade = float(score)
        except ValueError:
            raise InputError(
                f"{path}:{number}: not three columns, query, document and score, between tabs"
            ) from None
        if grade > 0:
            grades.setdefault(query, {})[document] = grade
    return {query: dict(sorted(g.items(), key=lambda one: -one[1])) for query, g in grades.items()}
