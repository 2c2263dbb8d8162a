"""Sessions, turns, versions and receipts for people: rich tables and lines."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from memsvc_client.cli.output import clean, one_line
from memsvc_client.cli.views import facts, moment, size, table
from memsvc_client.names import last_id
from memsvc_client.session_resources import DocumentVersion, ForgetReceipt, Session, Turn

_AGENT, _TITLE, _TEXT = 40, 40, 60


def sessions(rows: Iterable[Session]) -> Table:
    made = table("session", "agent", "turns", "state", "changed (UTC)", right=("turns",))
    for one in rows:
        state = "open" if one.end_time is None else "ended"
        agent = Text(one_line(one.agent, _AGENT))
        made.add_row(one.id, agent, f"{one.turn_count:,}", state, moment(one.update_time))
    return made


def session(one: Session) -> Table:
    forked = f"{last_id(one.forked_from)} at {one.forked_at}" if one.forked_from else ""
    return facts(
        [
            ("name", one.name),
            ("agent", one.agent),
            ("turns", f"{one.turn_count:,}"),
            ("last turn", one.last_turn),
            *([("forked from", forked)] if forked else []),
            *((f"metadata.{key}", value) for key, value in sorted(one.metadata.items())),
            ("expires", moment(one.expire_time)),
            ("ended", moment(one.end_time)),
            ("created", moment(one.create_time)),
            ("updated", moment(one.update_time)),
        ]
    )


def turns(rows: Iterable[Turn]) -> Text:
    """Who said what and when, word for word."""
    return Text("\n").join(_turn(one) for one in rows)


def _turn(one: Turn) -> Text:
    made = Text.assemble(
        (f"{one.position}  ", "dim"),
        (clean(one.role), "bold"),
        (f"  {moment(one.time)}  {one.id}", "dim"),
    )
    if one.content:
        made.append(f"\n{clean(one.content)}")
    for call in one.tool_calls:
        made.append(f"\n{clean(call.name)}({clean(call.arguments)})", style="cyan")
        if call.result:
            made.append(f" → {clean(call.result)}", style="cyan")
    return made


def versions(rows: Iterable[DocumentVersion]) -> Table:
    made = table("revision", "title", "text", "replaced (UTC)", right=("revision",))
    for one in rows:
        title, text = Text(one_line(one.title, _TITLE)), Text(one_line(one.text, _TEXT))
        made.add_row(str(one.revision), title, text, moment(one.replace_time))
    return made


def counts(one: ForgetReceipt) -> str:
    """How much it is, in words."""
    return (
        f"{one.document_count:,} documents, {one.version_count:,} former versions and "
        f"{one.session_count:,} sessions"
    )


def receipt(one: ForgetReceipt, dry_run: bool) -> Text:
    """What was forgotten, or would be."""
    if dry_run:
        return Text(f"{counts(one)} ({size(one.text_bytes)}) would be forgotten.")
    where = "in no file any more" if one.compacted else "on disk until the bank is compacted"
    return Text(
        f"{counts(one)} ({size(one.text_bytes)}) are forgotten as of {moment(one.forget_time)} "
        f"UTC; {where}."
    )
