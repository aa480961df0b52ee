"""The journal: SQL tables are the truth; everything in memory can be rebuilt from them.

`protocol.py` says what it does; `sql.py` does it on SQLite (and PostgreSQL) through SQLAlchemy Core; `migrations/` are
Alembic's. Artifacts (files) are stored in sessions' folders; only their records live here.
"""
