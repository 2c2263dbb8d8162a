"""The document that a turn becomes: its title and its text. Knows turns; nothing of models.

A title is read by the model with the text, so it says who spoke and when: a question asks for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from memsvc_storage import ToolCall

TurnContext = Literal["alone", "spoken", "neighboured"]
"""What a turn's title tells: nothing, speaker and day, or those and how the turn before began."""

_NEIGHBOUR_CHARACTERS = 200
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def day(moment: datetime) -> str:
    """A day as people write it: `5 January 2024`."""
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def spoken(role: str, moment: datetime) -> str:
    """Who spoke, and when: `user, 5 January 2024`."""
    return f"{role}, {day(moment)}"


def turn_title(way: TurnContext, role: str, moment: datetime) -> str:
    """The title of a turn's document, without what it quotes."""
    return "" if way == "alone" else spoken(role, moment)


def quoting(title: str, before: str) -> str:
    """A title that also tells how the turn before it began, whose text is `before` ("": none)."""
    words = " ".join(before.split())
    if not words:
        return title
    clip = words[:_NEIGHBOUR_CHARACTERS]
    if len(words) > _NEIGHBOUR_CHARACTERS:
        clip = clip.rpartition(" ")[0] or clip
    return f"{title}, after: {clip}"


def turn_text(content: str, tool_calls: Sequence[ToolCall]) -> str:
    """The text of a turn's document: what was said, then a line for each call of a tool."""
    said = [content] if content.strip() else []
    return "\n".join([*said, *(_line(call) for call in tool_calls)])


def _line(call: ToolCall) -> str:
    arguments, result = (" ".join(part.split()) for part in (call.arguments, call.result))
    return f"{call.name}({arguments})" + (f" gave {result}" if result else "")
