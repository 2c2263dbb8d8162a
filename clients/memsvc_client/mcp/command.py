"""The command `memsvc mcp`. Knows no protocol: the package `mcp` is loaded only when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults, ServerOption
from memsvc_client.errors import MemsvcError


def serve(
    context: typer.Context,
    bank: Annotated[
        str,
        typer.Option(
            "--bank", metavar="BANK", help="Id or name of the bank; made if there is none."
        ),
    ],
    http: Annotated[
        str | None,
        typer.Option(
            "--http",
            metavar="[HOST:]PORT",
            help="Streamable HTTP instead of stdio; without a host on loopback, port 0 picks one.",
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", min=0, help="Seconds that `remember` waits for what it stored to be encoded."
        ),
    ] = 30.0,
    server: ServerOption = None,
) -> None:
    """Offer a bank to agents as MCP tools, over stdin and stdout."""
    # Never JSON: in stdio mode all of stdout is the protocol's.
    output = Output(as_json=False)
    try:
        from memsvc_client.mcp import server as mcp_server
    except ImportError as error:
        output.usage(f"memsvc mcp needs the package mcp: pip install 'memsvc[mcp]' ({error})")
        raise typer.Exit(exits.FAULT) from None
    defaults = context.obj if isinstance(context.obj, Defaults) else Defaults()
    target = server or defaults.server
    settings = mcp_server.Settings(bank, target, defaults.api_key, defaults.timeout, wait, http)
    try:
        mcp_server.run(settings, output)
    except MemsvcError as error:
        output.fail(error)
        raise typer.Exit(exits.of_code(error.code)) from None
    except mcp_server.ListenError as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None
