"""`memsvc bench needles|degrade`: how answers hold as a bank grows.

Loaded by every `memsvc` call that may need the server's commands, so what is heavy waits inside
the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memsvc.bench import options
from memsvc.bench.cli_run import show
from memsvc.bench.terminal import Bars, carry_out, command_line, output_of

if TYPE_CHECKING:
    from memsvc.bench.results import Results

_Tasks = Annotated[
    str,
    typer.Option("--tasks", help="Separated by commas: SA1, SA2, SA3, MK1, MK2, MK3, MV, MQ."),
]
_Samples = Annotated[
    int, typer.Option("--samples", min=1, help="Questions for each task and length.")
]
_Haystack = Annotated[str, typer.Option("--haystack", help="noise, or any text file.")]
_Distractors = Annotated[
    list[Path] | None,
    typer.Option(
        "--haystack",
        help="Prose that the bank grows by, in place of the set's other passages: text files, or "
        ".jsonl or .jsonl.zst with text (and title); repeatable.",
    ),
]
_Lengths = Annotated[str, typer.Option("--lengths", help="Tokens, such as 4k,16k,1m (k: 1024).")]


def needles(
    context: typer.Context,
    lengths: _Lengths = "4k,16k,64k,256k,1m",
    haystack: _Haystack = "noise",
    tasks: _Tasks = "SA1,SA2,SA3,MK1,MK2,MK3,MV,MQ",
    samples: _Samples = 10,
    paths: options.Paths = "msa",
    k: options.K = 16,
    hops: options.Hops = None,
    index: options.Index = "flat",
    embedder: options.Embedder = None,
    reranker: options.Reranker = None,
    out: options.Out = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Needles in a haystack, in the manner of RULER, made on the spot for any length.

    The score (`match`) is RULER's: the share of the values asked for that stand in the answer.
    """

    async def measure(bars: Bars) -> Results:
        from memsvc.bench.needle_run import NeedlePlan, run_needles
        from memsvc.bench.stages import read_lengths

        held_to = options.rules(paths, index, embedder, reranker, k, hops, seed=seed)
        chosen = tuple(task.strip() for task in tasks.split(",") if task.strip())
        plan = NeedlePlan(
            held_to, read_lengths(lengths), command_line(), out, chosen, samples, haystack
        )
        return await run_needles(plan, bars.show)

    output = output_of(context, as_json)
    show(output, carry_out(output, measure))


def degrade(
    context: typer.Context,
    questions: options.Questions,
    passages: options.SomePassages = None,
    haystack: _Distractors = None,
    lengths: _Lengths = "16k,32k,64k,128k,256k,512k,1m",
    paths: options.Paths = "msa,rag,bm25",
    format: options.Format = None,
    limit: options.Limit = 100,
    k: options.K = 16,
    hops: options.Hops = None,
    index: options.Index = "flat",
    embedder: options.Embedder = None,
    reranker: options.Reranker = None,
    out: options.Out = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """The same questions to a bank that grows by distractors: quality against length.

    `f1_drop` is by what share F1 falls from the shortest length that was asked to the longest.
    """

    async def measure(bars: Bars) -> Results:
        from memsvc.bench.degrade import DegradePlan, run_degrade
        from memsvc.bench.formats.choosing import read_set
        from memsvc.bench.prose import read_prose
        from memsvc.bench.stages import read_lengths

        held_to = options.rules(paths, index, embedder, reranker, k, hops, seed=seed)
        files: list[Path] = passages or []
        corpus = read_set(questions, files, format, limit)
        prose = read_prose(haystack or ())
        sizes, title = read_lengths(lengths), questions.name
        plan = DegradePlan(held_to, sizes, command_line(), out, corpus, title, prose)
        return await run_degrade(plan, bars.show)

    output = output_of(context, as_json)
    show(output, carry_out(output, measure))
