"""`memsvc doc forget` and `memsvc doc versions`."""

from __future__ import annotations

from typing import Annotated

import typer

from memsvc_client.cli import session_views
from memsvc_client.cli.session import (
    BankArgument,
    JsonOption,
    LimitOption,
    ServerOption,
    YesOption,
    session,
)
from memsvc_client.session_resources import ForgetReceipt


def forget(
    context: typer.Context,
    bank: BankArgument,
    documents: Annotated[
        list[str] | None, typer.Argument(metavar="DOCUMENT...", help="Ids of documents.")
    ] = None,
    filter: Annotated[
        str | None, typer.Option("--filter", help="All documents that this lets through.")
    ] = None,
    of_session: Annotated[
        str | None, typer.Option("--session", help="This session with all its turns.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="All sessions of this agent.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Return when it is in no file any more.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what would be forgotten.")
    ] = False,
    yes: YesOption = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget documents, sessions or all of an agent, with former versions, and get a receipt."""
    with session(context, server, as_json) as run:

        def call(validate_only: bool) -> ForgetReceipt:
            return run.client.forget_documents(
                bank,
                documents=documents or None,
                filter=filter,
                session=of_session,
                agent=agent,
                compact=compact,
                validate_only=validate_only,
            )

        receipt = call(validate_only=True)
        if not dry_run:
            run.confirm(f"Forget {session_views.counts(receipt)} of {bank}?", yes)
            receipt = call(validate_only=False)
        run.output.result(receipt, lambda out: out.print(session_views.receipt(receipt, dry_run)))


def versions(
    context: typer.Context,
    bank: BankArgument,
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="Id of the document.")],
    limit: LimitOption = 100,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the former titles and texts of a document that were kept, newest first."""
    with session(context, server, as_json) as run:
        run.listing(
            lambda size: run.client.list_document_versions(bank, document, page_size=size),
            limit,
            session_views.versions,
        )
