"""What the store hands out and takes in of sessions, versions and forgetting: plain frozen
dataclasses; knows nothing of SQL or files.

All datetimes are timezone-aware UTC. Sizes are bytes; text sizes count UTF-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from memsvc_storage.rows import Metadata, Operation, Scalar


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool and what came of it."""

    id: str
    name: str
    arguments: str
    result: str


@dataclass(frozen=True)
class NewSession:
    """A session to make; without `session_id` the store makes a sortable one. What a fork leaves
    empty is as in the session that it comes from."""

    session_id: str | None = None
    agent: str = ""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    expire_time: datetime | None = None


@dataclass(frozen=True)
class Session:
    """A session. `turn_count` and `last_turn` (an id, "" if there is none) take in the turns that
    it shares; `forked_from` and `forked_at` are the session and the turn that it began from, "" if
    it is no fork. `lineage`: the sessions whose turns it shares, oldest first, each with the last
    position shared; its own turns come after those."""

    bank: str
    session_id: str
    agent: str
    metadata: Metadata
    expire_time: datetime | None
    turn_count: int
    last_turn: str
    forked_from: str
    forked_at: str
    end_time: datetime | None
    create_time: datetime
    update_time: datetime
    lineage: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class NewTurn:
    """A turn to append; without `turn_id` the store makes a sortable one, without `time` it is
    said now. `title` and `text` are those of its document."""

    turn_id: str | None
    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    time: datetime | None = None
    title: str = ""
    text: str = ""


@dataclass(frozen=True)
class Turn:
    """A turn. `session_id`: the session that it was appended to; `position` counts from 0 over
    the whole lineage."""

    session_id: str
    turn_id: str
    role: str
    content: str
    tool_calls: tuple[ToolCall, ...]
    time: datetime
    position: int
    document_id: str
    create_time: datetime


@dataclass(frozen=True)
class Appended:
    """One turn per item in the order given; `operation` encodes the new ones, None if there are
    none."""

    turns: list[Turn]
    operation: Operation | None
    session: Session


@dataclass(frozen=True)
class Version:
    """A title and text that a document had at a `revision`, until `replace_time`."""

    revision: int
    title: str
    text: str
    event_time: datetime | None
    replace_time: datetime


@dataclass(frozen=True)
class Forgotten:
    """What was deleted, or would be: documents, their former versions, sessions. `text_bytes`:
    of the titles and texts of documents and versions."""

    document_ids: list[str]
    row_ids: list[int]
    versions: int
    sessions: int
    text_bytes: int
