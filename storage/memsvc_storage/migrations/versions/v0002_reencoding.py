"""What made a bank's blocks, and a second generation of blocks beside those that serve."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "next_blocks",
        _key("row_id", KEY, "documents.row_id", primary_key=True),
        _key("segment", sa.String(32), "segments.segment", primary_key=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("row_start", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("crc", sa.JSON(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
    )
    op.create_index("ix_next_blocks_segment", "next_blocks", ["segment"])
    op.add_column("banks", sa.Column("identity", sa.String(32)))
    op.add_column("banks", sa.Column("reencode_operation", sa.String(32)))
    _know_what_is_there()


def _key(
    name: str, kind: sa.types.TypeEngine[int] | sa.types.TypeEngine[str], of: str, primary_key: bool
) -> sa.Column[int | str]:
    parent = sa.ForeignKey(of, ondelete="CASCADE")
    return sa.Column(
        name, kind, parent, primary_key=primary_key, autoincrement=False, nullable=False
    )


def _know_what_is_there() -> None:
    # Until now all blocks of a bank were of one identity: others were dropped at every start.
    op.execute(
        """
        UPDATE banks SET identity = (
            SELECT max(segments.identity) FROM segments
            JOIN blocks ON blocks.segment = segments.segment
            WHERE segments.bank_id = banks.id
        )
        """
    )
    op.execute(
        """
        UPDATE banks SET reencode_operation = (
            SELECT max(operation_id) FROM operations
            WHERE operations.bank = banks.name AND operations.kind = 'REENCODE'
        )
        """
    )
