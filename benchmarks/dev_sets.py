"""The dev sets one after another, and what came of them beside the bars, as one table.

    python -m benchmarks.dev_sets DATA OUT [--limit N]

DATA holds `SET.questions.jsonl.zst` and `SET.passages.jsonl.zst` (conversations: `SET.jsonl.zst`).
Each set is a `memsvc bench run` of its own in OUT/SET, so the same command goes on where it was
interrupted. Small sets come first. Takes hours on two cores; `--limit` asks N questions of each,
evenly spread over it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATHS = "msa,rag,bm25,hybrid,iterative-rag"
ALONE, REMOVED = "msa, evidence alone", "msa, evidence removed"


@dataclass(frozen=True)
class DevSet:
    """`files`: of passages; `options`: of the command, beside those that all sets share."""

    name: str
    files: tuple[str, ...]
    options: tuple[str, ...] = ()

    def passages(self, data: Path) -> list[Path]:
        """Its files of passages."""
        return [data / f"{name}.jsonl.zst" for name in self.files]

    def questions(self, data: Path) -> Path:
        """Its file of questions."""
        return data / f"{self.name}.questions.jsonl.zst"


@dataclass(frozen=True)
class Bar:
    """At least `least` on `path` (None: no such bar), and as much more than each of `above` as is
    said there."""

    set: str
    metric: str
    least: float | None = None
    above: tuple[tuple[str, float], ...] = ()
    path: str = "msa"


HOPS = ("--hops", "4")
SETS = (
    DevSet("hotpot", ("hotpot.passages",), HOPS),
    DevSet("conversations", ("conversations",)),
    DevSet("musique", ("musique.passages",), HOPS),
    DevSet("2wiki", ("2wiki.passages",), HOPS),
    DevSet("wiki", ("wiki.passages", "2wiki.passages"), ("--controls",)),
)
BARS = (
    Bar("wiki", "recall@1", above=(("rag", 0.08), ("bm25", 0.0))),
    Bar("wiki", "f1", 0.65),
    Bar("wiki", "em", 0.52),
    Bar("wiki", "f1", 0.75, path=ALONE),
    Bar("wiki", "abstention_auroc", 0.80, path=REMOVED),
    Bar("musique", "all@10", 0.60, (("iterative-rag", 0.10),)),
    Bar("2wiki", "all@10", 0.80, (("iterative-rag", 0.10),)),
    Bar("hotpot", "all@10", 0.92),
    Bar("conversations", "recall@10", above=(("rag", 0.05), ("bm25", 0.05))),
)
HEAD = ("set", "measure", "n", "value [95 %]", "bar", "")
Row = tuple[str, ...]


def command(one: DevSet, data: Path, out: Path, limit: int | None) -> list[str]:
    """What measures a set, as it could be typed."""
    passages = [part for path in one.passages(data) for part in ("--passages", str(path))]
    questions = ["--questions", str(one.questions(data))]
    some = [] if limit is None else ["--limit", str(limit)]
    where = ["--paths", PATHS, "--out", str(out / one.name)]
    return ["bench", "run", *questions, *passages, *where, *one.options, *some]


def rows(bar: Bar, results: dict[str, Any] | None) -> Iterator[Row]:
    """A row for each part of a bar; of a set that was not measured, that it was not."""
    paths = {} if results is None else {one["path"]: one for one in results["paths"]}
    found = paths.get(bar.path, {}).get("metrics", {}).get(bar.metric)
    name = bar.metric if bar.path == "msa" else f"{bar.metric} ({bar.path.partition(', ')[2]})"
    if found is None:
        yield bar.set, name, "-", "not measured", "", ""
        return
    count, value = str(found["n"]), _shown(found["mean"], found)
    if bar.least is not None:
        yield bar.set, name, count, value, f">= {bar.least:.2f}", _met(found["mean"], bar.least)
    for path, more in bar.above:
        pair = _pair(results or {}, path, bar.metric)
        if pair is None:
            yield bar.set, name, count, value, f"{path} was not measured", ""
            continue
        theirs = f">= {path} {found['mean'] - pair['difference']:.3f} + {more:.2f}"
        lead = f"{theirs}; leads by {_shown(pair['difference'], pair)}"
        yield bar.set, name, count, value, lead, _met(pair["difference"], more)


def _pair(results: dict[str, Any], path: str, metric: str) -> dict[str, Any] | None:
    same = ("msa", path, metric)
    pairs = (one for one in results["pairs"] if (one["a"], one["b"], one["metric"]) == same)
    return next(pairs, None)


def _shown(mean: float, ends: dict[str, Any]) -> str:
    return f"{mean:.3f} [{ends['low']:.3f}, {ends['high']:.3f}]"


def _met(value: float, least: float) -> str:
    return "met" if value >= least - 1e-9 else "MISSED"


def table(out: Path) -> str:
    """The bars as Markdown, from whatever results there are."""
    lines: list[Sequence[str]] = [HEAD, ["---"] * len(HEAD)]
    for bar in BARS:
        path = out / bar.set / "results.json"
        body = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        lines += rows(bar, body)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was not yet measured, and print the table. Returns the first exit code that is
    not 0; sets that failed do not stop the others, an interrupt does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, help="so many questions of each set, evenly spread")
    parser.add_argument("--sets", default=",".join(one.name for one in SETS))
    given = parser.parse_args(arguments)
    wanted = given.sets.split(",")
    unknown = set(wanted) - {one.name for one in SETS}
    if unknown:
        parser.error(f"no such set: {', '.join(sorted(unknown))}")
    code = 0
    for one in (one for one in SETS if one.name in wanted):
        line = command(one, given.data, given.out, given.limit)
        print("memsvc", *line, file=sys.stderr, flush=True)
        ended = subprocess.run([sys.executable, "-m", "memsvc_client.cli", *line], check=False)
        code = code or ended.returncode
        if ended.returncode in (130, -2):
            break
    print(table(given.out))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
