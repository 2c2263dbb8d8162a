"""`memsvc session recall` and `memsvc session context`."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from memsvc_client.cli import asking
from memsvc_client.cli.docs import FilterOption
from memsvc_client.cli.output import clean
from memsvc_client.cli.questions import QuestionArgument, show_recall
from memsvc_client.cli.session import BankArgument, JsonOption, ServerOption, session
from memsvc_client.cli.views import moment
from memsvc_client.events import AskOptions
from memsvc_client.names import last_id
from memsvc_client.session_resources import Memory, Scope

SessionArgument = Annotated[str, typer.Argument(metavar="SESSION", help="Id of the session.")]
ScopeOption = Annotated[
    str | None,
    typer.Option("--scope", help="session, other_sessions, agent (the default) or bank."),
]


def recall(
    context: typer.Context,
    bank: BankArgument,
    name: SessionArgument,
    question: QuestionArgument,
    scope: ScopeOption = None,
    k: asking.KOption = None,
    hops: asking.HopsOption = None,
    max_documents: asking.DocumentsOption = None,
    max_read_tokens: asking.ReadTokensOption = None,
    max_seconds: asking.SecondsOption = None,
    exact: asking.ExactOption = False,
    trace: asking.TraceOption = False,
    filter: FilterOption = "",
    as_of: asking.AsOfOption = None,
    recency_days: asking.RecencyOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the turns and documents that a question needs, best first."""
    with session(context, server, as_json) as run:
        budgets = (k, hops, max_documents, None, max_read_tokens, max_seconds)
        found = run.client.recall_in_session(
            bank,
            name,
            question,
            scope=cast("Scope | None", scope),
            options=AskOptions(*budgets, exact=exact),
            filter=filter,
            as_of=as_of,
            recency=asking.recency(recency_days),
        )
        run.output.result(found, lambda out: show_recall(out, found, trace))


def context_block(
    context: typer.Context,
    bank: BankArgument,
    name: SessionArgument,
    query: Annotated[
        str, typer.Option("--query", help="What to be reminded of; else the last turn.")
    ] = "",
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, help="The most tokens of the text.")
    ] = 1024,
    tokenizer: Annotated[
        str,
        typer.Option("--tokenizer", help="Whose tokens: one of the server's, or `characters`."),
    ] = "",
    scope: ScopeOption = None,
    recent_turns: Annotated[
        int | None, typer.Option("--recent-turns", min=0, help="Last turns, word for word.")
    ] = None,
    recent_share: Annotated[
        float | None,
        typer.Option("--recent-share", min=0, max=1, help="Of the budget, for the last turns."),
    ] = None,
    template: Annotated[
        str, typer.Option("--template", help="Holds {memories} and {recent}.")
    ] = "",
    k: asking.KOption = None,
    hops: asking.HopsOption = None,
    exact: asking.ExactOption = False,
    filter: FilterOption = "",
    as_of: asking.AsOfOption = None,
    recency_days: asking.RecencyOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print memories and the last turns as text for a prompt; its sources go to stderr."""
    with session(context, server, as_json) as run:
        built = run.client.build_session_context(
            bank,
            name,
            max_tokens,
            query=query,
            tokenizer=tokenizer,
            scope=cast("Scope | None", scope),
            recent_turns=recent_turns,
            recent_share=recent_share,
            template=template,
            options=AskOptions(k, hops, exact=exact),
            filter=filter,
            as_of=as_of,
            recency=asking.recency(recency_days),
        )
        # Piped into a prompt, the text must be what the server sent: no wrapping.
        run.output.result(built, lambda out: out.print(clean(built.text), soft_wrap=True))
        if not run.output.as_json:
            for number, one in enumerate(built.memories, 1):
                run.output.say(f"[{number}] {_source(one)}", "dim")
            summary = f"{built.tokens:,} tokens, {len(built.recent)} of the last turns"
            run.output.say(summary, "dim")


def _source(one: Memory) -> str:
    said = f", {one.role} in {last_id(one.session)}" if one.session else ""
    when = f", {moment(one.time)}" if one.time else ""
    return f"{one.citation.document_id}{said}{when}, score {one.citation.score:.4f}"
