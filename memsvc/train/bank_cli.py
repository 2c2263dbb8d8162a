"""`memsvc train --from-bank BANK`: reads the bank, trains, and tells what came of it.

Knows settings, the SDK and how results look; nothing of how a router is tuned.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from memsvc_client import MemoryClient, MemsvcError
from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults

if TYPE_CHECKING:
    from rich.console import Console

    from memsvc.config import ServerConfig
    from memsvc.train.bank import BankTraining, Trained
    from memsvc.train.bank_reading import BankContent


def from_bank(
    context: typer.Context,
    store: Path | None,
    server: str | None,
    wanted: BankTraining,
    as_json: bool,
) -> None:
    """Train, judge and keep a version; ends the command where that cannot be.

    store: the server's data directory, None: as the settings have it; server: HOST:PORT of the
    server that has it open, None: none has.
    """
    from memsvc import config
    from memsvc.train.bank import train_from_bank

    defaults = context.obj if isinstance(context.obj, Defaults) else Defaults()
    output = Output(as_json or defaults.as_json)
    with _refusals(output):
        settings = config.load({"data": store})
        content = _content(settings, wanted.bank, server, defaults)
        made = train_from_bank(settings, content, wanted, output.say)
    output.result(_facts(made), lambda console: _tell(console, made))


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
