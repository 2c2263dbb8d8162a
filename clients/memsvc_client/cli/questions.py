"""`memsvc recall`, `memsvc ask`, `memsvc context`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from memsvc_client.cli import views
from memsvc_client.cli.docs import FilterOption
from memsvc_client.cli.output import clean
from memsvc_client.cli.session import BankArgument, JsonOption, ServerOption, Session, session
from memsvc_client.events import AnswerBuilder, AskOptions, Citation, Done, Hop, Recall, Token

QuestionArgument = Annotated[str, typer.Argument(metavar="QUESTION")]
KOption = Annotated[int | None, typer.Option("--k", min=1, help="Documents routed to in a hop.")]
HopsOption = Annotated[int | None, typer.Option("--hops", min=1, help="Rounds of routing.")]
ReadOption = Annotated[
    int | None, typer.Option("--max-documents", min=1, help="Documents read in all.")
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option("--min-confidence", min=0, max=1, help='Below it: "not in memory".'),
]


def recall(
    context: typer.Context,
    bank: BankArgument,
    question: QuestionArgument,
    k: KOption = None,
    hops: HopsOption = None,
    max_documents: ReadOption = None,
    filter: FilterOption = "",
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the documents that a question needs, best first."""
    with session(context, server, as_json) as run:
        options = AskOptions(k, hops, max_documents)
        found = run.client.recall(bank, question, options=options, filter=filter)

        def show(out: Console) -> None:
            _show_recall(out, found)

        run.output.result(found, show)


def _show_recall(out: Console, found: Recall) -> None:
    if not found.hits:
        out.print(Text("not in memory", style="bold yellow"))
        return
    out.print(views.hits(found.hits))
    out.print(views.usage(found.usage))


def ask(
    context: typer.Context,
    bank: BankArgument,
    question: QuestionArgument,
    k: KOption = None,
    hops: HopsOption = None,
    max_documents: ReadOption = None,
    min_confidence: ConfidenceOption = None,
    filter: FilterOption = "",
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from memory: hops as they happen, the answer, and its sources."""
    with session(context, server, as_json) as run:
        options = AskOptions(k, hops, max_documents, min_confidence)
        if run.output.as_json:
            answer = run.client.ask_answer(bank, question, options=options, filter=filter)
            run.output.result(answer, lambda _: None)
        else:
            _stream(run, bank, question, options, filter)


def _stream(run: Session, bank: str, question: str, options: AskOptions, filter: str) -> None:
    out, builder, started = run.output.out, AnswerBuilder(), False
    for event in run.client.ask(bank, question, options=options, filter=filter):
        builder.add(event)
        match event:
            case Hop():
                out.print(views.hop(event))
            case Token():
                out.print(
                    Text(("" if started else "\n") + clean(event.text), style="bold green"), end=""
                )
                started = True
            case Done() if not event.found:
                out.print(Text("\nnot in memory", style="bold yellow"))
            case Done() if not started:
                out.print(Text("\n" + clean(event.answer), style="bold green"))
            case Done():
                out.print()
            case Citation():
                pass  # Shown below the answer they belong to.
    answer = builder.answer()
    out.print()
    for number, one in enumerate(answer.citations, 1):
        out.print(views.citation(one, number))
    out.print(
        Text(f"confidence {answer.confidence:.2f}, ", style="dim") + views.usage(answer.usage)
    )


def context_block(
    context: typer.Context,
    bank: BankArgument,
    query: QuestionArgument,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="The most tokens of the text.")
    ] = 1024,
    k: KOption = None,
    hops: HopsOption = None,
    filter: FilterOption = "",
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print text for any language model's prompt; its sources go to stderr."""
    with session(context, server, as_json) as run:
        options = AskOptions(k, hops)
        built = run.client.build_context(bank, query, max_tokens, options=options, filter=filter)
        # Piped into a prompt, the text must be what the server sent: no wrapping.
        run.output.result(built, lambda out: out.print(clean(built.text), soft_wrap=True))
        if not run.output.as_json:
            for number, one in enumerate(built.citations, 1):
                run.output.say(f"[{number}] {one.document_id}, score {one.score:.4f}", "dim")
            run.output.say(f"{built.tokens:,} tokens", "dim")
