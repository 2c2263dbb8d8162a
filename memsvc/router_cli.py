"""`memsvc router list|show|promote|rollback`: versions of the router in a data directory.

Works beside a running server, which loads what serves when it starts. Loaded by every `memsvc`
call that may need the server's commands, so what is heavy waits inside the command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from memsvc_client.cli import exits, views
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults

if TYPE_CHECKING:
    from memsvc_storage import RouterVersion
    from rich.console import Console
    from rich.table import Table

    from memsvc.config import ServerConfig

_Data = Annotated[Path | None, typer.Option("--data", help="The server's data directory.")]
_Config = Annotated[Path | None, typer.Option("--config", help="The server's TOML file.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
_Number = Annotated[int, typer.Argument(metavar="VERSION", min=0, help="Its number.")]
_NEXT = "A server that runs serves as before until it is started again."


def register(app: typer.Typer) -> None:
    """Add the command group."""
    router = typer.Typer(help="Versions of the router, trained from banks.", no_args_is_help=True)
    router.command("list")(list_all)
    router.command("show")(show)
    router.command("promote")(promote)
    router.command("rollback")(rollback)
    app.add_typer(router, name="router")


def list_all(
    context: typer.Context,
    data: _Data = None,
    config: _Config = None,
    as_json: _Json = False,
) -> None:
    """List the versions, oldest first, and which of them serves."""
    with _versions(context, data, config, as_json) as run:
        found = [_facts(one) for one in run.versions.all()]
        serving = next((one["version"] for one in found if one["state"] == "current"), 0)

        def tell(console: Console) -> None:
            console.print(_table(found))
            if not serving:
                console.print("The model of the settings serves (version 0).")

        run.output.result({"serving": serving, "versions": found}, tell)
        run.warn()


def show(
    context: typer.Context,
    number: _Number,
    data: _Data = None,
    config: _Config = None,
    as_json: _Json = False,
) -> None:
    """What a version was made from, and how it was judged beside the one before it."""
    with _versions(context, data, config, as_json) as run:
        facts = _facts(run.versions.get(number))
        run.output.result(facts, lambda console: console.print(views.facts(_flat(facts))))


def promote(
    context: typer.Context,
    number: _Number,
    data: _Data = None,
    config: _Config = None,
    as_json: _Json = False,
) -> None:
    """Let a version serve from the server's next start on; 0: the model of the settings."""
    with _versions(context, data, config, as_json) as run:
        run.versions.promote(number)
        run.served(number)


def rollback(
    context: typer.Context,
    data: _Data = None,
    config: _Config = None,
    as_json: _Json = False,
) -> None:
    """Go back to what served when the current version was made."""
    with _versions(context, data, config, as_json) as run:
        run.served(run.versions.rollback())


class _Run:
    """What the commands share."""

    def __init__(self, settings: ServerConfig, output: Output) -> None:
        from memsvc_storage import RouterVersions

        self.settings, self.output = settings, output
        self.versions = RouterVersions(settings.data)

    def served(self, number: int) -> None:
        what = f"Version {number}" if number else "The model of the settings"
        self.output.result({"serving": number}, lambda out: out.print(f"{what} serves. {_NEXT}"))
        self.warn()

    def warn(self) -> None:
        """Versions are of no effect where the settings name a model."""
        if self.settings.model is not None:
            name = self.settings.model
            self.output.say(f"The settings name the model {name}: it is served, not a version.")


@contextmanager
def _versions(
    context: typer.Context, data: Path | None, config_file: Path | None, as_json: bool
) -> Iterator[_Run]:
    """The versions that the settings lead to. What is wrong ends the command with its reason."""
    from memsvc_storage import RouterNotFound, StorageError

    from memsvc import config

    before = context.obj.as_json if isinstance(context.obj, Defaults) else False
    output = Output(as_json or before)
    try:
        yield _Run(config.load({"data": data}, config_file), output)
    except config.ConfigError as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None
    except RouterNotFound as error:
        output.usage(f"{error}; `memsvc router list` tells which there are")
        raise typer.Exit(exits.NOT_FOUND) from None
    except (OSError, StorageError) as error:
        output.usage(str(error))
        raise typer.Exit(exits.FAULT) from None


def _facts(one: RouterVersion) -> dict[str, Any]:
    return {
        "version": one.number,
        "state": one.state,
        "parent": one.parent,
        "create_time": one.create_time.isoformat(timespec="seconds"),
        "checkpoint": str(one.checkpoint),
        **one.facts,
    }


def _flat(facts: dict[str, Any], within: str = "") -> list[tuple[str, object]]:
    """Nested facts, one a line."""
    found: list[tuple[str, object]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            found += _flat(value, f"{within}{name}.")
        else:
            found.append((f"{within}{name}".replace("_", " "), value))
    return found


def _table(found: list[dict[str, Any]]) -> Table:
    numbers = ("version", "parent", "recall@1", "MRR", "difference of MRR (95 %)")
    made = views.table("version", "state", "parent", "bank", *numbers[2:], "made", right=numbers)
    for one in found:
        judged = one.get("evaluation") or {}
        before, after = judged.get("before", {}), judged.get("after", {})
        mean, low, high = judged.get("difference", (0.0, 0.0, 0.0))
        made.add_row(
            str(one["version"]),
            one["state"],
            str(one["parent"]),
            str(one.get("bank", "")),
            f"{before.get('recall_at_1', 0):.3f} → {after.get('recall_at_1', 0):.3f}",
            f"{before.get('mrr', 0):.3f} → {after.get('mrr', 0):.3f}",
            f"{mean:+.3f} ({low:+.3f} to {high:+.3f})",
            one["create_time"],
        )
    return made
