"""A whole journal from one database into another: all of it, proven equal, or nothing.

The source is read as of one moment and never written to; an SQLite file of an older Dirigent is brought up to date in a
copy. The target gets its tables, rows and proof in one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from agent.domain.audit import Chain
from agent.errors import ConfigError
from agent.store import audit, schema
from agent.store.dialect import READS, WRITES, by_bytes, engine_of, file_of, is_server, url_of
from agent.store.faults import translate
from agent.store.people_tables import metadata
from agent.store.tables import audit as entries_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Row, Table
    from sqlalchemy.engine import URL

BATCH = 1_000


@dataclass(slots=True)
class Copied:
    """What was copied: rows by table, and how far the audit log fits (`broken` where the source's is broken, too)."""

    rows: dict[str, int] = field(default_factory=dict)
    chain: Chain = field(default_factory=Chain)


def copy_journal(
    source: URL, target: URL, told: Callable[[str, int], None] = lambda _table, _rows: None, *, in_use: bool = False
) -> Copied:
    """Copy a journal and prove the copy equal; `told` gets each table with its number of rows.

    One that is `in_use` is copied as of one moment; else nobody may write to it meanwhile, since that would be missed.
    Raises ConfigError when the target is not empty, the source is no journal or is written to meanwhile, and what a
    database complains about; the target is then as it was.
    """
    place = source
    try:
        with _reading(source) as old:
            place = target
            with _filling(target) as new:
                copied = Copied()
                for table in metadata.sorted_tables:
                    copied.rows[table.name] = _copy(table, old, new)
                    told(table.name, copied.rows[table.name])
                copied.chain = _checked(new)
                if not in_use:
                    _refuse_changed(source, copied.chain)
    except Exception as error:
        raise translate(error, place) from error
    return copied


# --- the source ---------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _reading(source: URL) -> Iterator[Connection]:
    """Yield the source as of one moment, with the tables of today."""
    file = file_of(source)
    if file is not None:
        with tempfile.TemporaryDirectory(prefix="dirigent-") as folder, contextlib.closing(_taken(file, folder)) as old:
            old.info["begin"] = READS
            with old.begin():
                yield old
            old.engine.dispose()
        return
    engine = engine_of(source)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as old:
            old.info["begin"] = READS
            with old.begin():
                _refuse_other(old)
                yield old
    finally:
        engine.dispose()


def _taken(file: Path, folder: str) -> Connection:
    """Return a copy of an SQLite journal, opened and up to date."""
    if not file.is_file():
        raise ConfigError(f"There is no journal {file}.", hint="Name the home with --home, or the journal with --from.")
    copy = Path(folder, file.name)
    with contextlib.closing(_read_only(file)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return schema.open_journal(url_of(copy))


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def _refuse_other(old: Connection) -> None:
    revision, _ = schema.found(old)
    if revision != schema.HEAD:
        raise ConfigError(
            f"The database {old.engine.url.database} holds no journal of this version of Dirigent.",
            hint="Start this Dirigent with it once, which brings it up to date.",
        )


def _refuse_changed(source: URL, chain: Chain) -> None:
    """Refuse a copy of what went on meanwhile: nearly everything that is written leaves its entry in the audit log."""
    if chain.broken is None and _newest(source) != chain.last_id:
        raise ConfigError(
            "The journal was written to while it was copied.", hint="Stop Dirigent (`serve`, `chat`) and copy again."
        )


def _newest(source: URL) -> int:
    file = file_of(source)
    if file is not None:
        with contextlib.closing(_read_only(file)) as old:
            return int(old.execute("SELECT max(id) FROM audit").fetchone()[0] or 0)
    engine = engine_of(source)
    try:
        with engine.connect() as old:
            old.info["begin"] = READS
            return int(old.execute(select(func.max(entries_table.c.id))).scalar() or 0)
    finally:
        engine.dispose()


# --- the target ---------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _filling(target: URL) -> Iterator[Connection]:
    """Yield the empty target within the one transaction, with all tables."""
    engine = engine_of(target)
    try:
        with _made(file_of(target)), engine.connect() as new:
            new.info["begin"] = WRITES
            with new.begin():
                _refuse_filled(new)
                schema.create_tables(new)
                yield new
    finally:
        engine.dispose()


@contextlib.contextmanager
def _made(file: Path | None) -> Iterator[None]:
    """Make the file of a target that is one, and put it away again when the copy fails."""
    if file is None:
        yield
        return
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise ConfigError(f"{file} is there already.", hint="Name a new file; nothing is written over.") from None
    try:
        yield
    except BaseException:
        for left in (file, *(file.with_name(f"{file.name}{end}") for end in ("-wal", "-shm"))):
            left.unlink(missing_ok=True)
        raise


def _refuse_filled(new: Connection) -> None:
    _, tables = schema.found(new)
    if tables:
        raise ConfigError(
            f"{new.engine.url.database} is not empty: it has {len(tables)} tables, such as {min(tables)}.",
            hint="Name an empty database (createdb makes one); nothing is written over.",
        )


def _copy(table: Table, old: Connection, new: Connection) -> int:
    """Copy a table, compare, and set what numbers its next row; return its number of rows."""
    seal, rows = hashlib.sha256(), 0
    for part in _parts(table, old):
        new.execute(table.insert(), [row._asdict() for row in part])
        rows += len(part)
        _take(seal, part)
    kept = hashlib.sha256()
    for part in _parts(table, new):
        _take(kept, part)
    if kept.digest() != seal.digest():
        raise ConfigError(
            f"The rows of {table.name} are not the same after copying; nothing was kept.",
            hint="Is the database's encoding UTF8?",
        )
    _number(table, new)
    return rows


def _parts(table: Table, connection: Connection) -> Iterator[list[Row[Any]]]:
    """Yield the rows in the order of their keys, which is the same in every database."""
    keys = [by_bytes(connection, key) if key.type.python_type is str else key for key in table.primary_key.columns]
    result = connection.execute(select(table).order_by(*keys).execution_options(yield_per=BATCH))
    yield from (list(part) for part in result.partitions())


def _take(seal: Any, rows: list[Row[Any]]) -> None:
    for row in rows:
        seal.update(repr(tuple(row)).encode("utf-8", "backslashreplace"))


def _number(table: Table, new: Connection) -> None:
    """Have the next row numbered after the last one; an SQLite file does so by itself."""
    column = table.autoincrement_column
    if column is None or not is_server(new.engine.url):
        return
    last = new.execute(select(func.max(column))).scalar()
    if last is not None:
        new.execute(select(func.setval(func.pg_get_serial_sequence(table.name, column.name), last)))


def _checked(new: Connection) -> Chain:
    chain = Chain()
    while entries := audit.after(new, chain.last_id, BATCH):
        if not chain.take(entries):
            break
    return chain
