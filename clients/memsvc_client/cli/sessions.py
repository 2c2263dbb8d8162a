"""`memsvc session …`; the questions among them stand in session_questions."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated

import typer

from memsvc_client.cli import asking, session_views
from memsvc_client.cli.metadata import parse_pairs
from memsvc_client.cli.session import (
    BankArgument,
    JsonOption,
    LimitOption,
    ServerOption,
    YesOption,
    session,
)
from memsvc_client.cli.session_questions import SessionArgument, context_block, recall
from memsvc_client.names import session_name
from memsvc_client.session_resources import NewTurn
from memsvc_client.sessions import SessionHandle

app = typer.Typer(
    help="Sessions: conversations whose turns are memory.",
    no_args_is_help=True,
)
app.command("recall")(recall)
app.command("context")(context_block)

AgentOption = Annotated[str, typer.Option("--agent", help="Whose session it is.")]
TtlOption = Annotated[
    float | None, typer.Option("--ttl", metavar="SECONDS", help="Forget it after so long.")
]
PairsOption = Annotated[
    list[str] | None, typer.Option("--meta", metavar="KEY=VALUE", help="Metadata; repeatable.")
]


def _ttl(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


@app.command("create")
def create(
    context: typer.Context,
    bank: BankArgument,
    name: Annotated[
        str, typer.Argument(metavar="SESSION", help="Id; else the server makes one.")
    ] = "",
    agent: AgentOption = "",
    ttl: TtlOption = None,
    expire_time: asking.ExpireOption = None,
    pairs: PairsOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a session."""
    with session(context, server, as_json) as run:
        made = run.client.create_session(
            bank,
            name,
            agent=agent,
            metadata=parse_pairs(run, pairs or []),
            expire_time=expire_time,
            ttl=_ttl(ttl),
        )
        run.output.result(made, lambda out: out.print(f"{made.name} is there."))


@app.command("list")
def list_some(
    context: typer.Context,
    bank: BankArgument,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this agent's.")] = None,
    limit: LimitOption = 100,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sessions of a bank, oldest first."""
    with session(context, server, as_json) as run:
        run.listing(
            lambda size: run.client.list_sessions(bank, agent=agent, page_size=size),
            limit,
            session_views.sessions,
        )


@app.command("show")
def show(
    context: typer.Context,
    bank: BankArgument,
    name: SessionArgument,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one session."""
    with session(context, server, as_json) as run:
        found = run.client.get_session(bank, name)
        run.output.result(found, lambda out: out.print(session_views.session(found)))


@app.command("append")
def append(
    context: typer.Context,
    bank: BankArgument,
    name: SessionArgument,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="user, assistant, or any other.")],
    content: Annotated[str, typer.Argument(metavar="CONTENT", help="- reads it from stdin.")],
    turn_id: Annotated[str, typer.Option("--id", help="Id; else the server makes one.")] = "",
    time: asking.SaidOption = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="TURN", help='Only after this one; "": as the first.'),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return when stored, before questions find it.")
    ] = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Append a turn and wait until questions find it."""
    with session(context, server, as_json) as run:
        said = sys.stdin.read() if content == "-" else content
        handle = SessionHandle(run.client, session_name(bank, name))
        turn = NewTurn(role, said, turn_id=turn_id, time=time)
        result = handle.extend(turn, after=after, wait=not no_wait)
        (made,) = result.turns
        run.output.result(result, lambda out: out.print(f"{made.id} is turn {made.position}."))


@app.command("turns")
def turns(
    context: typer.Context,
    bank: BankArgument,
    name: SessionArgument,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="The last one first.")
    ] = False,
    limit: LimitOption = 100,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the turns of a session, word for word."""
    with session(context, server, as_json) as run:
        run.listing(
            lambda size: run.client.list_turns(
                bank, name, newest_first=newest_first, page_size=size
            ),
            limit,
            session_views.turns,
        )


@app.command("fork")
def fork(
    context: typer.Context,
    bank: BankArgument,
    name: SessionArgument,
    turn: Annotated[
        str, typer.Option("--turn", help="The last one that both have; else the last one.")
    ] = "",
    new_session: Annotated[
        str, typer.Option("--id", help="Id of the fork; else the server makes one.")
    ] = "",
    agent: AgentOption = "",
    ttl: TtlOption = None,
    expire_time: asking.ExpireOption = None,
    pairs: PairsOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a session that shares the turns of another one, and goes its own way from there."""
    with session(context, server, as_json) as run:
        made = run.client.fork_session(
            bank,
            name,
            turn,
            new_session=new_session,
            agent=agent,
            metadata=parse_pairs(run, pairs) if pairs else None,
            expire_time=expire_time,
            ttl=_ttl(ttl),
        )
        run.output.result(made, lambda out: out.print(f"{made.name} is there."))


@app.command("end")
def end(
    context: typer.Context,
    bank: BankArgument,
    name: SessionArgument,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a session: it takes no more turns, and stays memory."""
    with session(context, server, as_json) as run:
        ended = run.client.end_session(bank, name)
        run.output.result(ended, lambda out: out.print(f"{ended.name} takes no more turns."))


@app.command("delete")
def delete(
    context: typer.Context,
    bank: BankArgument,
    names: Annotated[list[str], typer.Argument(metavar="SESSION...", help="Their ids.")],
    yes: YesOption = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete sessions with their turns, in forks of them too."""
    with session(context, server, as_json) as run:
        found = [run.client.get_session(bank, one) for one in names]
        run.confirm(f"Delete {len(found)} of the sessions of {bank}, with their turns?", yes)
        count = sum(run.client.delete_session(bank, one.name) for one in found)
        told = {"names": [one.name for one in found], "turns": count}
        summary = f"{len(found)} sessions with {count:,} turns deleted."
        run.output.result(told, lambda out: out.print(summary))
