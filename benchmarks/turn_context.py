"""What a turn's memory should be told of the talk around it: each way against each path.

    python -m benchmarks.turn_context CONVERSATIONS QUESTIONS OUT [--ways alone,spoken] [--turns N]

CONVERSATIONS: JSON lines with `turns` (docs/bench.md). Each turn is a document as a session makes
it, its title by one of the ways of `memsvc.sessions.titles`; the `msa` path is asked up to four
hops. `--turns`: of each conversation only the evidence and so many other turns, drawn by a seed
(all of them take hours on two cores). OUT/WAY keeps raw answers and goes on where it was
interrupted. Prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import cast, get_args

from memsvc.bench.corpus import Corpus, Passage
from memsvc.bench.options import rules
from memsvc.bench.readers import read_corpus
from memsvc.bench.results import Estimate, Results
from memsvc.bench.running import Run, run_bench
from memsvc.sessions.titles import TurnContext, quoting, turn_title

PATHS = "msa,rag,hybrid,bm25"
_HOPS = 4
_METRICS = ("recall@10", "f1", "em")
_NO_TIME = datetime(1, 1, 1, tzinfo=UTC)


def main() -> None:
    """Measure what was not yet measured, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("conversations", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--ways", default=",".join(get_args(TurnContext)))
    parser.add_argument("--paths", default=PATHS)
    parser.add_argument("--turns", type=int)
    given = parser.parse_args()
    corpus = read_corpus([given.conversations], given.questions)
    found = {}
    for way in given.ways.split(","):
        told = thinned(told_in(corpus, cast("TurnContext", way)), given.turns)
        run = Run(
            told, rules(given.paths, max_hops=_HOPS), way, " ".join(sys.argv), given.out / way
        )
        found[way] = asyncio.run(run_bench(run, _say))
    print(table(found))


def told_in(corpus: Corpus, way: TurnContext) -> Corpus:
    """The same conversations, their turns titled one way."""
    banks = {name: list(_titled(turns, way)) for name, turns in corpus.banks.items()}
    return replace(corpus, banks=banks)


def thinned(corpus: Corpus, turns: int | None) -> Corpus:
    """The evidence of all questions, and `turns` others of each conversation; None: all."""
    if turns is None:
        return corpus
    wanted = {one for question in corpus.questions for one in question.evidence}
    banks = {}
    for name, held in corpus.banks.items():
        others = [turn.id for turn in held if turn.id not in wanted]
        kept = wanted | set(Random(f"turns/{name}").sample(others, min(turns, len(others))))
        banks[name] = [turn for turn in held if turn.id in kept]
    return replace(corpus, banks=banks)


def _titled(turns: Sequence[Passage], way: TurnContext) -> Iterator[Passage]:
    before = ""
    for turn in turns:
        role, _, said = turn.text.partition(": ")
        title = turn_title(way, role, turn.event_time or _NO_TIME)
        if way == "neighboured":
            title = quoting(title, before)
        yield replace(turn, title=title, text=said or role)
        before = said


def table(found: dict[str, Results]) -> str:
    """Markdown: a row for each way and path, means with 95 % intervals."""
    lines = ["| way | path | " + " | ".join(_METRICS) + " |", "|---" * (2 + len(_METRICS)) + "|"]
    for way, results in found.items():
        for path in results.paths:
            cells = (_shown(path.metrics.get(name)) for name in _METRICS)
            lines.append(f"| {way} | {path.path} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(one: Estimate | None) -> str:
    return "-" if one is None else f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _say(what: str, done: int, total: int) -> None:
    if done == total or not done % 20:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
