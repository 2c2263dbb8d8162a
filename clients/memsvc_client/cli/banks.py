"""`memsvc bank …`"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from memsvc_client.cli import exits, views
from memsvc_client.cli.metadata import parse_pairs
from memsvc_client.cli.session import BankArgument, JsonOption, ServerOption, YesOption, session
from memsvc_client.resources import BankEstimate

Estimator = Callable[[str, int, int | None, int | None], BankEstimate]
"""(model, tokens, documents, k). Raises OSError and ValueError for what is no model."""
_offline: Estimator | None = None

app = typer.Typer(help="Banks: the hard boundaries of memory.", no_args_is_help=True)


@app.command("create")
def create(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="Id: a-z, 0-9 and -.")],
    display_name: Annotated[str, typer.Option("--display-name", help="A name for people.")] = "",
    quota_bytes: Annotated[
        int | None, typer.Option("--quota-bytes", min=0, help="The most bytes of text.")
    ] = None,
    pairs: Annotated[
        list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Metadata; repeatable.")
    ] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an empty bank."""
    with session(context, server, as_json) as run:
        made = run.client.create_bank(
            bank,
            display_name=display_name,
            metadata=parse_pairs(run, pairs or []),
            quota_bytes=quota_bytes,
        )
        run.output.result(made, lambda out: out.print(f"{made.name} is there."))


@app.command("list")
def list_all(
    context: typer.Context, server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """List all banks."""
    with session(context, server, as_json) as run:
        banks = list(run.client.list_banks(page_size=1000))
        run.output.result(banks, lambda out: out.print(views.banks(banks)))


@app.command("show")
def show(
    context: typer.Context,
    bank: BankArgument,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one bank with its counters."""
    with session(context, server, as_json) as run:
        found = run.client.get_bank(bank)
        run.output.result(found, lambda out: out.print(views.bank(found)))


@app.command("delete")
def delete(
    context: typer.Context,
    bank: BankArgument,
    yes: YesOption = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a bank with all its documents, for good."""
    with session(context, server, as_json) as run:
        found = run.client.get_bank(bank)
        run.confirm(f"Delete {found.name} with its {found.document_count:,} documents?", yes)
        run.client.delete_bank(bank)
        run.output.result({"name": found.name}, lambda out: out.print(f"{found.name} is gone."))


@app.command("verify")
def verify(
    context: typer.Context,
    bank: BankArgument,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every block against its checksum; corrupt ones are encoded anew from their text."""
    with session(context, server, as_json) as run:
        report = run.client.verify_bank(bank)
        bad = (*report.corrupt_documents, *report.missing_documents)
        summary = f"{report.document_count:,} documents, {report.block_count:,} blocks read"
        if not bad:
            run.output.result(report, lambda out: out.print(f"{summary}, all sound."))
            return
        message = f"{len(bad)} blocks are corrupt or missing; they are encoded anew."
        run.output.partial(report, message, lambda out: out.print("\n".join((summary, *bad))))
        raise typer.Exit(exits.PARTIAL)


@app.command("compact")
def compact(
    context: typer.Context,
    bank: BankArgument,
    min_dead_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Leave files with less dead bytes than this share.")
    ] = 0.0,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Return the space of deleted documents; afterwards their text is nowhere on the disk."""
    with session(context, server, as_json) as run:
        report = run.client.compact_bank(bank, min_dead_fraction=min_dead_fraction)
        line = (
            f"{views.size(report.bytes_before)} → {views.size(report.bytes_after)}, "
            f"{report.segments_before} → {report.segments_after} segments, "
            f"{report.document_count:,} documents moved"
        )
        run.output.result(report, lambda out: out.print(line))


@app.command("estimate")
def estimate(
    context: typer.Context,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Tokens of text in all.")],
    documents: Annotated[
        int | None, typer.Option("--documents", min=1, help="In so many documents; else in one.")
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", metavar="BANK", help="Shaped as in this bank.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Documents routed to; else the model's own.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="DIR|HUB_ID", help="By this model, without a server; slow to load."
        ),
    ] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """What so much text would cost in memory, on disk and in time."""
    with session(context, server, as_json) as run:
        if like is not None and (documents is not None or model is not None):
            raise run.usage("--like stands alone: it needs the server, and knows the documents.")
        if model is None:
            found = run.client.estimate_bank(tokens, document_count=documents, like=like, k=k)
        elif _offline is None:
            raise run.usage("--model needs the server's packages: pip install 'memsvc[server]'")
        else:
            try:
                found = _offline(model, tokens, documents, k)
            except (OSError, ValueError) as error:
                raise run.usage(f"--model: {error}") from None
        run.output.result(found, lambda out: out.print(views.estimate(found)))


def estimate_offline_by(estimator: Estimator) -> None:
    """Let `bank estimate --model` be answered by the server's packages, which register this."""
    global _offline
    _offline = estimator
