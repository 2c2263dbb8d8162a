"""The SQL tables as SQLAlchemy models; knows nothing of files, sessions or verbs.

Texts stand in a table of their own: a change of state then rewrites a short row, and scans over
facts read dense pages. A document without a row in `blocks` has no block: dropping the row is
the tombstone, and a segment's dead rows are those that no block names. `next_blocks` are what
another model makes of documents while the blocks of the former go on serving. Feedback names
documents by row, so that what it says of one is gone with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# SQLite numbers rows by itself only where the type is exactly INTEGER.
BigKey = BigInteger().with_variant(Integer, "sqlite")
# Names sort alike on both databases: by bytes.
Name = Text().with_variant(Text(collation="C"), "postgresql")


class UtcTime(TypeDecorator[datetime]):
    """Aware datetimes in, UTC datetimes out; SQLite keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect  # alike on all of them
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Common parent of the tables."""


class BankRow(Base):
    """`identity`: what made its blocks (None: nothing yet). `reencode_operation`: the last one
    that brought, or brings, the whole bank to another identity. Both outlive what they name."""

    __tablename__ = "banks"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    display_name: Mapped[str] = mapped_column(Text)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    quota_bytes: Mapped[int | None] = mapped_column(BigInteger)
    text_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    document_count: Mapped[int] = mapped_column(BigInteger, default=0)
    kv_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    etag: Mapped[str] = mapped_column(String(32))
    create_time: Mapped[datetime] = mapped_column(UtcTime)
    update_time: Mapped[datetime] = mapped_column(UtcTime)
    identity: Mapped[str | None] = mapped_column(String(32))
    reencode_operation: Mapped[str | None] = mapped_column(String(32))


class DocumentRow(Base):
    """`operation_id` names the operation that waits for this document's encoding."""

    __tablename__ = "documents"

    row_id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    bank_id: Mapped[int] = mapped_column(ForeignKey("banks.id", ondelete="CASCADE"))
    document_id: Mapped[str] = mapped_column(Name)
    title: Mapped[str] = mapped_column(Text)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    event_time: Mapped[datetime | None] = mapped_column(UtcTime)
    expire_time: Mapped[datetime | None] = mapped_column(UtcTime)
    create_time: Mapped[datetime] = mapped_column(UtcTime)
    update_time: Mapped[datetime] = mapped_column(UtcTime)
    revision: Mapped[int] = mapped_column(Integer)
    etag: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    error: Mapped[str] = mapped_column(Text)
    tokens: Mapped[int | None] = mapped_column(Integer)
    chunks: Mapped[int | None] = mapped_column(Integer)
    text_bytes: Mapped[int] = mapped_column(BigInteger)
    operation_id: Mapped[str | None] = mapped_column(String(32))

    __table_args__ = (
        UniqueConstraint("bank_id", "document_id"),
        Index("ix_documents_bank", "bank_id", "row_id"),
        Index("ix_documents_bank_state", "bank_id", "state", "row_id"),
        Index("ix_documents_state", "state", "row_id"),
        Index("ix_documents_operation", "operation_id"),
        Index("ix_documents_expire_time", "expire_time"),
        {"sqlite_autoincrement": True},
    )


class TextRow(Base):
    __tablename__ = "document_texts"

    row_id: Mapped[int] = mapped_column(
        ForeignKey("documents.row_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    text: Mapped[str] = mapped_column(Text)


class IdentityRow(Base):
    """What made the blocks of a segment, as the model describes itself."""

    __tablename__ = "identities"

    digest: Mapped[str] = mapped_column(String(32), primary_key=True)
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


class SegmentRow(Base):
    """A segment file. `header_crc` guards its header, the blocks' checksums guard the data."""

    __tablename__ = "segments"

    segment: Mapped[str] = mapped_column(String(32), primary_key=True)
    bank_id: Mapped[int] = mapped_column(ForeignKey("banks.id", ondelete="CASCADE"))
    identity: Mapped[str] = mapped_column(ForeignKey("identities.digest"))
    rows: Mapped[int] = mapped_column(BigInteger)
    bytes: Mapped[int] = mapped_column(BigInteger)
    header_crc: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[datetime] = mapped_column(UtcTime)

    __table_args__ = (Index("ix_segments_bank", "bank_id"),)


class _BlockColumns:
    """Where a document's block lies: the columns of `blocks` and of `next_blocks`."""

    row_id: Mapped[int] = mapped_column(
        ForeignKey("documents.row_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    segment: Mapped[str] = mapped_column(ForeignKey("segments.segment", ondelete="CASCADE"))
    revision: Mapped[int] = mapped_column(Integer)
    row_start: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(Integer)
    bytes: Mapped[int] = mapped_column(BigInteger)
    crc: Mapped[dict[str, int]] = mapped_column(JSON)
    tokens: Mapped[int] = mapped_column(Integer)


class StoredBlock(_BlockColumns, Base):
    """The blocks that serve."""

    __tablename__ = "blocks"
    __table_args__ = (Index("ix_blocks_segment", "segment"),)


class NextBlock(_BlockColumns, Base):
    """Blocks of the identity that a bank is being brought to; they serve once all are there."""

    __tablename__ = "next_blocks"
    __table_args__ = (Index("ix_next_blocks_segment", "segment"),)


BlockTable = type[StoredBlock] | type[NextBlock]


class FeedbackRow(Base):
    """What somebody said of a question: of the documents found (`feedback_documents`), and of the
    answer. `verdict`: RIGHT, WRONG or "" (not said); `answer`: the right one, "" if not told."""

    __tablename__ = "feedback"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    bank_id: Mapped[int] = mapped_column(ForeignKey("banks.id", ondelete="CASCADE"))
    feedback_id: Mapped[str] = mapped_column(Name, unique=True)
    question: Mapped[str] = mapped_column(Text)
    verdict: Mapped[str] = mapped_column(String(16))
    answer: Mapped[str] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(UtcTime)

    __table_args__ = (
        Index("ix_feedback_bank", "bank_id", "id"),
        {"sqlite_autoincrement": True},
    )


class FeedbackDocument(Base):
    """A document that a feedback calls relevant, or not."""

    __tablename__ = "feedback_documents"

    id: Mapped[int] = mapped_column(
        ForeignKey("feedback.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    row_id: Mapped[int] = mapped_column(
        ForeignKey("documents.row_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    relevant: Mapped[bool] = mapped_column(Boolean)

    __table_args__ = (Index("ix_feedback_documents_row", "row_id"),)


class OperationRow(Base):
    """Outlives its bank, so that who waits for it sees it end; hence no foreign key."""

    __tablename__ = "operations"

    operation_id: Mapped[str] = mapped_column(Name, primary_key=True)
    bank: Mapped[str] = mapped_column(Name)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    total: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    error: Mapped[str] = mapped_column(Text, default="")
    create_time: Mapped[datetime] = mapped_column(UtcTime)
    update_time: Mapped[datetime] = mapped_column(UtcTime)

    __table_args__ = (
        Index("ix_operations_bank", "bank", "operation_id"),
        Index("ix_operations_state", "state", "operation_id"),
    )


class ReplayRow(Base):
    """What a request led to; ids and etags only, never content."""

    __tablename__ = "replays"

    request_id: Mapped[str] = mapped_column(Name, primary_key=True)
    method: Mapped[str] = mapped_column(Text)
    body_digest: Mapped[str] = mapped_column(Text)
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    create_time: Mapped[datetime] = mapped_column(UtcTime)

    __table_args__ = (Index("ix_replays_create_time", "create_time"),)
