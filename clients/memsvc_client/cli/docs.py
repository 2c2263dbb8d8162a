"""`memsvc doc list|show|delete`; `add` stands in doc_add, `forget` and `versions` in forgetting."""

from __future__ import annotations

from typing import Annotated

import typer

from memsvc_client.cli import views
from memsvc_client.cli.doc_add import add
from memsvc_client.cli.forgetting import forget, versions
from memsvc_client.cli.output import clean
from memsvc_client.cli.session import (
    BankArgument,
    JsonOption,
    LimitOption,
    ServerOption,
    YesOption,
    session,
)

app = typer.Typer(help="Documents: the texts that a bank remembers.", no_args_is_help=True)
app.command("add")(add)
app.command("forget")(forget)
app.command("versions")(versions)

FilterOption = Annotated[
    str,
    typer.Option(
        "--filter",
        help='For example: metadata.kind = "mail" AND event_time >= "2026-01-01T00:00:00Z"',
    ),
]
DocumentArgument = Annotated[str, typer.Argument(metavar="DOCUMENT", help="Id of the document.")]


@app.command("list")
def list_some(
    context: typer.Context,
    bank: BankArgument,
    filter: FilterOption = "",
    limit: LimitOption = 100,
    with_text: Annotated[bool, typer.Option("--text", help="Texts too, with --json.")] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the documents of a bank, oldest first."""
    with session(context, server, as_json) as run:
        run.listing(
            lambda size: run.client.list_documents(
                bank, filter=filter, with_text=with_text, page_size=size
            ),
            limit,
            views.documents,
        )


@app.command("show")
def show(
    context: typer.Context,
    bank: BankArgument,
    document: DocumentArgument,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one document with its text."""
    with session(context, server, as_json) as run:
        found = run.client.get_document(bank, document)
        run.output.result(
            found, lambda out: out.print(views.document(found), "", clean(found.text), sep="\n")
        )


@app.command("delete")
def delete(
    context: typer.Context,
    bank: BankArgument,
    documents: Annotated[list[str], typer.Argument(metavar="DOCUMENT...", help="Their ids.")],
    yes: YesOption = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete documents; no later question finds them."""
    with session(context, server, as_json) as run:
        names = [run.client.get_document(bank, one).name for one in documents]
        run.confirm(f"Delete {len(names)} of the documents of {bank}?", yes)
        for name in names:
            run.client.delete_document(bank, name)
        run.output.result({"names": names}, lambda out: out.print(f"{len(names)} deleted."))
