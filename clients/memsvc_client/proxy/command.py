"""The command `memsvc proxy`. Knows no HTTP: its packages are loaded only when it runs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Annotated

import typer

from memsvc_client.cli import exits
from memsvc_client.cli.output import Output
from memsvc_client.cli.session import Defaults, ServerOption
from memsvc_client.errors import MemsvcError


def serve(
    context: typer.Context,
    upstream: Annotated[
        str,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="The OpenAI-compatible API that answers, as clients take it: with /v1.",
        ),
    ],
    bank: Annotated[
        str,
        typer.Option(
            "--bank", metavar="BANK", help="Id or name of the bank; made if there is none."
        ),
    ],
    key_env: Annotated[
        str | None,
        typer.Option(
            "--upstream-key-env",
            metavar="NAME",
            help="Environment variable with the upstream's key; by default the caller's is used.",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 picks one.")
    ] = 7610,
    agent: Annotated[
        str,
        typer.Option(
            "--agent", help="Whose sessions these are, where x-memsvc-agent does not say it."
        ),
    ] = "",
    tokens: Annotated[
        int, typer.Option("--context-tokens", min=1, help="At most so many tokens of memories.")
    ] = 1500,
    wait: Annotated[
        float,
        typer.Option("--wait", min=0.01, help="Seconds that a request waits for its memory."),
    ] = 5.0,
    required: Annotated[
        bool,
        typer.Option("--require-memory", help="Refuse requests while there is no memory (503)."),
    ] = False,
    server: ServerOption = None,
) -> None:
    """Give any OpenAI client a memory: a proxy before the API that it uses."""
    output = Output(as_json=False)
    try:
        from memsvc_client.proxy import server as proxy
    except ImportError as error:
        output.usage(
            "memsvc proxy needs starlette, uvicorn and httpx: pip install 'memsvc[proxy]' "
            f"({error})"
        )
        raise typer.Exit(exits.FAULT) from None
    key = None if key_env is None else os.environ.get(key_env, "")
    if key == "":
        output.usage(f"--upstream-key-env {key_env}: there is no such variable, or it is empty")
        raise typer.Exit(exits.USAGE)
    defaults = context.obj if isinstance(context.obj, Defaults) else Defaults()
    defaults = replace(defaults, server=server or defaults.server)
    way = proxy.Way(upstream, key, agent, required)
    settings = proxy.Settings(bank, defaults, way, host, port, tokens, wait)
    try:
        proxy.run(settings, output)
    except MemsvcError as error:
        output.fail(error)
        raise typer.Exit(exits.of_code(error.code)) from None
    except proxy.SettingsError as error:
        output.usage(str(error))
        raise typer.Exit(exits.USAGE) from None
