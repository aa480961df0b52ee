"""The journal's first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _conversations()
    _runs()
    _tasks()
    _people()
    _files()
    _outbox()
    _accounts()
    _automation()


def downgrade() -> None:
    """Drop every table; a backup is the better way back."""
    for table in (
        "values",
        "audit",
        "trigger_fires",
        "triggers",
        "events",
        "ledger",
        "outbox",
        "artifacts",
        "approvals",
        "questions",
        "tasks",
        "runs",
        "inbox",
        "sessions",
    ):
        op.drop_table(table)


def _words(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _json(name: str, default: str = "{}") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def _number(name: str, default: int = 0) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text(str(default)))


def _time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=False)


def _maybe_time(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=True)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _points_to(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=f"fk_{table}_{column}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _conversations() -> None:
    op.create_table(
        "sessions",
        _text("id"),
        _text("folder"),
        _json("dest"),
        _time("created_at"),
        _time("seen_at"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", ID, nullable=False),
        _text("channel"),
        _text("update_id"),
        _text("session_id"),
        _text("text"),
        _text("body"),
        _time("received_at"),
        _maybe_time("heard_at"),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
        sa.UniqueConstraint("channel", "update_id", name="uq_inbox_channel_update_id"),
    )
    _index("inbox", "channel", "heard_at")


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", ID, nullable=False),
        _text("ref"),
        _text("session_id"),
        sa.Column("inbox_id", ID, nullable=True),
        _words("user_id"),
        _words("origin"),
        _text("request"),
        _json("dest"),
        _text("status"),
        _number("priority", 5),
        _words("title"),
        sa.Column("plan_complete", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        _number("steps"),
        _number("replans"),
        _number("starts"),
        _number("epoch"),
        _words("lease_owner"),
        sa.Column("lease_until", sa.Double(), nullable=False, server_default=sa.text("0")),
        _words("answer"),
        _words("error"),
        _words("corr_id"),
        _json("provenance"),
        _time("created_at"),
        _maybe_time("started_at"),
        _maybe_time("completed_at"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("ref", name="uq_runs_ref"),
        _points_to("runs", "inbox_id", "inbox"),
        sa.UniqueConstraint("inbox_id", name="uq_runs_inbox_id"),
    )
    _index("runs", "status", "session_id")
    _index("runs", "session_id", "id")


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        _text("step_id"),
        _number("position"),
        _text("type"),
        sa.Column("tool", sa.Text(), nullable=True),
        _text("status"),
        _number("priority", 5),
        _json("input"),
        sa.Column("output", sa.Text(), nullable=True),
        _words("text"),
        _json("files", "[]"),
        _words("response_status"),
        _words("error"),
        _json("depends_on", "[]"),
        sa.Column("estimated_cost", sa.Double(), nullable=True),
        sa.Column("actual_cost", sa.Double(), nullable=True),
        _json("control"),
        _json("provenance"),
        _number("attempt"),
        _number("epoch"),
        _text("step"),
        _time("created_at"),
        _maybe_time("started_at"),
        _maybe_time("completed_at"),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sa.UniqueConstraint("run_id", "step_id", name="uq_tasks_run_id_step_id"),
        _points_to("tasks", "run_id", "runs"),
    )


def _people() -> None:
    op.create_table(
        "questions",
        _text("id"),
        sa.Column("run_id", ID, nullable=False),
        _text("step_id"),
        _text("session_id"),
        _words("kind"),
        _text("text"),
        _json("options", "[]"),
        _words("user_id"),
        sa.Column("answer", sa.Text(), nullable=True),
        _words("answered_by"),
        _time("asked_at"),
        _maybe_time("answered_at"),
        sa.PrimaryKeyConstraint("id", name="pk_questions"),
        _points_to("questions", "run_id", "runs"),
    )
    _index("questions", "session_id", "answered_at")
    _index("questions", "run_id")
    op.create_table(
        "approvals",
        _text("id"),
        sa.Column("run_id", ID, nullable=False),
        _text("step_id"),
        _text("session_id"),
        _text("tool"),
        _json("args"),
        _words("digest"),
        _words("because"),
        sa.Column("decision", sa.Text(), nullable=True),
        _words("decided_by"),
        _time("asked_at"),
        _maybe_time("decided_at"),
        _maybe_time("expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_approvals"),
        _points_to("approvals", "run_id", "runs"),
    )
    _index("approvals", "run_id")


def _files() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", ID, nullable=False),
        _text("session_id"),
        sa.Column("run_id", ID, nullable=True),
        _text("step_id"),
        _text("path"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        _words("sha256"),
        _words("mime"),
        _words("title"),
        _json("provenance"),
        _flag("current"),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_artifacts"),
        _points_to("artifacts", "run_id", "runs"),
    )
    _index("artifacts", "run_id")
    _index("artifacts", "session_id", "current", "path")


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", ID, nullable=False),
        _text("key"),
        _text("channel"),
        _text("session_id"),
        sa.Column("run_id", ID, nullable=True),
        _text("kind"),
        _text("dest"),
        _text("payload"),
        _number("version", 1),
        _number("sent_version"),
        _words("message_id"),
        _text("state"),
        _number("attempts"),
        _words("error"),
        sa.Column("not_before", sa.Double(), nullable=False, server_default=sa.text("0")),
        _time("created_at"),
        _maybe_time("sent_at"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("key", name="uq_outbox_key"),
        _points_to("outbox", "run_id", "runs"),
    )
    _index("outbox", "channel", "state", "not_before")
    _index("outbox", "session_id", "id")


def _accounts() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", ID, nullable=False),
        _text("session_id"),
        sa.Column("run_id", ID, nullable=True),
        _text("step_id"),
        _text("kind"),
        _words("model"),
        _number("prompt_tokens"),
        _number("completion_tokens"),
        sa.Column("money", sa.Double(), nullable=True),
        _flag("estimated"),
        _time("at"),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        _points_to("ledger", "run_id", "runs"),
    )
    _index("ledger", "run_id")
    _index("ledger", "session_id", "at")
    _index("ledger", "at")
    op.create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        _text("kind"),
        _text("session_id"),
        _text("detail"),
        _time("at"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    _index("audit", "session_id", "id")
    op.create_table("values", _text("key"), _text("value"), sa.PrimaryKeyConstraint("key", name="pk_values"))


def _automation() -> None:
    op.create_table(
        "events",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        _text("type"),
        _words("project"),
        _words("session_id"),
        _json("payload"),
        _json("provenance"),
        _number("priority", 5),
        _text("status"),
        _words("rule"),
        sa.Column("run_id", ID, nullable=True),
        _words("error"),
        _time("received_at"),
        _maybe_time("handled_at"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("key", name="uq_events_key"),
        _points_to("events", "run_id", "runs"),
    )
    _index("events", "status", "project", "id")
    op.create_table(
        "triggers",
        _text("id"),
        _text("kind"),
        _text("plan"),
        _json("spec"),
        _json("parameters"),
        _text("session_id"),
        _json("dest"),
        _flag("enabled"),
        _words("missed"),
        _words("overlap"),
        _maybe_time("next_at"),
        _maybe_time("last_at"),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_triggers"),
    )
    _index("triggers", "enabled", "next_at")
    op.create_table(
        "trigger_fires",
        sa.Column("id", ID, nullable=False),
        _text("trigger_id"),
        _text("key"),
        sa.Column("run_id", ID, nullable=True),
        _text("status"),
        _words("error"),
        _time("due_at"),
        _time("fired_at"),
        _maybe_time("completed_at"),
        sa.PrimaryKeyConstraint("id", name="pk_trigger_fires"),
        _points_to("trigger_fires", "trigger_id", "triggers"),
        _points_to("trigger_fires", "run_id", "runs"),
        sa.UniqueConstraint("trigger_id", "key", name="uq_trigger_fires_trigger_id_key"),
    )
    _index("trigger_fires", "trigger_id", "fired_at")
