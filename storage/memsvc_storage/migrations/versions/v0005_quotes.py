"""What titles of turns quote of the turns before them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    own = sa.ForeignKey("documents.row_id", ondelete="CASCADE")
    op.create_table(
        "turn_quotes",
        sa.Column("row_id", KEY, own, primary_key=True, autoincrement=False),
        sa.Column("quoted", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("plain", sa.Text(), nullable=False),
    )
    op.create_index("ix_turn_quotes_quoted", "turn_quotes", ["quoted"])
    if op.get_bind().dialect.name == "postgresql":
        # As for documents: sampled values would outlive the rows they were taken from.
        for column in ("told", "plain"):
            op.execute(f"ALTER TABLE turn_quotes ALTER COLUMN {column} SET STATISTICS 0")
