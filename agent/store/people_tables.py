"""The tables about people, beside the others of the journal."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, Table, Text

from agent.store.tables import metadata

__all__ = ["metadata", "pairing_attempts", "pairing_codes", "people"]

people = Table(
    "people",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("name", Text, nullable=False, server_default=""),
    Column("role", Text, nullable=False),
    Column("language", Text, nullable=False, server_default=""),
    Column("paired_at", Double, nullable=False),
)

pairing_codes = Table(
    "pairing_codes",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("used_by", Text, nullable=False, server_default=""),
    Column("expires_at", Double, nullable=False),
)

pairing_attempts = Table(
    "pairing_attempts",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("channel", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("at", Double, nullable=False),
)
