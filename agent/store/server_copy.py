"""Before a journal on a server is migrated: all of it into an SQLite file, in the tables of the version that it has.

The earlier Dirigent reads such a file as it is, and its `migrate-store` brings it back into an empty database.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Table, column, select, table

from agent.store.dialect import WRITES, by_bytes, engine_of, url_of
from agent.store.faults import backups_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

BATCH = 1_000


def keep(
    connection: Connection, folder: Path, revision: str, migrate: Callable[[Connection, str], None], *, most: int
) -> Path:
    """Write everything, within the transaction under way, to `journal-<revision>-<time>.db`, and return that file.

    `migrate` makes the tables of a revision. The newest `most` of such files are kept.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = folder / f"journal-{revision}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.db"
    partial = made.with_suffix(".part")
    os.close(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    engine = engine_of(url_of(partial))
    try:
        with engine.connect() as copy:
            copy.info["begin"] = WRITES
            with copy.begin():
                migrate(copy, revision)
                _fill(connection, copy)
    finally:
        engine.dispose()
    for end in ("-wal", "-shm"):
        partial.with_name(f"{partial.name}{end}").unlink(missing_ok=True)
    partial.replace(made)
    for old in backups_of(folder / "journal.db")[most:]:
        old.unlink(missing_ok=True)
    return made


def _fill(connection: Connection, copy: Connection) -> None:
    known = MetaData()
    known.reflect(copy)
    for target in known.sorted_tables:
        if target.name != "alembic_version":
            copy.execute(target.delete())  # what its migrations may have put there
            _copy(connection, copy, target)


def _copy(connection: Connection, copy: Connection, target: Table) -> None:
    names = [each.name for each in target.columns]
    source = table(target.name, *(column(name) for name in names))
    keys = [
        by_bytes(connection, source.c[key.name]) if _is_text(key) else source.c[key.name] for key in target.primary_key
    ]
    rows = connection.execute(select(source).order_by(*keys).execution_options(yield_per=BATCH))
    for part in rows.partitions():
        copy.execute(target.insert(), [dict(row._mapping) for row in part])  # noqa: SLF001  # SQLAlchemy's public name


def _is_text(key: object) -> bool:
    return getattr(getattr(key, "type", None), "python_type", None) is str
