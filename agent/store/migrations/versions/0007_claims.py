"""Which process hears a message, where several are called, and until when that is good unless it says so again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was received before is nobody's."""
    op.add_column("inbox", sa.Column("claimed_by", sa.Text(), nullable=False, server_default=""))
    op.add_column("inbox", sa.Column("claimed_until", sa.Double(), nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    """Remove the columns."""
    op.drop_column("inbox", "claimed_until")
    op.drop_column("inbox", "claimed_by")
