"""The audit log becomes a chain: every row seals itself and the seal of the row before it; approvals keep origins."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BATCH = 1_000
_audit = sa.table("audit", *map(sa.column, ("id", "kind", "session_id", "detail", "at", "hash")))


def upgrade() -> None:
    """Add the columns and chain what is there."""
    op.add_column("approvals", sa.Column("origins", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("audit", sa.Column("hash", sa.Text(), nullable=False, server_default=""))
    connection = op.get_bind()
    previous, last = "", 0
    while rows := connection.execute(
        sa.select(_audit).where(_audit.c.id > last).order_by(_audit.c.id).limit(BATCH)
    ).all():
        for row in rows:
            sealed = json.dumps([previous, row.kind, row.session_id, row.detail, float(row.at)])
            previous, last = hashlib.sha256(sealed.encode()).hexdigest(), row.id
            connection.execute(sa.update(_audit).where(_audit.c.id == row.id).values(hash=previous))


def downgrade() -> None:
    """Remove the columns; a backup is the better way back."""
    op.drop_column("audit", "hash")
    op.drop_column("approvals", "origins")
