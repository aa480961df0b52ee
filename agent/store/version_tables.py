"""The tables about earlier states of workspaces, beside the others of the journal."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, Table, Text

from agent.store.people_tables import metadata

__all__ = ["metadata", "restorations", "snapshots"]

_Id = BigInteger().with_variant(Integer(), "sqlite")

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("run_id", _Id, ForeignKey("runs.id"), nullable=False, unique=True),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False),
    Column("taken_at", Double, nullable=False),
    Index(None, "session_id", "id"),
)

restorations = Table(
    "restorations",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("session_id", Text, nullable=False),
    Column("run_id", _Id, ForeignKey("runs.id"), nullable=False),
    Column("changes", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("back", Boolean, nullable=False),
    Column("done_by", Text, nullable=False, server_default=""),
    Column("begun_at", Double, nullable=False),
    Column("done_at", Double),
    Index(None, "session_id", "id"),
    Index(None, "state"),
)
