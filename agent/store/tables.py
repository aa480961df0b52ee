"""The journal's tables. A change here needs a new file in `migrations/versions` and its number in `schema.HEAD`.

Times are seconds since 1970 (UTC). Columns with JSON hold text that `agent.store.values` wrote. Every index serves a
question that is asked while people wait; none of those may scan the history.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    },
)

# SQLite numbers rows by itself only in columns of the type INTEGER.
Id = BigInteger().with_variant(Integer(), "sqlite")


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True)


def _words(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _number(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text(str(default)))


def _time(name: str) -> Column[float]:
    return Column(name, Double, nullable=False)


def _maybe_time(name: str) -> Column[float]:
    return Column(name, Double)


def _json(name: str, default: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _run(*, required: bool) -> Column[Any]:
    return Column("run_id", Id, ForeignKey("runs.id"), nullable=not required)


sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("folder", Text, nullable=False),
    _json("dest", "{}"),
    _time("created_at"),
    _time("seen_at"),
)

inbox = Table(
    "inbox",
    metadata,
    _id(),
    Column("channel", Text, nullable=False),
    Column("update_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("body", Text, nullable=False),
    _time("received_at"),
    _maybe_time("heard_at"),
    _words("claimed_by"),
    Column("claimed_until", Double, nullable=False, server_default=text("0")),
    UniqueConstraint("channel", "update_id"),
    Index(None, "channel", "heard_at"),
    Index(None, "session_id", "id"),
)

runs = Table(
    "runs",
    metadata,
    _id(),
    Column("ref", Text, nullable=False, unique=True),
    Column("session_id", Text, nullable=False),
    Column("inbox_id", Id, ForeignKey("inbox.id"), unique=True),
    _words("user_id"),
    _words("origin"),
    Column("request", Text, nullable=False),
    _json("dest", "{}"),
    Column("status", Text, nullable=False),
    _number("priority", 5),
    _words("title"),
    Column("plan_complete", Boolean, nullable=False, server_default=text("false")),
    _number("steps"),
    _number("replans"),
    _number("starts"),
    _number("epoch"),
    _words("lease_owner"),
    Column("lease_until", Double, nullable=False, server_default=text("0")),
    _words("answer"),
    _words("error"),
    _words("corr_id"),
    _json("provenance", "{}"),
    _time("created_at"),
    _maybe_time("started_at"),
    _maybe_time("completed_at"),
    _json("given", "{}"),
    _words("source"),
    _words("project"),
    Column("budget", Double),
    Index(None, "status", "session_id"),
    Index(None, "session_id", "id"),
    Index(None, "source", "id"),
    Index(None, "project", "status"),
)

tasks = Table(
    "tasks",
    metadata,
    _id(),
    _run(required=True),
    Column("step_id", Text, nullable=False),
    _number("position"),
    Column("type", Text, nullable=False),
    Column("tool", Text),
    Column("status", Text, nullable=False),
    _number("priority", 5),
    _json("input", "{}"),
    Column("output", Text),
    _words("text"),
    _json("files", "[]"),
    _words("response_status"),
    _words("error"),
    _json("depends_on", "[]"),
    Column("estimated_cost", Double),
    Column("actual_cost", Double),
    _json("control", "{}"),
    _json("provenance", "{}"),
    _number("attempt"),
    _number("epoch"),
    Column("step", Text, nullable=False),
    _time("created_at"),
    _maybe_time("started_at"),
    _maybe_time("completed_at"),
    UniqueConstraint("run_id", "step_id"),
)

questions = Table(
    "questions",
    metadata,
    Column("id", Text, primary_key=True),
    _run(required=True),
    Column("step_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    _words("kind"),
    Column("text", Text, nullable=False),
    _json("options", "[]"),
    _words("user_id"),
    Column("answer", Text),
    _words("answered_by"),
    _time("asked_at"),
    _maybe_time("answered_at"),
    Index(None, "session_id", "answered_at"),
    Index(None, "run_id"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    _run(required=True),
    Column("step_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("tool", Text, nullable=False),
    _json("args", "{}"),
    _words("digest"),
    _words("because"),
    Column("decision", Text),
    _words("decided_by"),
    _time("asked_at"),
    _maybe_time("decided_at"),
    _maybe_time("expires_at"),
    _json("choices", '["allow","deny"]'),
    _words("comment"),
    _json("origins", "{}"),
    Index(None, "run_id"),
)

artifacts = Table(
    "artifacts",
    metadata,
    _id(),
    Column("session_id", Text, nullable=False),
    _run(required=False),
    Column("step_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    _words("sha256"),
    _words("mime"),
    _words("title"),
    _json("provenance", "{}"),
    Column("current", Boolean, nullable=False),
    _time("created_at"),
    Index(None, "run_id"),
    Index(None, "session_id", "current", "path"),
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("key", Text, nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    _run(required=False),
    Column("kind", Text, nullable=False),
    Column("dest", Text, nullable=False),
    Column("payload", Text, nullable=False),
    _number("version", 1),
    _number("sent_version"),
    _words("message_id"),
    Column("state", Text, nullable=False),
    _number("attempts"),
    _words("error"),
    Column("not_before", Double, nullable=False, server_default=text("0")),
    _time("created_at"),
    _maybe_time("sent_at"),
    Index(None, "channel", "state", "not_before"),
    Index(None, "session_id", "id"),
)

ledger = Table(
    "ledger",
    metadata,
    _id(),
    Column("session_id", Text, nullable=False),
    _run(required=False),
    Column("step_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    _words("model"),
    _number("prompt_tokens"),
    _number("completion_tokens"),
    Column("money", Double),
    Column("estimated", Boolean, nullable=False),
    _time("at"),
    Index(None, "run_id"),
    Index(None, "session_id", "at"),
    Index(None, "at"),
)

# Money in accounts and reservations is in billionths of a US dollar: sums of whole numbers stay exact.
accounts = Table(
    "accounts",
    metadata,
    Column("account", Text, primary_key=True),
    *(
        Column(name, BigInteger, nullable=False, server_default=text("0"))
        for name in ("money", "tokens", "reserved_money", "reserved_tokens")
    ),
)

# A row is there while a call is under way. Its id is random: one that is used again would be settled twice.
reservations = Table(
    "reservations",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    _run(required=False),
    _json("accounts", "[]"),
    Column("money", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    _time("made_at"),
    Index(None, "run_id"),
)

projects = Table(
    "projects",
    metadata,
    Column("name", Text, primary_key=True),
    Column("session_id", Text, nullable=False),
    _json("dest", "{}"),
    Column("budget", Double),
    Column("warn_at", Double, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("warned", Boolean, nullable=False),
    _time("created_at"),
)

chains = Table(
    "chains",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    _json("workflows", "[]"),
    _words("session_id"),
    _time("created_at"),
)

events = Table(
    "events",
    metadata,
    _id(),
    Column("key", Text, unique=True),
    Column("type", Text, nullable=False),
    _words("project"),
    _words("session_id"),
    _json("payload", "{}"),
    _json("provenance", "{}"),
    _number("priority", 5),
    Column("status", Text, nullable=False),
    _words("rule"),
    _run(required=False),
    _words("error"),
    _time("received_at"),
    _maybe_time("handled_at"),
    Index(None, "status", "project", "id"),
)

triggers = Table(
    "triggers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("plan", Text, nullable=False),
    _json("spec", "{}"),
    _json("parameters", "{}"),
    Column("session_id", Text, nullable=False),
    _json("dest", "{}"),
    Column("enabled", Boolean, nullable=False),
    _words("missed"),
    _words("overlap"),
    _maybe_time("next_at"),
    _maybe_time("last_at"),
    _time("created_at"),
    Index(None, "enabled", "next_at"),
)

trigger_fires = Table(
    "trigger_fires",
    metadata,
    _id(),
    Column("trigger_id", Text, ForeignKey("triggers.id"), nullable=False),
    Column("key", Text, nullable=False),
    _run(required=False),
    Column("status", Text, nullable=False),
    _words("error"),
    _time("due_at"),
    _time("fired_at"),
    _maybe_time("completed_at"),
    UniqueConstraint("trigger_id", "key"),
    Index(None, "trigger_id", "fired_at"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    _time("at"),
    _words("hash"),
    Index(None, "session_id", "id"),
)

values = Table(
    "values",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
