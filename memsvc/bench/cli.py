"""`memsvc bench recall|answer|profile`, and the group of all bench commands: files in, figures out.

Loaded by every `memsvc` call that may need the server's commands, so what is heavy waits inside
the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from memsvc.bench import cli_grow, cli_run
from memsvc.bench.options import Hops, Json, K, Limit, Passages
from memsvc.bench.table import report_table
from memsvc.bench.terminal import carry_out, output_of

if TYPE_CHECKING:
    from memsvc.bench.banks import Progress
    from memsvc.bench.runner import Report

_NEEDED = ("torch", "transformers", "sqlalchemy", "faiss", "bm25s", "zstandard")

_Questions = Annotated[Path, typer.Option("--questions", help="Questions, .jsonl or .jsonl.zst.")]
_Path = Annotated[
    Literal["msa", "rag", "bm25"],
    typer.Option("--path", help="The model's routing, MiniLM embeddings, or keywords."),
]


def register(app: typer.Typer) -> None:
    """Add the command group. Raises ImportError where `memsvc[server]` is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"memsvc[server] is not installed: {', '.join(missing)}")
    bench = typer.Typer(
        help="Measure on a temporary bank in this process, deleted afterwards.",
        no_args_is_help=True,
    )
    bench.command("run")(cli_run.run)
    bench.command("needles")(cli_grow.needles)
    bench.command("degrade")(cli_grow.degrade)
    bench.command("recall")(recall)
    bench.command("answer")(answer)
    bench.command("profile")(profile)
    app.add_typer(bench, name="bench")


def recall(
    context: typer.Context,
    passages: Passages,
    questions: _Questions,
    limit: Limit = None,
    k: K = 16,
    hops: Hops = None,
    path: _Path = "msa",
    as_json: Json = False,
) -> None:
    """How much of each question's evidence is among the first documents found.

    `recall`: mean share of the evidence among the first 1, 2, 5, 10, 16; `all`: share of questions
    with all of it. The order is the model's own: what was read has a say in
    it. Latency is the question's alone.
    """
    _run(context, _Request(passages, questions, limit, path, k, hops, "recall"), as_json)


def answer(
    context: typer.Context,
    passages: Passages,
    questions: _Questions,
    limit: Limit = None,
    k: K = 16,
    hops: Hops = None,
    path: _Path = "msa",
    as_json: Json = False,
) -> None:
    """Exact match and F1 (SQuAD) of the answers.

    Questions with empty `answers` or `answerable: false` are right when the model abstains.
    `abstained` and `correct` count questions.
    """
    _run(context, _Request(passages, questions, limit, path, k, hops, "answer"), as_json)


def profile(
    context: typer.Context,
    passages: Passages,
    questions: _Questions,
    limit: Limit = None,
    k: K = 16,
    hops: Hops = None,
    as_json: Json = False,
) -> None:
    """Where the time of an Ask goes: milliseconds by stage, largest first.

    The stages are those of the model that ships; they add up to the latency.
    """
    _run(context, _Request(passages, questions, limit, "msa", k, hops, "profile"), as_json)


@dataclass(frozen=True)
class _Request:
    """What to measure."""

    passages: list[Path]
    questions: Path
    limit: int | None
    path: Literal["msa", "rag", "bm25"]
    k: int
    hops: int | None
    measure_of: Literal["recall", "answer", "profile"]

    async def measure(self, progress: Progress) -> Report:
        """Raises InputError."""
        from memsvc_router.api import AskOptions

        from memsvc.bench import profile, runner
        from memsvc.bench.readers import read_corpus

        answers = self.measure_of != "recall"
        corpus = read_corpus(self.passages, self.questions, self.limit, answers)
        settings = runner.Settings(self.path, self.k, self.hops or AskOptions().max_hops)
        benches = {
            "recall": runner.bench_recall,
            "answer": runner.bench_answer,
            "profile": profile.bench_profile,
        }
        return await benches[self.measure_of](corpus, settings, progress)


def _run(context: typer.Context, request: _Request, as_json: bool) -> None:
    output = output_of(context, as_json)
    report = carry_out(output, lambda bars: request.measure(bars.show))
    if output.as_json:
        output.envelope(report)
    else:
        output.out.print(report_table(report))
