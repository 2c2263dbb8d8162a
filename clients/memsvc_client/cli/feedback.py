"""`memsvc feedback …`"""

from __future__ import annotations

from typing import Annotated

import typer

from memsvc_client.cli import views
from memsvc_client.cli.session import (
    BankArgument,
    JsonOption,
    LimitOption,
    ServerOption,
    YesOption,
    session,
)
from memsvc_client.resources import Verdict

app = typer.Typer(
    help="Feedback: what was right or wrong about a question, to learn from.",
    no_args_is_help=True,
)


@app.command("add")
def add(
    context: typer.Context,
    bank: BankArgument,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="As it was asked.")],
    relevant: Annotated[
        list[str] | None,
        typer.Option("--relevant", metavar="DOCUMENT", help="It was needed. Repeatable."),
    ] = None,
    irrelevant: Annotated[
        list[str] | None,
        typer.Option("--irrelevant", metavar="DOCUMENT", help="It was of no use. Repeatable."),
    ] = None,
    right: Annotated[
        bool | None, typer.Option("--right/--wrong", help="Whether the answer was right.")
    ] = None,
    answer: Annotated[str, typer.Option("--answer", help="The right answer.")] = "",
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say of a question which documents it needed, and whether the answer was right."""
    verdict: Verdict = "" if right is None else "RIGHT" if right else "WRONG"
    with session(context, server, as_json) as run:
        made = run.client.record_feedback(
            bank,
            question,
            relevant=relevant or (),
            irrelevant=irrelevant or (),
            verdict=verdict,
            answer=answer,
        )
        run.output.result(made, lambda out: out.print(f"{made.id} kept."))


@app.command("list")
def list_some(
    context: typer.Context,
    bank: BankArgument,
    limit: LimitOption = 100,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the feedback of a bank, oldest first."""
    with session(context, server, as_json) as run:
        run.listing(
            lambda size: run.client.list_feedback(bank, page_size=size), limit, views.feedback
        )


@app.command("delete")
def delete(
    context: typer.Context,
    bank: BankArgument,
    feedback: Annotated[list[str], typer.Argument(metavar="FEEDBACK...", help="Their ids.")],
    yes: YesOption = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete feedback; nothing is learned from it any more."""
    with session(context, server, as_json) as run:
        run.confirm(f"Delete {len(feedback)} of the feedback of {bank}?", yes)
        for one in feedback:
            run.client.delete_feedback(bank, one)
        count = len(feedback)
        run.output.result({"deleted": count}, lambda out: out.print(f"{count} deleted."))
