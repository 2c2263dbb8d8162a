"""`memsvc recall`, `memsvc ask`, `memsvc context`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from memsvc_client.cli import asking, views
from memsvc_client.cli.docs import FilterOption
from memsvc_client.cli.output import clean
from memsvc_client.cli.session import BankArgument, JsonOption, ServerOption, session
from memsvc_client.events import (
    AnswerBuilder,
    AskOptions,
    Citation,
    Done,
    Event,
    Hop,
    Recall,
    Sampling,
    Token,
)

QuestionArgument = Annotated[str, typer.Argument(metavar="QUESTION")]


def recall(
    context: typer.Context,
    bank: BankArgument,
    question: QuestionArgument,
    k: asking.KOption = None,
    hops: asking.HopsOption = None,
    max_documents: asking.DocumentsOption = None,
    max_read_tokens: asking.ReadTokensOption = None,
    max_seconds: asking.SecondsOption = None,
    exact: asking.ExactOption = False,
    max_tokens: asking.MaxTokensOption = None,
    temperature: asking.TemperatureOption = None,
    top_p: asking.TopPOption = None,
    top_k: asking.TopKOption = None,
    seed: asking.SeedOption = None,
    stop: asking.StopOption = None,
    trace: asking.TraceOption = False,
    filter: FilterOption = "",
    as_of: asking.AsOfOption = None,
    recency_days: asking.RecencyOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the documents that a question needs, best first."""
    with session(context, server, as_json) as run:
        sampling = Sampling(max_tokens, temperature, top_p, top_k, seed, stop or ())
        budgets = (k, hops, max_documents, None, max_read_tokens, max_seconds)
        options = AskOptions(*budgets, sampling, exact)
        recency = asking.recency(recency_days)
        found = run.client.recall(
            bank, question, options=options, filter=filter, as_of=as_of, recency=recency
        )
        run.output.result(found, lambda out: show_recall(out, found, trace))


def show_recall(out: Console, found: Recall, trace: bool) -> None:
    """Hits as a table, or that there are none; `trace`: the hops before it."""
    for hop in found.hops if trace else ():
        out.print(views.hop(hop, trace))
    if not found.hits:
        out.print(Text("not in memory", style="bold yellow"))
        return
    out.print(views.hits(found.hits))
    out.print(views.usage(found.usage))


def ask(
    context: typer.Context,
    bank: BankArgument,
    question: QuestionArgument,
    k: asking.KOption = None,
    hops: asking.HopsOption = None,
    max_documents: asking.DocumentsOption = None,
    min_confidence: asking.ConfidenceOption = None,
    max_read_tokens: asking.ReadTokensOption = None,
    max_seconds: asking.SecondsOption = None,
    exact: asking.ExactOption = False,
    max_tokens: asking.MaxTokensOption = None,
    temperature: asking.TemperatureOption = None,
    top_p: asking.TopPOption = None,
    top_k: asking.TopKOption = None,
    seed: asking.SeedOption = None,
    stop: asking.StopOption = None,
    trace: asking.TraceOption = False,
    filter: FilterOption = "",
    as_of: asking.AsOfOption = None,
    recency_days: asking.RecencyOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from memory: hops as they happen, the answer, and its sources."""
    with session(context, server, as_json) as run:
        sampling = Sampling(max_tokens, temperature, top_p, top_k, seed, stop or ())
        budgets = (k, hops, max_documents, min_confidence, max_read_tokens, max_seconds)
        options = AskOptions(*budgets, sampling, exact)
        recency = asking.recency(recency_days)
        if run.output.as_json:
            answer = run.client.ask_answer(
                bank, question, options=options, filter=filter, as_of=as_of, recency=recency
            )
            run.output.result(answer, lambda _: None)
        else:
            events = run.client.ask(
                bank, question, options=options, filter=filter, as_of=as_of, recency=recency
            )
            _show_answer(run.output.out, events, trace)


def _show_answer(out: Console, events: Iterable[Event], trace: bool) -> None:
    builder, started = AnswerBuilder(), False
    for event in events:
        builder.add(event)
        match event:
            case Hop():
                out.print(views.hop(event, trace))
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
    k: asking.KOption = None,
    hops: asking.HopsOption = None,
    exact: asking.ExactOption = False,
    filter: FilterOption = "",
    as_of: asking.AsOfOption = None,
    recency_days: asking.RecencyOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print text for any language model's prompt; its sources go to stderr."""
    with session(context, server, as_json) as run:
        options = AskOptions(k, hops, exact=exact)
        recency = asking.recency(recency_days)
        built = run.client.build_context(
            bank, query, max_tokens, options=options, filter=filter, as_of=as_of, recency=recency
        )
        # Piped into a prompt, the text must be what the server sent: no wrapping.
        run.output.result(built, lambda out: out.print(clean(built.text), soft_wrap=True))
        if not run.output.as_json:
            for number, one in enumerate(built.citations, 1):
                run.output.say(f"[{number}] {one.document_id}, score {one.score:.4f}", "dim")
            run.output.say(f"{built.tokens:,} tokens", "dim")
