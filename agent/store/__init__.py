"""The journal: SQL tables are the truth; everything in memory can be rebuilt from them.

`protocol/` says what it does, by subject; `sql.py` does it on SQLite (and PostgreSQL) through SQLAlchemy Core. What is
asked for on the event loop becomes operations (`batch.py`) that one thread (`writer.py`) carries out, many in one
commit. The statements stand by subject: `runs`, `steps` (and their `transitions`), `inbox`, `outbox`, `consents`
(questions and approvals), `records` (sessions, files, ledger, values), `audit` (a chain of what was done). `tables.py`
is the schema, `schema.py` opens and migrates, `migrations/` are Alembic's, `dialect.py` is all that differs between
databases, `faults.py` says what they complain about. On PostgreSQL whoever writes has the journal to itself until it
has committed, as with the file; `server_bell.py` wakes other processes there, and `copying.py` brings a journal from
one to the other.

Artifacts (files) are stored in sessions' folders; only their records live here. Ids for questions and approvals come
from `agent.store.rows.short_id()`.
"""
