"""Runs know their source, project and budget; accounts, reservations, projects and chains."""

from __future__ import annotations

import time
from collections import defaultdict

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BILLION = 1_000_000_000


def upgrade() -> None:
    """Add what is missing, and open the accounts with what the ledger holds."""
    _columns()
    _work()
    _accounts()
    _open_accounts()


def _columns() -> None:
    op.add_column("runs", sa.Column("source", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("project", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("budget", sa.Double()))
    op.create_index("ix_runs_source_id", "runs", ["source", "id"])
    op.create_index("ix_runs_project_status", "runs", ["project", "status"])
    choices = '["allow","deny"]'
    op.add_column("approvals", sa.Column("choices", sa.Text(), nullable=False, server_default=choices))
    op.add_column("approvals", sa.Column("comment", sa.Text(), nullable=False, server_default=""))


def _work() -> None:
    op.create_table(
        "projects",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("dest", sa.Text(), nullable=False, server_default="{}"),
        sa.Column("budget", sa.Double()),
        sa.Column("warn_at", sa.Double(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("warned", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_projects"),
    )
    op.create_table(
        "chains",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("workflows", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("session_id", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chains"),
        sa.UniqueConstraint("name", name="uq_chains_name"),
    )


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("money", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("tokens", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("reserved_money", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("reserved_tokens", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("account", name="pk_accounts"),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", ID),
        sa.Column("accounts", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("money", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_reservations_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reservations"),
    )
    op.create_index("ix_reservations_run_id", "reservations", ["run_id"])


def _open_accounts() -> None:
    """Carry over what was spent: of each run, session, person, day and month."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT l.run_id, l.session_id, coalesce(r.user_id, '') AS user_id, l.at, coalesce(l.money, 0) AS money, "
            "l.prompt_tokens + l.completion_tokens AS tokens FROM ledger l LEFT JOIN runs r ON r.id = l.run_id",
        ),
    )
    spent: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        day = time.strftime("%Y-%m-%d", time.localtime(row.at))
        names = [f"session:{row.session_id}", f"day:{day}", f"month:{day[:7]}"]
        names += [f"run:{row.run_id}"] if row.run_id else []
        names += [f"user:{row.user_id}:{day}"] if row.user_id else []
        for name in names:
            spent[name][0] += round(row.money * BILLION)
            spent[name][1] += row.tokens
    opened = [{"name": name, "money": money, "tokens": tokens} for name, (money, tokens) in spent.items()]
    if opened:
        insert = sa.text("INSERT INTO accounts (account, money, tokens) VALUES (:name, :money, :tokens)")
        connection.execute(insert, opened)


def downgrade() -> None:
    """Remove what was added; a backup is the better way back."""
    for table in ("reservations", "accounts", "chains", "projects"):
        op.drop_table(table)
    op.drop_column("approvals", "comment")
    op.drop_column("approvals", "choices")
    op.drop_index("ix_runs_project_status", "runs")
    op.drop_index("ix_runs_source_id", "runs")
    for column in ("budget", "project", "source"):
        op.drop_column("runs", column)
