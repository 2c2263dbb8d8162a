"""The options that questions share: budgets, how an answer is written, and what time means."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from memsvc_client.cli import sources
from memsvc_client.events import Recency


def _time(text: str) -> datetime:
    """Raises typer.BadParameter."""
    try:
        return sources.parse_time(text)
    except sources.SourceError as error:
        raise typer.BadParameter(str(error)) from None


def recency(days: float | None) -> Recency | None:
    """What `--recency-days` says."""
    return None if days is None else Recency(timedelta(days=days))


_BUDGETS, _WRITING = "Budgets", "Writing (models that point at their answers ignore it)"

KOption = Annotated[
    int | None,
    typer.Option("--k", min=1, help="Documents routed to in a hop.", rich_help_panel=_BUDGETS),
]
HopsOption = Annotated[
    int | None, typer.Option("--hops", min=1, help="Rounds of routing.", rich_help_panel=_BUDGETS)
]
DocumentsOption = Annotated[
    int | None,
    typer.Option("--max-documents", min=1, help="Documents read in all.", rich_help_panel=_BUDGETS),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        min=0,
        max=1,
        help='Below it: "not in memory".',
        rich_help_panel=_BUDGETS,
    ),
]
ReadTokensOption = Annotated[
    int | None,
    typer.Option(
        "--max-read-tokens", min=1, help="Tokens of text read in all.", rich_help_panel=_BUDGETS
    ),
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        "--max-seconds",
        help="After it no further hop begins; the answer comes from what was read.",
        rich_help_panel=_BUDGETS,
    ),
]
ExactOption = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="Compare the keys of every document exactly: slower, and misses nothing.",
        rich_help_panel=_BUDGETS,
    ),
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, help="Tokens of the answer.", rich_help_panel=_WRITING),
]
TemperatureOption = Annotated[
    float | None,
    typer.Option("--temperature", help="0: always the likeliest token.", rich_help_panel=_WRITING),
]
TopPOption = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        help="Only the likeliest tokens that together have this probability.",
        rich_help_panel=_WRITING,
    ),
]
TopKOption = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        min=0,
        help="Only this many of the likeliest tokens; 0: all.",
        rich_help_panel=_WRITING,
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", help="Makes the choice repeatable.", rich_help_panel=_WRITING),
]
StopOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="TEXT",
        help="The answer ends before it; may be given more than once.",
        rich_help_panel=_WRITING,
    ),
]
TraceOption = Annotated[
    bool, typer.Option("--trace", help="Show what each router layer chose in each hop.")
]
AsOfOption = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        parser=_time,
        metavar="TIME",
        help="Only what was known by then, like 2026-01-31T12:00:00Z.",
    ),
]
RecencyOption = Annotated[
    float | None,
    typer.Option(
        "--recency-days",
        metavar="DAYS",
        help="What is recent counts for more; half of the extra is left after so many days.",
    ),
]
ExpireOption = Annotated[
    datetime | None,
    typer.Option("--expire-time", parser=_time, metavar="TIME", help="When to forget it."),
]
SaidOption = Annotated[
    datetime | None,
    typer.Option("--time", parser=_time, metavar="TIME", help="When it was said; else now."),
]
