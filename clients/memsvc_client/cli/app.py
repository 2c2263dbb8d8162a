"""The command tree of `memsvc`, and the server's commands that join it where they are installed."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated, cast

import typer
from rich.markup import escape

from memsvc_client.cli import (
    banks,
    compare,
    docs,
    exits,
    feedback,
    operations,
    questions,
    sessions,
)
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults
from memsvc_client.mcp import command as mcp
from memsvc_client.proxy import command as proxy
from memsvc_client.transport import DEFAULT_TARGET, DEFAULT_TIMEOUT

ENTRY_POINTS = "memsvc.commands"
_OWN_COMMANDS = (
    "bank",
    "doc",
    "recall",
    "ask",
    "context",
    "compare",
    "report",
    "mcp",
    "proxy",
    "op",
    "feedback",
    "session",
)
SERVER_COMMANDS = ("serve", "doctor", "router", "bench", "model", "train", "train-data")
# Click's own class for wrong arguments; which module holds it differs between typer's versions.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])


def main() -> None:
    """Run the command line; ends the process with an exit code of `exits`."""
    arguments = sys.argv[1:]
    app = build(with_server=_needs_server(arguments))
    if "--json" not in arguments:
        app(prog_name="memsvc")
        return
    # Even wrong arguments answer with the envelope, for who reads stdout by program.
    try:
        code = app(prog_name="memsvc", standalone_mode=False)
    except typer.Abort:
        code = exits.INTERRUPTED
    except _UsageError as error:
        Output(as_json=True).usage(str(error))
        code = exits.USAGE
    sys.exit(code)


def build(*, with_server: bool) -> typer.Typer:
    """The whole tree. `with_server`: look for the server's commands too, which may load a lot."""
    app = typer.Typer(
        name="memsvc",
        help="Agent memory: banks of documents, questioned inside the model.",
        epilog=exits.help_text(),
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
    )
    app.callback()(_root)
    app.add_typer(banks.app, name="bank")
    app.add_typer(docs.app, name="doc")
    app.add_typer(sessions.app, name="session")
    app.command("recall")(questions.recall)
    app.command("ask")(questions.ask)
    app.command("context")(questions.context_block)
    app.command("compare")(compare.compare)
    app.command("report")(compare.report)
    app.add_typer(operations.app, name="op")
    app.add_typer(feedback.app, name="feedback")
    app.command("mcp")(mcp.serve)
    app.command("proxy")(proxy.serve)
    if with_server:
        _join(app)
    return app


def _root(
    context: typer.Context,
    server: Annotated[
        str,
        typer.Option("--server", metavar="HOST:PORT", envvar="MEMSVC_SERVER", help="The server."),
    ] = DEFAULT_TARGET,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar="MEMSVC_API_KEY", help="Better given by environment."),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, help="Seconds for each call.")
    ] = DEFAULT_TIMEOUT,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON envelope on stdout.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(f"memsvc {importlib.metadata.version('memsvc')}")
        raise typer.Exit
    context.obj = Defaults(server, api_key, timeout, as_json)


def _needs_server(arguments: list[str]) -> bool:
    """Whether the server's commands matter: all others must start without loading them."""
    command = next((one for one in arguments if not one.startswith("-")), None)
    if command == "bank" and any(one.partition("=")[0] == "--model" for one in arguments):
        return True
    return command not in _OWN_COMMANDS


def _join(app: typer.Typer) -> None:
    failure = "no such entry point"
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS)):
        try:
            entry.load()(app)
        except ImportError as error:
            failure = str(error)
    present = {one.name for one in app.registered_commands}
    present |= {one.name for one in app.registered_groups}
    for name in SERVER_COMMANDS:
        if name not in present:
            _explain(app, name, failure)


def _explain(app: typer.Typer, name: str, failure: str) -> None:
    """A command that tells how to get the real one."""

    @app.command(
        name,
        help=escape("Needs the server: pip install 'memsvc[server]'"),
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def missing(context: typer.Context) -> None:
        message = f"memsvc {name} needs the server: pip install 'memsvc[server]' ({failure})"
        Output(as_json="--json" in context.args).usage(message)
        raise typer.Exit(exits.FAULT)
