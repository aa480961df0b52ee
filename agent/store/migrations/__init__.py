"""Alembic's migrations of the journal; `agent.store.schema` runs them when a journal is opened."""
