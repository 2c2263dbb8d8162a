"""The commands that need the server's packages: `memsvc serve`, `doctor` and `router`.

They join the CLI through the entry-point group `memsvc.commands`. What is heavy is imported by
the command that needs it, because every `memsvc` call loads this module.
"""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from memsvc_client.cli import banks, exits
from memsvc_client.cli.output import Output

from memsvc import router_cli
from memsvc.estimating import estimate_offline

if TYPE_CHECKING:
    from rich.console import Console

    from memsvc.config import ServerConfig

_NEEDED = ("torch", "transformers", "sqlalchemy", "pydantic_settings", "lark", "prometheus_client")

_Model = Annotated[
    str | None,
    typer.Option("--model", metavar="DIR|HUB_ID", help="The model; by default the one that ships."),
]
_Previous = Annotated[
    str | None,
    typer.Option(
        "--previous-model",
        metavar="DIR|HUB_ID",
        help="Serves the banks that it encoded, until --model has encoded them anew.",
    ),
]
_Data = Annotated[Path | None, typer.Option("--data", help="Directory of database and blocks.")]
_Listen = Annotated[str | None, typer.Option("--listen", help="HOST:PORT; port 0 picks one.")]
_Config = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
_Database = Annotated[
    str | None,
    typer.Option("--database-url", help="postgresql+psycopg://… (better: MEMSVC_DATABASE_URL)."),
]
_Metrics = Annotated[
    str | None, typer.Option("--metrics-listen", help="Loopback HOST:PORT of Prometheus metrics.")
]
_Level = Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands. Raises ImportError where `memsvc[server]` is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(f"memsvc[server] is not installed: {', '.join(missing)}")
    app.command("serve")(serve)
    app.command("doctor")(doctor)
    router_cli.register(app)
    banks.estimate_offline_by(estimate_offline)


def serve(
    data: _Data = None,
    listen: _Listen = None,
    config: _Config = None,
    model: _Model = None,
    previous_model: _Previous = None,
    database_url: _Database = None,
    metrics_listen: _Metrics = None,
    log_level: _Level = None,
) -> None:
    """Serve memory over gRPC until SIGTERM.

    Prints `memsvc ready on HOST:PORT` once calls are taken; health turns SERVING when the model
    is loaded. Logs are JSON lines on stderr.
    """
    output = Output(as_json=False)
    settings = _load(
        output,
        config,
        data=data,
        listen=listen,
        model=model,
        previous_model=previous_model,
        database_url=database_url,
        metrics_listen=metrics_listen,
        log_level=log_level,
    )
    from memsvc_router import load_model
    from memsvc_storage import StorageError
    from sqlalchemy.exc import OperationalError

    from memsvc import telemetry
    from memsvc.serve import serve as run

    telemetry.configure_logging(settings.log_level)
    try:
        asyncio.run(run(settings, load_model, _announce))
    except (OSError, StorageError) as error:
        output.usage(f"memsvc serve: {error}")
        _leave(exits.FAULT)
    except OperationalError as error:
        # The driver's own words; SQLAlchemy's add the statement with its values.
        output.usage(f"memsvc serve: the database fails: {str(error.orig).strip()}")
        _leave(exits.FAULT)
    _leave(exits.OK)


def doctor(
    context: typer.Context,
    data: _Data = None,
    listen: _Listen = None,
    config: _Config = None,
    model: _Model = None,
    database_url: _Database = None,
    as_json: _Json = False,
) -> None:
    """Look whether this machine can serve: settings, disk, store, address, model."""
    # `--json` may stand before the command, too.
    output = Output(as_json or bool(getattr(context.obj, "as_json", False)))
    settings = _load(
        output, config, data=data, listen=listen, model=model, database_url=database_url
    )
    from memsvc.doctor import examine

    verdicts = examine(settings)
    findings = {"checks": verdicts}

    def show(console: Console) -> None:
        for verdict in verdicts:
            console.print(f"{'ok  ' if verdict.ok else 'FAIL'}  {verdict.name}: {verdict.detail}")

    sick = [verdict.name for verdict in verdicts if not verdict.ok]
    if sick:
        output.partial(findings, f"This machine cannot serve: {', '.join(sick)}.", show)
        raise typer.Exit(exits.FAULT)
    output.result(findings, show)


def _load(output: Output, config_file: Path | None, **flags: object) -> ServerConfig:
    from memsvc import config

    try:
        return config.load(flags, config_file)
    except config.ConfigError as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None


def _leave(code: int) -> NoReturn:
    """End the process at once: all that must last is on disk by now.

    The model's thread may still be inside a forward pass that cannot be interrupted, and Python's
    own way out would pull torch away from under it, which aborts.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _announce(address: str) -> None:
    # Whoever starts a server reads this line from a pipe: it must not wait in a buffer.
    print(f"memsvc ready on {address}", flush=True, file=sys.stdout)
