"""The options that `recall` and `ask` share: budgets, and how an answer is written."""

from __future__ import annotations

from typing import Annotated

import typer

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
        help="Compare the keys of every document, however large the bank.",
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
