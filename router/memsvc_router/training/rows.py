"""Training sets on disk: passages, and questions with their answers and evidence.

Reads and writes the JSON lines of `docs/training.md`, plain or zstd. Every row is checked as it is
read: a question that cannot teach is found here, with its line, and not as a strange loss later.
Knows nothing of tokens, models or batches.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import zstandard

from memsvc_router.training.lines import InputError, Line, read_lines

DataError = InputError
"""A training file that cannot be used: the message names file and line, what was wrong, what was
expected and what to do."""

_PASSAGES, _QUESTIONS = "passages.jsonl", "questions.jsonl"
_MODES = ("any", "all")
_CURE = "memsvc train-data check --drop-bad OUT writes a copy without such rows"


@dataclass(frozen=True)
class Passage:
    """A text that may be routed to. `title` may be empty."""

    id: str
    dataset: str
    title: str
    text: str


@dataclass(frozen=True)
class Question:
    """What to find and what to answer.

    `evidence`: passage ids in reading order; `every`: each of them is needed, otherwise any will
    do. `router_ok`: the question says enough to find its evidence. `gen_ok`: an answer stands word
    for word (in any case) in the evidence's text.
    """

    id: str
    dataset: str
    question: str
    answers: tuple[str, ...]
    evidence: tuple[str, ...]
    every: bool
    router_ok: bool
    gen_ok: bool
    type: str


_Row = TypeVar("_Row", Passage, Question)


@dataclass(frozen=True)
class TrainingSet:
    """Passages and the questions about them; ids are unique in each, and evidence is there."""

    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]

    def index(self) -> dict[str, int]:
        """The number of each passage, by id."""
        return {passage.id: number for number, passage in enumerate(self.passages)}

    def digest(self) -> str:
        """SHA-256 of all rows in their order: what was derived from them fits only them."""
        found = hashlib.sha256()
        for row in (*self.passages, *self.questions):
            found.update(repr(row).encode())
        return found.hexdigest()


@dataclass(frozen=True)
class Fault:
    """A row that breaks a rule. `kind`: which rule, in a word or two; `problem`: file, line and
    what to do."""

    kind: str
    problem: str


def read_set(folder: Path, strict: bool = True) -> TrainingSet:
    """Read `passages.jsonl[.zst]` and `questions.jsonl[.zst]`.

    Not `strict`: rows that break a rule are left out, and questions whose answer is not in the
    text are kept for routing alone (`gen_ok` turns false).

    Raises DataError: a file missing, damaged or not JSON lines; a row that breaks a rule.
    """
    found, faults = inspect_set(folder)
    if strict and faults:
        more = f" ({len(faults) - 1} more rows break rules)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0].problem}; {_CURE}{more}")
    return found


def inspect_set(folder: Path) -> tuple[TrainingSet, list[Fault]]:
    """What a folder holds as `read_set` gives it when not strict, and every broken rule.

    Raises DataError: a file missing, damaged or not JSON lines.
    """
    faults: list[Fault] = []
    passages: dict[str, Passage] = {}
    for line in read_lines(find_file(folder, _PASSAGES)):
        _keep(line, _passage, passages, faults)
    questions: dict[str, Question] = {}
    for line in read_lines(find_file(folder, _QUESTIONS)):
        question = _keep(line, _question, questions, faults)
        if question is None:
            continue
        fault = _fault(question, passages, line.place)
        if fault is None:
            continue
        faults.append(fault)
        if fault.kind == "answer not in its text" and question.router_ok:
            questions[question.id] = replace(question, gen_ok=False)
        else:
            del questions[question.id]
    return TrainingSet(tuple(passages.values()), tuple(questions.values())), faults


def find_file(folder: Path, name: str) -> Path:
    """A file of a set, plain or compressed. Raises DataError: neither there, or both."""
    there = [path for path in (folder / name, folder / f"{name}.zst") if path.is_file()]
    if not there:
        raise DataError(f"{folder}: holds neither {name} nor {name}.zst; see docs/training.md")
    if len(there) > 1:
        raise DataError(f"{folder}: holds both {name} and {name}.zst; remove the one not meant")
    return there[0]


def holds_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether any answer stands in a text, in upper or lower case."""
    low = text.lower()
    return any(found in low for answer in answers if (found := answer.lower().strip()))


