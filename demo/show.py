"""How the demo looks: answers, hops and citations as rich tables. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from memsvc_client import Answer, Citation, Hop
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from demo.questions import Question

_ROUTED_SHOWN = 3
_WIDTH_WITHOUT_TERMINAL = 120


def make_console() -> Console:
    """A console; wide enough for tables where the output is not a terminal."""
    console = Console(highlight=False)
    return (
        console if console.is_terminal else Console(highlight=False, width=_WIDTH_WITHOUT_TERMINAL)
    )


def show_question(console: Console, number: str, question: Question) -> None:
    """The question as a heading."""
    console.print(f"\n[bold cyan]{number}[/] [bold]{escape(question.text)}[/]")
    if question.remark:
        console.print(f"   [dim]{escape(question.remark)}[/]")


def show_answer(
    console: Console, answer: Answer, titles: Mapping[str, str], milliseconds: float
) -> None:
    """The answer with its sources, its hops and its cost. `titles`: by document id."""
    if answer.found:
        said = f"[bold green]{escape(answer.text)}[/]"
    else:
        said = "[bold yellow]not in memory[/]"
    usage = answer.usage
    cost = f"{usage.hops} hop{'s' if usage.hops != 1 else ''}, {milliseconds:.0f} ms"
    cost += f" ({usage.forward_ms:.0f} in the model)"
    console.print(f"   → {said}   [dim]confidence {answer.confidence:.2f}, {cost}[/]")
    if answer.citations:
        console.print(Padding(_citations(answer.citations), (0, 0, 0, 3)))
    console.print(Padding(_hops(answer.hops, titles), (0, 0, 0, 3)))


def _citations(citations: tuple[Citation, ...]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("cited document", "characters", "score", "hop", "quoted text"):
        table.add_column(name, no_wrap=name in ("characters", "score", "hop"))
    for one in citations:
        quote = " ".join(one.quote.split())
        table.add_row(
            escape(one.title),
            f"{one.start}-{one.end}",
            f"{one.score:.3f}",
            str(one.hop + 1),
            f"“{escape(quote if len(quote) <= 160 else quote[:159] + '…')}”",
        )
    return table


def _hops(hops: tuple[Hop, ...], titles: Mapping[str, str]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("hop", "routed to (router score)", "read", "ms"):
        table.add_column(name)
    for hop in hops:
        routed = [
            f"{escape(titles.get(hit.document_id, hit.document_id))} ({hit.score:.3f})"
            for hit in hop.routed[:_ROUTED_SHOWN]
        ]
        if len(hop.routed) > _ROUTED_SHOWN:
            routed.append(f"… {len(hop.routed) - _ROUTED_SHOWN} more")
        table.add_row(
            str(hop.index + 1),
            "; ".join(routed),
            f"{len(hop.read)} documents",
            f"{hop.milliseconds:.0f}",
            style="dim",
        )
    return table
