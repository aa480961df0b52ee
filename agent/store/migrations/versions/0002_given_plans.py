"""Runs keep the plan and the inputs that they were opened with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; runs of before were planned by a model."""
    op.add_column("runs", sa.Column("given", sa.Text(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Remove the column; a backup is the better way back."""
    op.drop_column("runs", "given")
