"""What sessions and forgetting bring back, and turns to append, as frozen dataclasses.

Times are timezone-aware UTC. Knows nothing of the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Literal

from memsvc_client.events import Citation
from memsvc_client.names import last_id
from memsvc_client.resources import Operation, Scalar

Scope = Literal["session", "other_sessions", "agent", "bank"]


@dataclass(frozen=True)
class Session:
    """A conversation in a bank. `turn_count` and `last_turn` (its id, "": none) include what it
    shares with the sessions it was forked from; `forked_from` is a session's name and `forked_at`
    the id of the last turn that both have; `end_time` is None while it takes turns."""

    name: str
    agent: str
    metadata: Mapping[str, Scalar]
    expire_time: datetime | None
    turn_count: int
    last_turn: str
    forked_from: str
    forked_at: str
    end_time: datetime | None
    create_time: datetime | None
    update_time: datetime | None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return last_id(self.name)


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool, and what came of it. `arguments`: JSON or any other text."""

    name: str
    arguments: str = ""
    result: str = ""
    id: str = ""


@dataclass(frozen=True)
class NewTurn:
    """A turn to append. `role`: "user", "assistant", "system", "tool" or any other name. Without
    `turn_id` the server makes one; without `time` it was said now."""

    role: str
    content: str = ""
    _: KW_ONLY
    turn_id: str = ""
    tool_calls: Sequence[ToolCall] = ()
    time: datetime | None = None


@dataclass(frozen=True)
class Turn:
    """A turn of a session. `name` is in the session that it was appended to; `position` counts from
    0, with gaps where turns were forgotten; `document` is the name of the document that holds it.
    """

    name: str
    role: str
    content: str
    tool_calls: tuple[ToolCall, ...]
    time: datetime | None
    position: int
    document: str
    create_time: datetime | None

    @property
    def id(self) -> str:
        """The last part of the name."""
        return last_id(self.name)

    @property
    def document_id(self) -> str:
        """The last part of the document's name."""
        return last_id(self.document)


@dataclass(frozen=True)
class AppendResult:
    """The turns in the order they were handed in, those that were there already as they are; the
    operation that encodes them (None: all were there); the session as it now is."""

    turns: tuple[Turn, ...]
    operation: Operation | None
    session: Session


@dataclass(frozen=True)
class Memory:
    """Something that memory holds for a query. `time`: when it happened; `session` (a name) and
    `role` are of a turn, "" for documents."""

    citation: Citation
    time: datetime | None
    session: str
    role: str


@dataclass(frozen=True)
class SessionContext:
    """Text for a prompt, of `tokens` tokens; `memories[n - 1]` belongs to `[n]` in it, `recent` are
    the last turns that stand in it, oldest first."""

    text: str
    memories: tuple[Memory, ...]
    recent: tuple[Turn, ...]
    tokens: int


@dataclass(frozen=True)
class DocumentVersion:
    """A title and text that a document had until `replace_time`, when its revision was this."""

    revision: int
    title: str
    text: str
    event_time: datetime | None
    replace_time: datetime | None


@dataclass(frozen=True)
class ForgetReceipt:
    """What was forgotten, and how far. `text_bytes`: of titles and texts; `documents`: their names,
    all or the first 1000; `compacted`: the bytes have left the disk."""

    document_count: int
    version_count: int
    session_count: int
    text_bytes: int
    documents: tuple[str, ...]
    forget_time: datetime | None
    compacted: bool
