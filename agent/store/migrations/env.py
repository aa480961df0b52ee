"""Runs migrations on the connection that `agent.store.schema` hands over, within its transaction."""

from __future__ import annotations

from alembic import context

from agent.store.tables import metadata


def migrate() -> None:
    """Migrate. SQLite cannot alter most things of a table, so there a table is rebuilt (batch mode)."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


migrate()
