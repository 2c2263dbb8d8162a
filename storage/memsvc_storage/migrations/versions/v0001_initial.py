"""Banks, documents, texts, segments, blocks, operations and replays."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _banks()
    _documents()
    _segments()
    _operations()
    if op.get_bind().dialect.name == "postgresql":
        _keep_content_out_of_statistics()


def _banks() -> None:
    op.create_table(
        "banks",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("name", NAME, nullable=False, unique=True),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("quota_bytes", sa.BigInteger()),
        sa.Column("text_bytes", sa.BigInteger(), nullable=False),
        sa.Column("document_count", sa.BigInteger(), nullable=False),
        sa.Column("kv_bytes", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.String(32), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sqlite_autoincrement=True,
    )


def _documents() -> None:
    op.create_table(
        "documents",
        sa.Column("row_id", KEY, primary_key=True),
        sa.Column("bank_id", KEY, sa.ForeignKey("banks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("document_id", NAME, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("event_time", TIME),
        sa.Column("expire_time", TIME),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("etag", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("tokens", sa.Integer()),
        sa.Column("chunks", sa.Integer()),
        sa.Column("text_bytes", sa.BigInteger(), nullable=False),
        sa.Column("operation_id", sa.String(32)),
        sa.UniqueConstraint("bank_id", "document_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_documents_bank", "documents", ["bank_id", "row_id"])
    op.create_index("ix_documents_bank_state", "documents", ["bank_id", "state", "row_id"])
    op.create_index("ix_documents_state", "documents", ["state", "row_id"])
    op.create_index("ix_documents_operation", "documents", ["operation_id"])
    op.create_index("ix_documents_expire_time", "documents", ["expire_time"])
    op.create_table(
        "document_texts",
        _document_key(),
        sa.Column("text", sa.Text(), nullable=False),
    )


def _document_key() -> sa.Column[int]:
    parent = sa.ForeignKey("documents.row_id", ondelete="CASCADE")
    return sa.Column("row_id", KEY, parent, primary_key=True, autoincrement=False)


def _segments() -> None:
    op.create_table(
        "identities",
        sa.Column("digest", sa.String(32), primary_key=True),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_table(
        "segments",
        sa.Column("segment", sa.String(32), primary_key=True),
        sa.Column("bank_id", KEY, sa.ForeignKey("banks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("identity", sa.String(32), sa.ForeignKey("identities.digest"), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("header_crc", sa.BigInteger(), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
    )
    op.create_index("ix_segments_bank", "segments", ["bank_id"])
    parent = sa.ForeignKey("segments.segment", ondelete="CASCADE")
    op.create_table(
        "blocks",
        _document_key(),
        sa.Column("segment", sa.String(32), parent, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("row_start", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("crc", sa.JSON(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
    )
    op.create_index("ix_blocks_segment", "blocks", ["segment"])


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("operation_id", NAME, primary_key=True),
        sa.Column("bank", NAME, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
    )
    op.create_index("ix_operations_bank", "operations", ["bank", "operation_id"])
    op.create_index("ix_operations_state", "operations", ["state", "operation_id"])
    op.create_table(
        "replays",
        sa.Column("request_id", NAME, primary_key=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
    )
    op.create_index("ix_replays_create_time", "replays", ["create_time"])


def _keep_content_out_of_statistics() -> None:
    # ANALYZE samples values into pg_statistic, where a deleted text would live on.
    for table, column in (
        ("documents", "title"),
        ("documents", "metadata"),
        ("document_texts", "text"),
    ):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
