"""The audit log: only ever appended to, and a chain: every row seals itself and the seal of the row before it.

What is noted in a transaction is written at its end, by one statement. Transactions that write come one after the
other, so the chain is linear however many processes write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, text
from sqlalchemy import insert as plain_insert

from agent.domain.audit import GENESIS, AuditEntry, seal
from agent.logs import redact
from agent.store.dialect import Prepared, driver_of
from agent.store.rows import dump, plain
from agent.store.tables import audit

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

NONE: Mapping[str, str] = {}
PENDING = "audit"  # in the connection's own dictionary: the rows of the transaction under way
_COLUMNS = ("kind", "session_id", "detail", "at", "hash")
_INSERT = Prepared(plain_insert(audit).values({name: bindparam(name) for name in _COLUMNS}), _COLUMNS)
_NEWEST = "SELECT hash FROM audit WHERE id = (SELECT max(id) FROM audit)"
_OLDEST_FIRST = select(audit).order_by(audit.c.id)

Noted = tuple[str, str, str, float]


def note(
    connection: Connection,
    kind: str,
    session_id: str,
    detail: dict[str, Any],
    now: float,
    *,
    digests: Mapping[str, str] = NONE,
) -> None:
    """Note something in the transaction under way. Secrets are hidden before anything is sealed.

    `digests` are added to the detail as they are: looking for secrets in them costs more than the rest. Raises
    TypeError when the detail is no JSON value.
    """
    told = redact(dump(detail))
    if digests:
        told = f"{told[:-1]}{',' if detail else ''}{dump(dict(digests))[1:]}"
    noted(connection).append((plain(kind), plain(session_id), told, now))


def noted(connection: Connection) -> list[Noted]:
    """Return what the transaction under way has noted and not written yet."""
    rows: list[Noted] = connection.info.setdefault(PENDING, [])
    return rows


def write(connection: Connection) -> None:
    """Write what has been noted, each row sealed with the one before it; nothing may be noted after it but by this."""
    rows = noted(connection)
    if not rows:
        return
    previous = _newest(connection)
    sealed = []
    for row in rows:
        previous = seal(previous, *row)
        sealed.append((*row, previous))
    _INSERT.run(connection, sealed)
    rows.clear()


def _newest(connection: Connection) -> str:
    if connection.dialect.name == "sqlite":  # this is run in most transactions: the long way costs as much as a row
        found = driver_of(connection).execute(_NEWEST).fetchone()
        return str(found[0]) if found else GENESIS
    return str(connection.execute(text(_NEWEST)).scalar() or GENESIS)


def digest(words: str) -> str:
    """Return the SHA-256 (hex) of what was said: the log proves it and does not keep it."""
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()


# --- reading ----------------------------------------------------------------------------------------------------------
def after(connection: Connection, entry_id: int, limit: int) -> list[AuditEntry]:
    """Return the entries after one, oldest first."""
    write(connection)
    return [_entry(row) for row in connection.execute(_OLDEST_FIRST.where(audit.c.id > entry_id).limit(limit))]


def newest(
    connection: Connection, session_id: str | None, kind: str | None, since: float, page: tuple[int, int]
) -> list[AuditEntry]:
    """Return the newest entries (of a session, of a kind, since a time), oldest first.

    `page` is how many, and the id before which they end (0: the end of the log).
    """
    limit, before = page
    write(connection)
    query = select(audit).where(audit.c.at >= since).order_by(audit.c.id.desc()).limit(limit)
    if session_id is not None:
        query = query.where(audit.c.session_id == session_id)
    if kind is not None:
        query = query.where(audit.c.kind == kind)
    if before:
        query = query.where(audit.c.id < before)
    return [_entry(row) for row in connection.execute(query)][::-1]


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(row.id, row.kind, row.session_id, row.detail, float(row.at), row.hash)
