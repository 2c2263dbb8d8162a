"""What users said of the documents that questions found, and of answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("bank_id", KEY, sa.ForeignKey("banks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("feedback_id", NAME, nullable=False, unique=True),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_feedback_bank", "feedback", ["bank_id", "id"])
    op.create_table(
        "feedback_documents",
        _key("id", "feedback.id"),
        _key("row_id", "documents.row_id"),
        sa.Column("relevant", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_feedback_documents_row", "feedback_documents", ["row_id"])
    if op.get_bind().dialect.name == "postgresql":
        _keep_content_out_of_statistics()


def _key(name: str, of: str) -> sa.Column[int]:
    parent = sa.ForeignKey(of, ondelete="CASCADE")
    return sa.Column(name, KEY, parent, primary_key=True, autoincrement=False)


def _keep_content_out_of_statistics() -> None:
    # As for documents: sampled values would outlive the rows they were taken from.
    for column in ("question", "answer"):
        op.execute(f"ALTER TABLE feedback ALTER COLUMN {column} SET STATISTICS 0")
