"""What differs between databases, and nothing else: connecting, beginning, and statements compiled once."""

from __future__ import annotations

import sqlite3
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import URL, make_url

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Dialect, Engine, Table
    from sqlalchemy.sql.dml import UpdateBase

BUSY_SECONDS = 10
READS = "BEGIN"
WRITES = "BEGIN IMMEDIATE"
PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}",
    "PRAGMA cache_size=-16000",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA journal_size_limit=33554432",
)


def url_of(url_or_path: str | Path) -> URL:
    """Return the database's address; anything without `://` is the path of an SQLite file."""
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        return URL.create("sqlite", database=str(url_or_path))
    url = make_url(url_or_path)
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigError(
            f"The journal cannot be kept in {url.get_backend_name()!r}.",
            hint="Give the path of an SQLite file, or an address that begins with postgresql+psycopg://.",
        )
    return url


def file_of(url: URL) -> Path | None:
    """Return the SQLite file behind `url`; None for a database server or one in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


def engine_of(url: URL) -> Engine:
    """Return an engine; nothing is opened yet. Values never appear in errors: they may be private."""
    if url.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Python's driver would begin transactions by its own rules; `_begin_sqlite` does it by ours.
    connection.isolation_level = None
    for pragma in PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that turns from reading to writing half-way may fail at once, however long the timeout is;
    # one that says at its beginning that it will write waits for its turn.
    driver_of(connection).execute(connection.info.get("begin", WRITES))


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return Python's own connection to the SQLite file."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def insert(connection: Connection, table: Table) -> sqlite_dialect.Insert | postgresql.Insert:
    """Return an INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite_dialect.insert(table)


class Prepared:
    """A statement that is compiled once for each kind of database and then run for many rows at a time.

    `names` are its parameters in the order in which the rows (tuples) hold them.
    """

    def __init__(self, statement: UpdateBase, names: Sequence[str]) -> None:
        self._statement = statement
        self._names = tuple(names)
        self._compiled: dict[str, tuple[str, Callable[[tuple[Any, ...]], Any]]] = {}

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Run it once per row and return how many rows of the table were touched in all."""
        dialect = connection.dialect
        sql, arrange = self._compiled.get(dialect.name) or self._compile(dialect)
        arranged = [arrange(row) for row in rows]
        if dialect.name == "sqlite":  # a third of the time of a step that is journalled alone would go to the way there
            return driver_of(connection).executemany(sql, arranged).rowcount
        return connection.exec_driver_sql(sql, arranged).rowcount

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[tuple[Any, ...]], Any]]:
        compiled = self._statement.compile(dialect=dialect, column_keys=list(self._names))
        arrange: Callable[[tuple[Any, ...]], Any]
        if compiled.positional:
            order = compiled.positiontup or []
            arrange = itemgetter(*(self._names.index(name) for name in order))
        else:
            names = self._names

            def arrange(row: tuple[Any, ...]) -> dict[str, Any]:
                return dict(zip(names, row, strict=True))

        self._compiled[dialect.name] = (str(compiled), arrange)
        return self._compiled[dialect.name]
