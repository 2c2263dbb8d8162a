"""Which reader a file needs, by what it looks like or by name; and reading with it.

Knows the formats; nothing of engines or terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memsvc.bench.corpus import Corpus
from memsvc.bench.formats import (
    beam,
    beir,
    hotpot,
    locomo,
    longmemeval,
    musique,
    nq,
    nq_open,
    squad,
)
from memsvc.bench.lines import InputError, is_lines, read_document, read_lines
from memsvc.bench.readers import read_corpus

Record = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """`looks`: whether a file's first object is of this format; `alone`: it brings its passages."""

    looks: Callable[[Record], bool]
    read: Callable[[Path, Sequence[Path]], Corpus]
    alone: bool = True


def _has(*fields: str) -> Callable[[Record], bool]:
    return lambda record: all(field in record for field in fields)


def _alone(read: Callable[[Path], Corpus]) -> Callable[[Path, Sequence[Path]], Corpus]:
    return lambda path, _: read(path)


_NEVER: Callable[[Record], bool] = lambda _: False  # noqa: E731 - directories, not objects
_HOTPOT = _has("question", "context", "supporting_facts")

FORMATS: dict[str, Format] = {
    "longmemeval": Format(_has("question_id", "haystack_sessions"), _alone(longmemeval.read)),
    "locomo": Format(_has("conversation", "qa"), _alone(locomo.read)),
    "squad": Format(_has("data"), _alone(squad.read)),
    "musique": Format(_has("question", "paragraphs"), _alone(musique.read)),
    "2wiki": Format(lambda r: _HOTPOT(r) and "evidences" in r, _alone(hotpot.read)),
    "hotpot": Format(_HOTPOT, _alone(hotpot.read)),
    "nq": Format(_has("question_text", "document_text"), _alone(nq.read)),
    "beir": Format(_NEVER, _alone(beir.read)),
    "beam": Format(_NEVER, _alone(beam.read)),
    "memsvc": Format(
        _has("id", "question"), lambda path, passages: read_corpus(passages, path), alone=False
    ),
    "nq-open": Format(_has("question", "answer"), nq_open.read, alone=False),
}


def read_set(
    questions: Path,
    passages: Sequence[Path] = (),
    format: str | None = None,
    limit: int | None = None,
) -> Corpus:
    """Read a set; `limit`: so many of its questions, evenly spread (all passages of the banks that
    they ask).

    Raises InputError: an unknown or undetected format, passages missing or too many, a bad line.
    """
    name = format or detect(questions)
    if name not in FORMATS:
        raise InputError(f"unknown format {name!r}; there are {', '.join(FORMATS)}")
    chosen = FORMATS[name]
    if chosen.alone and passages:
        raise InputError(f"{questions}: {name} brings its own passages; leave out --passages")
    if not chosen.alone and not passages:
        raise InputError(f"{questions}: {name} needs --passages")
    corpus = chosen.read(questions, passages)
    if not corpus.questions:
        raise InputError(f"{questions}: no questions")
    if not any(corpus.banks.values()):
        raise InputError(f"{questions}: no passages")
    return corpus.sample(limit)


def detect(path: Path) -> str:
    """The name of a file's or directory's format. Raises InputError."""
    if path.is_dir():
        if (path / "corpus.jsonl").is_file():
            return "beir"
        if beam.conversations(path):
            return "beam"
        raise InputError(f"{path}: neither a BEIR directory (corpus.jsonl) nor BEAM (chat.json)")
    record = _first(path)
    for name, known in FORMATS.items():
        if known.looks(record):
            return name
    keys = ", ".join(list(record)[:8])
    raise InputError(
        f"{path}: of no known format (its first object has {keys}); name it with --format: "
        f"{', '.join(FORMATS)}"
    )


def _first(path: Path) -> Record:
    """The first object of a file. Raises InputError."""
    if is_lines(path):
        line = next(iter(read_lines(path)), None)
        if line is None:
            raise InputError(f"{path}: no questions")
        return line.record
    document = read_document(path)
    entries = document.record.get("entry")
    if not isinstance(entries, list):
        return document.record
    if not entries:
        raise InputError(f"{path}: no questions")
    return document.parts("entry")[0].record
