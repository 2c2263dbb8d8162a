"""Sessions, their turns, and former versions of documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)
CONTENT = {
    "sessions": ("agent", "metadata"),
    "turns": ("role", "content", "tool_calls"),
    "document_versions": ("title", "text"),
}


def upgrade() -> None:
    _sessions()
    _turns()
    op.create_table(
        "document_versions",
        _key("row_id", "documents.row_id"),
        sa.Column("revision", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("event_time", TIME),
        sa.Column("replace_time", TIME, nullable=False),
        sa.Column("text_bytes", sa.BigInteger(), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        _keep_content_out_of_statistics()


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("bank_id", KEY, sa.ForeignKey("banks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("session_id", NAME, nullable=False),
        sa.Column("agent", NAME, nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("expire_time", TIME),
        sa.Column("forked_from", NAME, nullable=False),
        sa.Column("forked_at", NAME, nullable=False),
        sa.Column("next_position", sa.BigInteger(), nullable=False),
        sa.Column("end_time", TIME),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.UniqueConstraint("bank_id", "session_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sessions_bank", "sessions", ["bank_id", "id"])
    op.create_index("ix_sessions_bank_agent", "sessions", ["bank_id", "agent", "id"])
    op.create_index("ix_sessions_expire_time", "sessions", ["expire_time"])
    op.create_table(
        "session_parts",
        _key("number", "sessions.id"),
        _key("part", "sessions.id"),
        sa.Column("up_to", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_session_parts_part", "session_parts", ["part"])


def _turns() -> None:
    parent = sa.ForeignKey("sessions.id", ondelete="CASCADE")
    op.create_table(
        "turns",
        _key("row_id", "documents.row_id"),
        sa.Column("number", KEY, parent, nullable=False),
        sa.Column("turn_id", NAME, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("tool_calls", sa.JSON(), nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.UniqueConstraint("number", "turn_id"),
        sa.UniqueConstraint("number", "position"),
    )


def _key(name: str, of: str) -> sa.Column[int]:
    parent = sa.ForeignKey(of, ondelete="CASCADE")
    return sa.Column(name, KEY, parent, primary_key=True, autoincrement=False)


def _keep_content_out_of_statistics() -> None:
    # As for documents: sampled values would outlive the rows they were taken from.
    for table, columns in CONTENT.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
