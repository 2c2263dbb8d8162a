"""The commands that need the server's packages: `memsvc serve` and `memsvc doctor`.

They join the CLI through the entry-point group `memsvc.commands`. What is heavy is imported by
the command that needs it, because every `memsvc` call loads this module.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from memsvc_router.api import MemoryModel

    from memsvc.config import ServerConfig

_NEEDED = ("torch", "transformers", "sqlalchemy", "pydantic_settings", "lark", "prometheus_client")
_EXIT_FAILED = 1
_EXIT_USAGE = 2

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


def serve(
    data: _Data = None,
    listen: _Listen = None,
    config: _Config = None,
    database_url: _Database = None,
    metrics_listen: _Metrics = None,
    log_level: _Level = None,
) -> None:
    """Serve memory over gRPC until SIGTERM.

    Prints `memsvc ready on HOST:PORT` once calls are taken; health turns SERVING when the model
    is loaded. Logs are JSON lines on stderr.
    """
    settings = _load(
        config,
        data=data,
        listen=listen,
        database_url=database_url,
        metrics_listen=metrics_listen,
        log_level=log_level,
    )
    from memsvc_storage import StorageError

    from memsvc import telemetry
    from memsvc.serve import serve as run

    telemetry.configure_logging(settings.log_level)
    try:
        asyncio.run(run(settings, _load_default_model, _announce))
    except (OSError, StorageError) as error:
        typer.echo(f"memsvc: {error}", err=True)
        raise typer.Exit(_EXIT_FAILED) from None


def doctor(
    data: _Data = None,
    listen: _Listen = None,
    config: _Config = None,
    database_url: _Database = None,
    as_json: _Json = False,
) -> None:
    """Look whether this machine can serve: settings, disk, store, address, model."""
    settings = _load(config, data=data, listen=listen, database_url=database_url)
    from memsvc.doctor import examine

    verdicts = examine(settings)
    well = all(verdict.ok for verdict in verdicts)
    if as_json:
        checks = [{"name": v.name, "ok": v.ok, "detail": v.detail} for v in verdicts]
        # `ok` says that the examination took place; `healthy` is its result.
        typer.echo(json.dumps({"ok": True, "data": {"healthy": well, "checks": checks}}))
    else:
        for verdict in verdicts:
            typer.echo(f"{'ok  ' if verdict.ok else 'FAIL'}  {verdict.name}: {verdict.detail}")
    if not well:
        raise typer.Exit(_EXIT_FAILED)


def _load(config_file: Path | None, **flags: object) -> ServerConfig:
    from memsvc import config

    try:
        return config.load(flags, config_file)
    except config.ConfigError as error:
        typer.echo(f"memsvc: {error}", err=True)
        raise typer.Exit(_EXIT_USAGE) from None


def _load_default_model() -> MemoryModel:
    from memsvc_router import load_default_model

    return load_default_model()


def _announce(address: str) -> None:
    # Whoever starts a server reads this line from a pipe: it must not wait in a buffer.
    print(f"memsvc ready on {address}", flush=True, file=sys.stdout)
