"""What of a bank a session may be reminded of, by the facts of documents.

Knows how a turn's document is told from others; nothing of questions or the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from memsvc_storage import Document, Session

from memsvc.engine import DocumentFilter, Keyed

Scope = Literal["SESSION", "OTHER_SESSIONS", "AGENT", "BANK"]


@dataclass(frozen=True)
class TurnFacts:
    """What a document tells of the turn that it holds; `session` is the one it was appended to."""

    session: str
    agent: str
    role: str
    position: int


def turn_facts(document: Document) -> TurnFacts | None:
    """The turn that a document holds; None where it holds none."""
    told = document.metadata
    session, role, position = told.get("session"), told.get("role"), told.get("position")
    if not isinstance(session, str) or not document.document_id.startswith(f"{session}~"):
        return None
    if not isinstance(role, str) or not isinstance(position, int):
        return None
    agent = told.get("agent", "")
    return TurnFacts(session, agent if isinstance(agent, str) else "", role, position)


def visible(scope: Scope, session: Session) -> DocumentFilter | None:
    """Which documents a session may be reminded of; None: all of its bank."""
    if scope == "BANK":
        return None
    shared = dict(session.lineage)

    def lets_through(document: Document) -> bool:
        turn = turn_facts(document)
        if turn is None:
            return False
        own = turn.session == session.session_id
        own = own or turn.position <= shared.get(turn.session, -1)
        if scope == "SESSION":
            return own
        same_agent = turn.agent == session.agent
        return (same_agent and not own) if scope == "OTHER_SESSIONS" else (same_agent or own)

    key = (scope, session.agent, session.session_id, session.lineage)
    return Keyed(key, lets_through)
