"""What 8 bits at rest cost: the same questions over blocks as the model made them, and as they come
back from where they rest.

    python -m benchmarks.rest_precision --data DIR [--sets wiki,musique] [--limit 400]

DIR holds the dev sets as `benchmarks.dev_sets` reads them. Passages are encoded once, in this
process, by the default model. Made: content and routing keys in fp16, every key compared. At rest:
content of 8 bits; keys scanned at 8 bits, the best documents scored again at 12, as a live bank
does it. Everything else is the same. Differences are at rest less made, with 95 % bootstrap
intervals over questions. JSON on stdout, a table on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from memsvc_kernels import codes_of, route_codes
from memsvc_router import ResidentMemory, SmallMemoryModel, load_default_model
from memsvc_router.api import (
    ROUTING,
    AskOptions,
    DocumentText,
    EncodedDocument,
    MemoryView,
    Routes,
    content_name,
)
from numpy.typing import NDArray

from benchmarks.dev_sets import SETS, DevSet
from memsvc.bench import machine
from memsvc.bench.contest import facts
from memsvc.bench.corpus import Corpus, Question
from memsvc.bench.readers import read_corpus
from memsvc.bench.results import QuestionResult, pairs, summarise
from memsvc.engine.rest import FINER, at_rest, restored, scale_name

_MEASURES = ("recall@1", "recall@10", "f1", "em")
_MOST = 0.005  # that may be lost of a measure
_OPTIONS = AskOptions(k=16)
_HEAD = ("set", "measure", "n", "made", "at rest", "difference [95 %]", "p", "")
Report = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure sets one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(one.name for one in SETS))
    parser.add_argument("--limit", type=int, help="so many questions of each, evenly spread")
    given = parser.parse_args(arguments)
    by_name = {one.name: one for one in SETS}
    if unknown := set(given.sets.split(",")) - set(by_name):
        parser.error(f"no such set: {', '.join(sorted(unknown))}")
    model, reports = load_default_model(), []
    print(_line(_HEAD) + "\n" + _line(["---"] * len(_HEAD)), file=sys.stderr)
    for name in given.sets.split(","):
        reports.append(measured(model, by_name[name], given.data, given.limit))
        for row in reports[-1]["measures"]:
            print(_line([name, *_cells(row)]), file=sys.stderr, flush=True)
    body = {"machine": {**machine.facts(), "time": machine.now()}, "sets": reports}
    print(json.dumps(body, indent=1, allow_nan=False))


def measured(model: SmallMemoryModel, one: DevSet, data: Path, limit: int | None) -> Report:
    """Figures of one set. Raises InputError."""
    corpus = read_corpus(one.passages(data), one.questions(data), limit)
    rest, made = asked(model, corpus)
    paths = [summarise(*own, {"k": _OPTIONS.k}) for own in (("at rest", rest), ("made", made))]
    measures = [
        {
            "measure": pair.metric,
            "n": paths[0].metrics[pair.metric].n,
            "made": paths[1].metrics[pair.metric].mean,
            "at_rest": paths[0].metrics[pair.metric].mean,
            "difference": pair.difference,
            "low": pair.low,
            "high": pair.high,
            "p": pair.p,
            "met": pair.difference >= -_MOST,
        }
        for pair in pairs(paths)
        if pair.metric in _MEASURES
    ]
    return {
        "set": one.name,
        "questions": len(made),
        "passages": sum(len(bank) for bank in corpus.banks.values()),
        "other_answers": sum(a.answer != b.answer for a, b in zip(rest, made, strict=True)),
        "measures": measures,
    }


def asked(
    model: SmallMemoryModel, corpus: Corpus
) -> tuple[list[QuestionResult], list[QuestionResult]]:
    """What came of every question at rest, and over blocks as they were made."""
    rest: list[QuestionResult] = []
    made: list[QuestionResult] = []
    for bank, passages in corpus.banks.items():
        texts = [DocumentText(passage.title, passage.text) for passage in passages]
        held = ([passage.id for passage in passages], texts, model.encode(texts))
        views = ((Rested(*held), rest), (ResidentMemory(*held), made))
        for question in corpus.asked(bank):
            for view, told in views:
                told.append(_ask(model, view, question))
    return rest, made


def _ask(model: SmallMemoryModel, view: MemoryView, question: Question) -> QuestionResult:
    began = time.perf_counter()
    events = list(model.ask(view, question.text, _OPTIONS))
    spent = 1e3 * (time.perf_counter() - began)
    return facts(question, events, _OPTIONS.max_hops, spent)


class Rested(ResidentMemory):
    """A bank of blocks as they are stored."""

    def __init__(
        self,
        names: Sequence[str],
        texts: Sequence[DocumentText],
        encoded: Sequence[EncodedDocument],
    ) -> None:
        super().__init__(names, texts, encoded)
        self._stored: list[Mapping[str, NDArray[Any]]] = [at_rest(one).tensors for one in encoded]
        near = (ROUTING, scale_name(ROUTING), FINER)
        self._codes = codes_of(*(np.concatenate([b[one] for b in self._stored]) for one in near))

    def route(self, queries: NDArray[np.float32], k: int) -> Routes:
        """By codes, as `BankView.route`."""
        return self._counted(*route_codes(queries, self._codes, self._document_of_chunk, None, k))

    def content(self, handles: Sequence[int], layer: int = 0) -> list[NDArray[np.floating]]:
        """From 8 bits, as `Banks.content`."""
        return [restored(self._stored[handle], content_name(layer)) for handle in handles]


def _cells(row: Report) -> list[str]:
    difference = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    means = (f"{row[name]:.4f}" for name in ("made", "at_rest"))
    met = "met" if row["met"] else "MISSED"
    return [row["measure"], str(row["n"]), *means, difference, f"{row['p']:.3f}", met]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
