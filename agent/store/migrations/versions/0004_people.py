"""People who were let in, and the codes that let them in; a chat's messages are found by their ids."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "people",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, server_default=""),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False, server_default=""),
        sa.Column("paired_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "user_id", name="pk_people"),
    )
    op.create_table(
        "pairing_codes",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("used_by", sa.Text(), nullable=False, server_default=""),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_pairing_codes"),
    )
    op.create_table(
        "pairing_attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pairing_attempts"),
    )
    op.create_index("ix_inbox_session_id_id", "inbox", ["session_id", "id"])


def downgrade() -> None:
    """Remove the tables; a backup is the better way back."""
    op.drop_index("ix_inbox_session_id_id", "inbox")
    for name in ("pairing_attempts", "pairing_codes", "people"):
        op.drop_table(name)
