"""`memsvc train --from-bank BANK`: reads the bank, trains, and tells what came of it.

Knows settings, the SDK and how results look; nothing of how a router is tuned.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from memsvc_client import MemoryClient, MemsvcError
from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults

if TYPE_CHECKING:
    from rich.console import Console

    from memsvc.config import ServerConfig
    from memsvc.train.bank import Trained
    from memsvc.train.bank_reading import BankContent


_SHARED = {"steps", "seed", "as_json", "config"}
_OWN = {"from_bank", "store", "server", "held_back", "promote"}

FromBank = Annotated[
    str | None,
    typer.Option("--from-bank", metavar="BANK", help="Learn from a bank, instead of --data."),
]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", metavar="DIR", help="--from-bank: the server's data directory."),
]
ServerOption = Annotated[
    str | None,
    typer.Option("--server", metavar="HOST:PORT", help="--from-bank: who has it open, if any has."),
]
HeldBack = Annotated[
    float,
    typer.Option("--held-back", min=0, max=1, help="--from-bank: documents for judging alone."),
]
Promote = Annotated[
    Literal["if-better", "always", "never"],
    typer.Option("--promote", help="--from-bank: when the new router comes to serve."),
]


def wanted(context: typer.Context, bank: str | None) -> bool:
    """Whether a bank is to be learned from. Raises BadParameter for options of the other way."""
    foreign = context.params.keys() - _SHARED - _OWN if bank is not None else _OWN
    given = {name for name in foreign if _is_given(context, name)}
    names = {one.name: one.opts[0] for one in context.command.params}
    if given and bank is not None:
        raise typer.BadParameter(f"{names[min(given)]}: is of no use with --from-bank")
    if given:
        raise typer.BadParameter(f"{names[min(given)]}: is for --from-bank alone")
    return bank is not None


def train(
    context: typer.Context,
    bank: str | None,
    store: Path | None,
    server: str | None,
    steps: int | None,
    seed: int,
    held_back: float,
    promote: Literal["if-better", "always", "never"],
) -> None:
    """Train, judge and keep a version; ends the command where that cannot be.

    store: the server's data directory, None: as the settings have it; server: HOST:PORT of the
    server that has it open, None: none has.
    """
    assert bank is not None
    from memsvc import config
    from memsvc.train.bank import STEPS, BankTraining, train_from_bank

    defaults = context.obj if isinstance(context.obj, Defaults) else Defaults()
    output = Output(bool(context.params["as_json"]) or defaults.as_json)
    with _refusals(output):
        settings = config.load({"data": store})
        content = _content(settings, bank, server, defaults)
        asked = BankTraining(bank, steps or STEPS, seed, held_back, promote)
        made = train_from_bank(settings, content, asked, output.say)
    output.result(_facts(made), lambda console: _tell(console, made))


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether an option came from the command line or the file of options."""
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")


def _content(
    settings: ServerConfig, bank: str, server: str | None, defaults: Defaults
) -> BankContent:
    from memsvc.train.bank_reading import read_server, read_store

    if server is None:
        url = settings.database_url
        return read_store(bank, settings.data, url.get_secret_value() if url else None)
    with MemoryClient(server, timeout=defaults.timeout, api_key=defaults.api_key) as client:
        return read_server(bank, client)


@contextmanager
def _refusals(output: Output) -> Iterator[None]:
    from memsvc_storage import BankNotFound, StorageError

    try:
        yield
    except MemsvcError as error:
        output.fail(error)
        raise typer.Exit(exits.of_code(error.code)) from None
    except BankNotFound as error:
        output.usage(str(error))
        raise typer.Exit(exits.NOT_FOUND) from None
    except StorageError as error:
        output.usage(str(error))
        raise typer.Exit(exits.REFUSED) from None
    except (OSError, ValueError) as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None


def _facts(made: Trained) -> dict[str, Any]:
    return {
        "version": made.version.number,
        "promoted": made.promoted,
        "reencodes": made.reencodes,
        "parent": made.version.parent,
        **made.version.facts,
    }


def _tell(console: Console, made: Trained) -> None:
    before, after = made.verdict.before, made.verdict.after
    console.print(f"version {made.version.number}, judged by {after.questions} questions")
    for name in ("recall_at_1", "recall_at_10", "mrr"):
        old, new = getattr(before, name), getattr(after, name)
        console.print(f"  {name.replace('_', ' ')}: {old:.3f} before, {new:.3f} after")
    mean, low, high = made.verdict.difference
    console.print(f"  difference of mrr: {mean:+.3f}, 95 % from {low:+.3f} to {high:+.3f}")
    console.print(_outcome(made))


def _outcome(made: Trained) -> str:
    number = made.version.number
    if not made.promoted:
        return f"Not promoted: what serves stays. `memsvc router promote {number}` would do it."
    banks = "banks are encoded anew then" if made.reencodes else "no bank is encoded anew"
    told = f"Promoted: it serves from the server's next start on; {banks}."
    if not made.served:
        told += " But the settings name a model, and that is served: leave it out."
    return told