def write_set(folder: Path, found: TrainingSet) -> None:
    """Write both files, compressed; each is there whole or not at all.

    Raises DataError: the disk is full or the folder cannot be written; a plain file of an earlier
    set lies there, which would be read beside the new one.
    """
    plain = [name for name in (_PASSAGES, _QUESTIONS) if (folder / name).exists()]
    if plain:
        raise DataError(f"{folder}: holds {plain[0]} of an earlier set; remove it first")
    written: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in ((_PASSAGES, _passage_rows(found)), (_QUESTIONS, _question_rows(found))):
            target = folder / f"{name}.zst"
            beside = target.with_suffix(f".part-{os.getpid()}")
            written.append((beside, target))
            _write_lines(beside, rows)
        for beside, target in written:
            beside.replace(target)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        for beside, _ in written:
            beside.unlink(missing_ok=True)


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("wb") as raw:
        with zstandard.ZstdCompressor(level=9).stream_writer(raw, closefd=False) as packed:
            for row in rows:
                packed.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        raw.flush()
        os.fsync(raw.fileno())


def _passage_rows(found: TrainingSet) -> Iterator[dict[str, Any]]:
    for one in found.passages:
        yield {"id": one.id, "dataset": one.dataset, "title": one.title, "text": one.text}


def _question_rows(found: TrainingSet) -> Iterator[dict[str, Any]]:
    for one in found.questions:
        yield {
            "id": one.id,
            "dataset": one.dataset,
            "question": one.question,
            "answers": one.answers,
            "evidence": one.evidence,
            "evidence_mode": "all" if one.every else "any",
            "router_ok": one.router_ok,
            "gen_ok": one.gen_ok,
            "type": one.type,
        }


def _keep(
    line: Line, parse: Callable[[Line], _Row], rows: dict[str, _Row], faults: list[Fault]
) -> _Row | None:
    """Parse a row into `rows`; where that cannot be, say so in `faults`."""
    try:
        row = parse(line)
    except DataError as error:
        faults.append(Fault("fields missing or of another type", str(error)))
        return None
    if row.id in rows:
        problem = f"{line.place}: id {row.id!r} was there before; ids must be unique"
        faults.append(Fault("duplicate id", problem))
        return None
    rows[row.id] = row
    return row


def _passage(line: Line) -> Passage:
    title = line.record.get("title") and line.text("title")
    return Passage(line.text("id"), line.text("dataset"), title or "", line.text("text"))


def _question(line: Line) -> Question:
    mode = line.record.get("evidence_mode")
    if mode not in _MODES:
        raise line.error(f'\'evidence_mode\' must be "any" or "all", not {mode!r}')
    return Question(
        id=line.text("id"),
        dataset=line.text("dataset"),
        question=line.text("question"),
        answers=line.texts("answers"),
        evidence=line.texts("evidence"),
        every=mode == "all",
        router_ok=_flag(line, "router_ok"),
        gen_ok=_flag(line, "gen_ok"),
        type=line.text("type", "") if line.record.get("type") else "",
    )


def _flag(line: Line, field: str) -> bool:
    value = line.record.get(field)
    if not isinstance(value, bool):
        raise line.error(f"{field!r} must be true or false")
    return value


def _fault(question: Question, passages: Mapping[str, Passage], place: str) -> Fault | None:
    """The rule that a question breaks together with the passages."""
    if not question.evidence:
        return Fault("no evidence", f"{place}: 'evidence' must name at least one passage")
    unknown: Sequence[str] = [e for e in question.evidence if e not in passages]
    if unknown:
        problem = f"{place}: evidence {unknown[0]!r} is no passage's id; add it to {_PASSAGES}"
        return Fault("unknown evidence", problem)
    texts = (passages[e].text for e in question.evidence)
    if question.gen_ok and not any(holds_answer(text, question.answers) for text in texts):
        problem = (
            f"{place}: 'gen_ok' is true, but none of the answers {list(question.answers)!r:.200} "
            "stands in the evidence's text; correct the answers or set gen_ok to false"
        )
        return Fault("answer not in its text", problem)
    return None
