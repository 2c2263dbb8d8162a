"""What every command shares: where the server is, how results are shown, how errors end it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, TypeVar

import typer
from rich.console import RenderableType

from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.client import MemoryClient
from memsvc_client.errors import MemsvcError
from memsvc_client.transport import DEFAULT_TARGET, DEFAULT_TIMEOUT

T = TypeVar("T")

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="HOST:PORT", help="The server (env MEMSVC_SERVER).", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON envelope on stdout.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0: all.")]
BankArgument = Annotated[str, typer.Argument(metavar="BANK", help="Id or name of the bank.")]


@dataclass(frozen=True)
class Defaults:
    """What was given before the command's name."""

    server: str = DEFAULT_TARGET
    api_key: str | None = None
    timeout: float = DEFAULT_TIMEOUT
    as_json: bool = False


@dataclass(frozen=True)
class Session:
    """A client and where to print, for one command."""

    client: MemoryClient
    output: Output

    def confirm(self, question: str, yes: bool) -> None:
        """Ask before something is destroyed; without a terminal only `--yes` will do."""
        if yes:
            return
        if self.output.as_json or not sys.stdin.isatty():
            self.output.usage(f"{question} Say --yes to confirm.")
            raise typer.Exit(exits.USAGE)
        if not typer.confirm(question, err=True):
            self.output.say("Nothing was done.")
            raise typer.Exit(exits.FAULT)

    def listing(
        self,
        items: Callable[[int], Iterable[T]],
        limit: int,
        view: Callable[[list[T]], RenderableType],
    ) -> None:
        """Show at most `limit` of `items(page_size)` (0: all), and say if there are more."""
        # One more than shown tells whether there are more.
        wanted = limit + 1 if limit else None
        found = list(islice(items(min(wanted or 1000, 1000)), wanted))
        shown = found[:limit] if limit else found
        self.output.result(shown, lambda out: out.print(view(shown)))
        if len(found) > len(shown):
            self.output.say(f"There are more than these {limit}; --limit 0 lists all.", "dim")

    def usage(self, message: str) -> typer.Exit:
        """Report wrong arguments; the caller raises what is returned."""
        self.output.usage(message)
        return typer.Exit(exits.USAGE)


@contextmanager
def session(context: typer.Context, server: str | None, as_json: bool) -> Iterator[Session]:
    """A client for the length of a command. Errors are shown and become exit codes."""
    defaults = context.obj if isinstance(context.obj, Defaults) else Defaults()
    output = Output(as_json or defaults.as_json)
    try:
        with MemoryClient(
            server or defaults.server, timeout=defaults.timeout, api_key=defaults.api_key
        ) as client:
            yield Session(client, output)
    except MemsvcError as error:
        output.fail(error)
        raise typer.Exit(exits.of_code(error.code)) from None
    except KeyboardInterrupt:
        output.usage("interrupted") if output.as_json else output.say("interrupted")
        raise typer.Exit(exits.INTERRUPTED) from None
