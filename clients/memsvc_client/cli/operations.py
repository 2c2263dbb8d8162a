"""`memsvc op …`"""

from __future__ import annotations

from collections import deque
from typing import Annotated, cast

import typer

from memsvc_client.cli import exits, views
from memsvc_client.cli.progress import Steps
from memsvc_client.cli.session import JsonOption, ServerOption, session
from memsvc_client.resources import Operation, OperationState

app = typer.Typer(help="Operations: work that goes on after a call.", no_args_is_help=True)
_STATES = ("PENDING", "RUNNING", "DONE", "FAILED", "CANCELLED")


@app.command("list")
def list_some(
    context: typer.Context,
    bank: Annotated[str | None, typer.Option("--bank", help="Only of this bank.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", help=f"Only in this state: {', '.join(_STATES)}.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="The newest so many; 0: all.")] = 100,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List operations, the newest last."""
    with session(context, server, as_json) as run:
        wanted = None if state is None else state.upper()
        if wanted is not None and wanted not in _STATES:
            raise run.usage(f"--state {state!r} is none of {', '.join(_STATES)}")
        pager = run.client.list_operations(
            bank=bank, state=cast("OperationState | None", wanted), page_size=1000
        )
        rows = list(deque(pager, maxlen=limit or None))
        run.output.result(rows, lambda out: out.print(views.operations(rows)))


@app.command("wait")
def wait(
    context: typer.Context,
    operations: Annotated[list[str], typer.Argument(metavar="OPERATION...", help="Their ids.")],
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0, help="Seconds for each; default: no end.")
    ] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait until operations have ended."""
    with session(context, server, as_json) as run:
        ended: list[Operation] = []
        with Steps(run.output.err, quiet=run.output.as_json) as steps:
            for name in operations:
                bar = steps.step(name, run.client.get_operation(name).total)
                watch = bar.watcher(before=0)
                ended.append(run.client.wait_operation(name, timeout=timeout, on_progress=watch))
        if all(one.state == "DONE" and not one.failed for one in ended):
            run.output.result(ended, lambda out: out.print(views.operations(ended)))
            return
        message = "Not all of it succeeded."
        run.output.partial(ended, message, lambda out: out.print(views.operations(ended)))
        raise typer.Exit(exits.PARTIAL)
