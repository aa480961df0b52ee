"""What a workspace held before each run and after it, and what was put back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "snapshots",
        sa.Column("id", _id, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("run_id", _id, nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False, server_default=""),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_snapshots"),
        sa.UniqueConstraint("run_id", name="uq_snapshots_run_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_snapshots_run_id"),
    )
    op.create_index("ix_snapshots_session_id_id", "snapshots", ["session_id", "id"])
    op.create_table(
        "restorations",
        sa.Column("id", _id, nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("run_id", _id, nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("back", sa.Boolean(), nullable=False),
        sa.Column("done_by", sa.Text(), nullable=False, server_default=""),
        sa.Column("begun_at", sa.Double(), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_restorations"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_restorations_run_id"),
    )
    op.create_index("ix_restorations_session_id_id", "restorations", ["session_id", "id"])
    op.create_index("ix_restorations_state", "restorations", ["state"])


def downgrade() -> None:
    """Remove the tables; a backup is the better way back."""
    for name, indexes in (
        ("restorations", ("ix_restorations_state", "ix_restorations_session_id_id")),
        ("snapshots", ("ix_snapshots_session_id_id",)),
    ):
        for index in indexes:
            op.drop_index(index, name)
        op.drop_table(name)
