"""`memsvc bench run`: a set to all paths; results.json, a table, and a judge where there is one.

Loaded by every `memsvc` call that may need the server's commands, so what is heavy waits inside
the command.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from memsvc_client.cli import exits
from memsvc_client.cli.output import Output

from memsvc.bench import options
from memsvc.bench.table import results_tables
from memsvc.bench.terminal import Bars, carry_out, command_line, output_of

if TYPE_CHECKING:
    from memsvc.bench.judge import Judge
    from memsvc.bench.results import Results

_JudgeUrl = Annotated[
    str | None,
    typer.Option(
        "--judge-url",
        help="Base of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1; its key "
        "comes from MEMSVC_JUDGE_KEY.",
    ),
]
_Controls = Annotated[
    bool,
    typer.Option(
        "--controls",
        help="Ask msa each question twice more: with nothing but its evidence in memory, and "
        "without it.",
    ),
]
_JudgeModel = Annotated[str | None, typer.Option("--judge-model", help="The judge's model.")]


def run(
    context: typer.Context,
    questions: options.Questions,
    passages: options.SomePassages = None,
    paths: options.Paths = "msa,rag,hybrid,bm25,files",
    format: options.Format = None,
    limit: options.Limit = None,
    k: options.K = 16,
    hops: options.Hops = None,
    max_read_tokens: options.MaxReadTokens = None,
    index: options.Index = "flat",
    embedder: options.Embedder = None,
    reranker: options.Reranker = None,
    out: options.Out = None,
    controls: _Controls = False,
    judge_url: _JudgeUrl = None,
    judge_model: _JudgeModel = None,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Every question of a set to every path over the same bank: the same reader and budgets; what
    differs is how documents are found.

    Means have 95 % bootstrap intervals. With --out, every raw answer is kept as it comes, and the
    same command goes on where it was interrupted. docs/bench.md names the sets that can be read.
    """
    output = output_of(context, as_json)
    judge = _judge(output, judge_url, judge_model, out)

    async def measure(bars: Bars) -> Results:
        from memsvc.bench.formats.choosing import read_set
        from memsvc.bench.running import Run, run_bench

        held_to = options.rules(paths, index, embedder, reranker, k, hops, max_read_tokens, seed)
        corpus = read_set(questions, passages or (), format, limit)
        run = Run(corpus, held_to, questions.name, command_line(), out, controls)
        return await run_bench(run, bars.show)

    results = carry_out(output, measure)
    problem = ""
    if judge is not None and out is not None:
        results, problem = _judged(output, results, judge, out)
    show(output, results)
    if problem:
        output.say(
            f"{problem}; answers and verdicts so far are in {out}, and the same command "
            "goes on with them",
            "bold red",
        )
        raise typer.Exit(exits.FAULT)


def show(output: Output, results: Results) -> None:
    """One JSON object, or tables and warnings."""
    if output.as_json:
        output.envelope(results.to_dict())
        return
    for table in results_tables(results):
        output.out.print(table)
    for one in results.skipped:
        output.say(f"{one.path} was skipped: {one.reason}")
    for warning in results.warnings:
        output.say(f"warning: {warning}")


def _judge(output: Output, url: str | None, model: str | None, out: Path | None) -> Judge | None:
    """Exits where only a part of what a judge needs was given."""
    from memsvc.bench.judge import Judge
    from memsvc.config import judge_key

    if url is None and model is None:
        return None
    if url is None or model is None or out is None:
        output.usage("a judge needs --judge-url, --judge-model and --out")
        raise typer.Exit(exits.USAGE)
    return Judge(url, model, judge_key())


def _judged(output: Output, results: Results, judge: Judge, out: Path) -> tuple[Results, str]:
    """The results with the judge's scores, or as they were and what went wrong."""
    from memsvc.bench.journal import RESULTS, write_json
    from memsvc.bench.judge import JudgeError, judge_results

    try:
        with Bars(output) as bars:
            results = judge_results(
                results, judge, out, lambda done, total: bars.show("judging", done, total)
            )
    except JudgeError as error:
        return results, str(error)
    except KeyboardInterrupt:
        return results, "interrupted"
    write_json(out / RESULTS, results.to_dict())
    return results, ""
