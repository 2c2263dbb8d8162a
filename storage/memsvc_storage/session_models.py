"""The SQL tables of sessions, their turns, and of documents' former versions.

Knows tables only. A turn is a row beside the row of its document and is gone with it, however the
document is deleted. Forks share turns by naming the sessions that have them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from memsvc_storage.models import Base, BigKey, Name, UtcTime


class SessionRow(Base):
    """`next_position` only grows: a position whose turn was forgotten is not given again."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    bank_id: Mapped[int] = mapped_column(ForeignKey("banks.id", ondelete="CASCADE"))
    session_id: Mapped[str] = mapped_column(Name)
    agent: Mapped[str] = mapped_column(Name)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    expire_time: Mapped[datetime | None] = mapped_column(UtcTime)
    forked_from: Mapped[str] = mapped_column(Name)
    forked_at: Mapped[str] = mapped_column(Name)
    next_position: Mapped[int] = mapped_column(BigInteger)
    end_time: Mapped[datetime | None] = mapped_column(UtcTime)
    create_time: Mapped[datetime] = mapped_column(UtcTime)
    update_time: Mapped[datetime] = mapped_column(UtcTime)

    __table_args__ = (
        UniqueConstraint("bank_id", "session_id"),
        Index("ix_sessions_bank", "bank_id", "id"),
        Index("ix_sessions_bank_agent", "bank_id", "agent", "id"),
        Index("ix_sessions_expire_time", "expire_time"),
        {"sqlite_autoincrement": True},
    )


class PartRow(Base):
    """The turns of a session are those of its parts, each up to a position: of the sessions that
    it was forked from, and of itself without an end. `number` and `part` are sessions' ids."""

    __tablename__ = "session_parts"

    number: Mapped[int] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    part: Mapped[int] = mapped_column(
        ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    up_to: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index("ix_session_parts_part", "part"),)


class TurnRow(Base):
    """`number`: the session that it was appended to."""

    __tablename__ = "turns"

    row_id: Mapped[int] = mapped_column(
        ForeignKey("documents.row_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    turn_id: Mapped[str] = mapped_column(Name)
    position: Mapped[int] = mapped_column(BigInteger)
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text)
    tool_calls: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    time: Mapped[datetime] = mapped_column(UtcTime)

    __table_args__ = (UniqueConstraint("number", "turn_id"), UniqueConstraint("number", "position"))


class QuoteRow(Base):
    """The document `row_id` has the title `told`, which quotes the one of row `quoted`; without
    the quotation it would be `plain`. `told` is "" once that is so; `quoted` may be gone."""

    __tablename__ = "turn_quotes"

    row_id: Mapped[int] = mapped_column(
        ForeignKey("documents.row_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    quoted: Mapped[int] = mapped_column(BigInteger)
    told: Mapped[str] = mapped_column(Text)
    plain: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("ix_turn_quotes_quoted", "quoted"),)


class VersionRow(Base):
    """`text_bytes` counts towards the bank's quota."""

    __tablename__ = "document_versions"

    row_id: Mapped[int] = mapped_column(
        ForeignKey("documents.row_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    event_time: Mapped[datetime | None] = mapped_column(UtcTime)
    replace_time: Mapped[datetime] = mapped_column(UtcTime)
    text_bytes: Mapped[int] = mapped_column(BigInteger)
