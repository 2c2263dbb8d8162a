"""`memsvc bench recall|answer`: files in, one JSON object or a table out, progress on stderr.

Loaded by every `memsvc` call that may need the server's commands, so what is heavy waits inside
the command.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.cli.progress import Step, Steps
from memsvc_client.cli.session import Defaults
from memsvc_client.errors import Internal

from memsvc.bench.table import report_table

if TYPE_CHECKING:
    from memsvc.bench.banks import Progress
    from memsvc.bench.runner import Report

_NEEDED = ("torch", "transformers", "sqlalchemy", "faiss", "bm25s", "zstandard")

_Passages = Annotated[
    list[Path],
    typer.Option("--passages", help="Passages or conversations, .jsonl or .jsonl.zst; repeatable."),
]
_Questions = Annotated[Path, typer.Option("--questions", help="Questions, .jsonl or .jsonl.zst.")]
_Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only the first N questions (all passages).")
]
_K = Annotated[int, typer.Option("--k", min=1, max=256, help="Documents routed to.")]
_Hops = Annotated[int, typer.Option("--hops", min=1, max=16, help="Rounds of routing and reading.")]
_Path = Annotated[
    Literal["msa", "rag", "bm25"],
    typer.Option("--path", help="The model's routing, MiniLM embeddings, or keywords."),
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the command group. Raises ImportError where `memsvc[server]` is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"memsvc[server] is not installed: {', '.join(missing)}")
    bench = typer.Typer(
        help="Measure on a temporary bank in this process, deleted afterwards.",
        no_args_is_help=True,
    )
    bench.command("recall")(recall)
    bench.command("answer")(answer)
    app.add_typer(bench, name="bench")


def recall(
    context: typer.Context,
    passages: _Passages,
    questions: _Questions,
    limit: _Limit = None,
    k: _K = 16,
    hops: _Hops = 1,
    path: _Path = "msa",
    as_json: _Json = False,
) -> None:
    """How much of each question's evidence is among the first documents found.

    `recall`: mean share of the evidence among the first 1, 2, 5, 10, 16; `all`: share of questions
    with all of it. With several hops, documents read come first. Latency is the question's alone.
    """
    _run(context, _Request(passages, questions, limit, path, k, hops, answers=False), as_json)


def answer(
    context: typer.Context,
    passages: _Passages,
    questions: _Questions,
    limit: _Limit = None,
    k: _K = 16,
    hops: _Hops = 1,
    path: _Path = "msa",
    as_json: _Json = False,
) -> None:
    """Exact match and F1 (SQuAD) of the answers.

    Questions with empty `answers` or `answerable: false` are right when the model abstains.
    `abstained` and `correct` count questions.
    """
    _run(context, _Request(passages, questions, limit, path, k, hops, answers=True), as_json)


@dataclass(frozen=True)
class _Request:
    """What to measure. `answers`: answers, not recall."""

    passages: list[Path]
    questions: Path
    limit: int | None
    path: Literal["msa", "rag", "bm25"]
    k: int
    hops: int
    answers: bool

    async def measure(self, progress: Progress) -> Report:
        """Raises InputError."""
        from memsvc.bench import runner
        from memsvc.bench.readers import read_corpus

        corpus = read_corpus(self.passages, self.questions, self.limit, self.answers)
        settings = runner.Settings(self.path, self.k, self.hops)
        bench = runner.bench_answer if self.answers else runner.bench_recall
        return await bench(corpus, settings, progress)


class _Bars:
    """A bar for each stage that is heard of."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._bars: dict[str, Step] = {}

    def show(self, stage: str, done: int, total: int) -> None:
        if stage not in self._bars:
            self._bars[stage] = self._steps.step(stage, total)
        self._bars[stage].at(done)


def _run(context: typer.Context, request: _Request, as_json: bool) -> None:
    from memsvc.bench.lines import InputError
    from memsvc.engine import EngineError

    before = context.obj.as_json if isinstance(context.obj, Defaults) else False
    output = Output(as_json or before)
    try:
        with Steps(output.err, quiet=False) as steps:
            report = asyncio.run(_until_told(request.measure(_Bars(steps).show)))
    except InputError as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None
    except EngineError as error:  # the model could not be loaded
        output.fail(Internal(str(error)))
        raise typer.Exit(exits.FAULT) from None
    except (asyncio.CancelledError, KeyboardInterrupt):
        output.usage("interrupted")
        raise typer.Exit(exits.INTERRUPTED) from None
    if output.as_json:
        output.envelope(report)
    else:
        output.out.print(report_table(report))


async def _until_told(work: Coroutine[Any, Any, Report]) -> Report:
    """Run `work`; SIGTERM cancels it, so that the temporary bank is deleted then, too."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task
