"""`memsvc compare` and `memsvc report`: paths on the same questions, and a page about it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from memsvc_client.cli import asking, compare_views, exits
from memsvc_client.cli.docs import FilterOption
from memsvc_client.cli.output import Output
from memsvc_client.cli.progress import Steps
from memsvc_client.cli.question_lines import read_questions
from memsvc_client.cli.session import (
    BankArgument,
    Defaults,
    JsonOption,
    ServerOption,
    Session,
    session,
)
from memsvc_client.cli.sources import SourceError
from memsvc_client.comparing import CompareQuestion, CompareSettings, ReportBuilder
from memsvc_client.errors import MemsvcError
from memsvc_client.report import ReportError, load_results, render

RESULTS, PAGE = "results.json", "report.html"

_Questions = Annotated[
    str,
    typer.Option("--questions", metavar="FILE|-", help="JSON lines or plain lines; - reads stdin."),
]
_Paths = Annotated[
    str,
    typer.Option("--paths", metavar="A,B,…", help="msa,rag,hybrid,… ; all of them by default."),
]
_Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help=f"Writes {RESULTS} and {PAGE} there."),
]
_Index = Annotated[str, typer.Option("--index", help="Of vectors: flat, ivf or hnsw.")]
_Embedder = Annotated[
    str,
    typer.Option("--embedder", metavar="DIR|HUB_ID", help="By default the one that ships."),
]
_Reranker = Annotated[
    str, typer.Option("--reranker", metavar="DIR|HUB_ID", help="A cross-encoder, for rag+rerank.")
]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the intervals' random draws.")]
_Title = Annotated[str, typer.Option("--title", help="Of the report.")]


def compare(
    context: typer.Context,
    bank: BankArgument,
    questions: _Questions,
    paths: _Paths = "",
    out: _Out = None,
    k: asking.KOption = None,
    hops: asking.HopsOption = None,
    max_read_tokens: asking.ReadTokensOption = None,
    index: _Index = "",
    embedder: _Embedder = "",
    reranker: _Reranker = "",
    seed: _Seed = 0,
    title: _Title = "",
    filter: FilterOption = "",
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the same questions on several paths: quality with intervals, latency, tokens, bytes."""
    with session(context, server, as_json) as run:
        asked = _prepared(run, questions, out)
        settings = CompareSettings(k, hops, max_read_tokens, index, embedder, reranker, seed)
        chosen = [one.strip() for one in paths.split(",") if one.strip()]
        comparison = _Comparison(run, bank.removeprefix("banks/"), out, title)
        comparison.ask(asked, chosen, settings, filter)


def _prepared(run: Session, questions: str, out: Path | None) -> list[CompareQuestion]:
    """The questions; and that results can be written is known before anything is asked."""
    try:
        asked = read_questions(questions)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
    except SourceError as error:
        raise run.usage(str(error)) from None
    except OSError as error:
        raise run.usage(f"{out}: {error.strerror or error}") from None
    return asked


class _Comparison:
    """One comparison and where it is written, however it ends."""

    def __init__(self, run: Session, bank: str, out: Path | None, title: str) -> None:
        self._run = run
        self._out = out
        self._title = title
        self._builder = ReportBuilder(bank)

    def ask(
        self,
        questions: list[CompareQuestion],
        paths: list[str],
        settings: CompareSettings,
        filter: str,
    ) -> None:
        """Until the end, an interruption or an error; what there is by then is written."""
        output = self._run.output
        try:
            with Steps(output.err, quiet=output.as_json) as bars:
                watcher = compare_views.Watcher(output, bars)
                events = self._run.client.compare(
                    self._builder.bank, questions, paths=paths, settings=settings, filter=filter
                )
                for event in events:
                    self._builder.add(event)
                    watcher.show(event)
        except KeyboardInterrupt:
            self._interrupted()
        except MemsvcError:
            if self._builder.results:
                self._write(self._report())
            raise
        results = self._report()
        self._write(results)
        output.result(results, lambda out: compare_views.show(out, results))

    def _interrupted(self) -> None:
        """Shows and writes what there is, and ends the command."""
        if not self._builder.results:
            raise KeyboardInterrupt
        results = self._report()
        self._write(results)
        self._run.output.partial(
            results, "interrupted", lambda out: compare_views.show(out, results)
        )
        raise typer.Exit(exits.INTERRUPTED)

    def _report(self) -> dict[str, Any]:
        command = shlex.join(["memsvc", *_without_secrets(sys.argv[1:])])
        return self._builder.report(self._title, command)

    def _write(self, results: dict[str, Any]) -> None:
        if self._out is None:
            return
        body = json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False)
        write_whole(self._out / RESULTS, body + "\n")
        write_whole(self._out / PAGE, render(results))
        self._run.output.say(f"written: {self._out / RESULTS} and {self._out / PAGE}")


def report(
    context: typer.Context,
    results: Annotated[Path, typer.Argument(metavar="RESULTS.json", help="Of compare or bench.")],
    output_file: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=f"By default {PAGE} beside the results."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the HTML report of results that `memsvc compare` or `memsvc bench` wrote."""
    defaults = context.obj if isinstance(context.obj, Defaults) else Defaults()
    output = Output(as_json or defaults.as_json)
    target = output_file or results.with_name(PAGE)
    try:
        page = render(load_results(results))
        write_whole(target, page)
    except ReportError as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None
    except OSError as error:
        output.usage(f"{target}: {error.strerror or error}")
        raise typer.Exit(exits.USAGE) from None
    made = {"report": str(target), "bytes": len(page.encode())}
    output.result(made, lambda out: out.print(str(target), soft_wrap=True))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is never there by half. Raises OSError."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _without_secrets(arguments: list[str]) -> list[str]:
    """The command line as it may stand in a file that is passed on."""
    shown: list[str] = []
    for argument in arguments:
        secret = bool(shown) and shown[-1] == "--api-key"
        begins = argument.startswith("--api-key=")
        shown.append("…" if secret else "--api-key=…" if begins else argument)
    return shown
