"""Hard negatives: passages that look like a question's evidence and are not.

Found by BM25 and by a memory model's own routing, mixed, and kept on disk with the digest of what
they were found from. Knows sets and models; nothing of batches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice, zip_longest
from pathlib import Path

import bm25s

from memsvc_router.api import AskOptions, DocumentText, EncodedDocument, MemoryModel
from memsvc_router.memory import ResidentMemory
from memsvc_router.training.rows import (
    DataError,
    Passage,
    Question,
    TrainingSet,
    holds_answer,
)

_FILE = "negatives.json"
_STOP = "english"
_ENCODED_AT_ONCE = 256


@dataclass(frozen=True)
class MiningOptions:
    """`keep`: negatives of a question, at most. `depth`: how far down a ranking they may come
    from. `alike`: from this share of common words on, a passage is the evidence once more (a
    near-duplicate) and no negative."""

    keep: int = 8
    depth: int = 40
    alike: float = 0.8


def mine_negatives(
    found: TrainingSet,
    options: MiningOptions = MiningOptions(),
    model: MemoryModel | None = None,
) -> list[list[int]]:
    """Numbers of passages for each question, the hardest first: by turns from BM25's ranking and,
    with a model, from its routing. None is evidence, a near-duplicate of it, or holds an answer."""
    texts = [f"{passage.title} {passage.text}" for passage in found.passages]
    asked = [question.question for question in found.questions]
    rankings = [_by_words(texts, asked, options.depth)]
    if model is not None:
        rankings.append(_by_model(found.passages, asked, options.depth, model))
    index = found.index()
    return [
        _fair(question, _mixed(ranked), found, index, options)
        for question, *ranked in zip(found.questions, *rankings, strict=True)
    ]


def save_negatives(
    folder: Path,
    found: TrainingSet,
    mined: Sequence[Sequence[int]],
    options: MiningOptions,
    miner: str,
) -> None:
    """Keep what was mined, with what it was mined from. `miner`: the model's digest, or `bm25`.
    The file is there whole or as it was. Raises DataError: it cannot be written."""
    about = {"set": found.digest(), "options": asdict(options), "miner": miner}
    beside = folder / f"{_FILE}.part-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps({"about": about, "negatives": [list(row) for row in mined]}))
        beside.replace(folder / _FILE)
    except OSError as error:
        raise DataError(f"{folder / _FILE}: cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def load_negatives(folder: Path, found: TrainingSet) -> list[list[int]]:
    """What was mined for this very set, a list for each question.

    Raises DataError: nothing there, damaged, or mined from another set.
    """
    path = folder / _FILE
    try:
        kept = json.loads(path.read_text())
        about, negatives = kept["about"], kept["negatives"]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; run memsvc train-data mine") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: damaged; run memsvc train-data mine again") from None
    if about.get("set") != found.digest() or len(negatives) != len(found.questions):
        raise DataError(f"{path}: mined from another set; run memsvc train-data mine again")
    return [list(map(int, row)) for row in negatives]


def mined_as(folder: Path, found: TrainingSet, options: MiningOptions, miner: str) -> bool:
    """Whether the folder holds what mining this set in this way would give."""
    try:
        load_negatives(folder, found)
        about = json.loads((folder / _FILE).read_text())["about"]
    except DataError:
        return False
    return bool(about == {"set": found.digest(), "options": asdict(options), "miner": miner})


def miner_name(model: MemoryModel | None) -> str:
    """By what a mining's result is known."""
    return "bm25" if model is None else model.identity.digest


def _by_words(texts: Sequence[str], asked: Sequence[str], depth: int) -> list[list[int]]:
    if not asked:
        return []
    index = bm25s.BM25()
    index.index(
        bm25s.tokenize(list(texts), stopwords=_STOP, show_progress=False), show_progress=False
    )
    queries = bm25s.tokenize(list(asked), stopwords=_STOP, show_progress=False)
    ranked, _ = index.retrieve(queries, k=min(depth, len(texts)), show_progress=False)
    found: list[list[int]] = ranked.tolist()
    return found


def _by_model(
    passages: Sequence[Passage], asked: Sequence[str], depth: int, model: MemoryModel
) -> list[list[int]]:
    """What a model routes each question to, asked as it stands."""
    texts = [DocumentText(passage.title, passage.text) for passage in passages]
    names = [str(number) for number in range(len(texts))]
    encoded: list[EncodedDocument] = []
    for at in range(0, len(texts), _ENCODED_AT_ONCE):
        encoded += model.encode(texts[at : at + _ENCODED_AT_ONCE])
    memory = ResidentMemory(names, texts, encoded)
    options = AskOptions(k=depth, max_hops=1)
    return [[int(h.document_id) for h in model.recall(memory, q, options).hits] for q in asked]


def _mixed(rankings: Sequence[Sequence[int]]) -> list[int]:
    """By turns from each ranking, each passage once."""
    turns = zip_longest(*rankings)
    return list(dict.fromkeys(n for turn in turns for n in turn if n is not None))


def _fair(
    question: Question,
    ranked: Sequence[int],
    found: TrainingSet,
    index: dict[str, int],
    options: MiningOptions,
) -> list[int]:
    gold = {index[e] for e in question.evidence}
    bags = [_bag(found.passages[n].text) for n in gold]
    answers = [answer for answer in question.answers if len(answer.strip()) > 1]

    def fair(number: int) -> bool:
        text = found.passages[number].text
        if number in gold or holds_answer(text, answers):
            return False
        bag = _bag(text)
        return all(_overlap(bag, other) < options.alike for other in bags)

    return list(islice(filter(fair, ranked), options.keep))


def _bag(text: str) -> set[str]:
    return set(text.lower().split())


def _overlap(one: set[str], other: set[str]) -> float:
    """The share of the smaller one's words that both have."""
    return len(one & other) / max(1, min(len(one), len(other)))
