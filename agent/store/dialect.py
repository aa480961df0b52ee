"""What differs between databases, and nothing else: connecting, beginning, and statements compiled once."""

from __future__ import annotations

import sqlite3
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import collate, create_engine, event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection, Dialect, Engine, Table
    from sqlalchemy.sql.dml import UpdateBase

BUSY_SECONDS = 10
OLDEST = 130_000  # what it is asked about a lost commit came with PostgreSQL 13
IDLE_SECONDS = 20  # of a process that was stopped in the middle of a transaction
TURN_SECONDS = 30  # until it is another's turn
DRIVER = "postgresql+psycopg"
ADDRESS = "Give the path of an SQLite file, or an address such as postgresql://user:password@host/database."
# Whoever writes has the journal to itself until it has committed, as with the file: nothing that is read before it is
# written can be overtaken, and nobody ever locks another out. Reading waits for nobody.
ALONE = "SELECT pg_current_xact_id()::text::bigint FROM pg_advisory_xact_lock(5340871214)"
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
    try:
        url = make_url(url_or_path)
    except ArgumentError:
        raise ConfigError("The journal's address can't be read.", hint=ADDRESS) from None  # it may hold a password
    kind = url.drivername.partition("+")[0]
    if kind in {"postgresql", "postgres"}:
        return url.set(drivername=DRIVER)
    if kind != "sqlite":
        raise ConfigError(f"The journal cannot be kept in {kind!r}.", hint=ADDRESS)
    return url


def is_server(url: URL) -> bool:
    """Tell whether the journal is kept by a database server, which other processes and machines may use too."""
    return url.get_backend_name() == "postgresql"


def file_of(url: URL) -> Path | None:
    """Return the SQLite file behind `url`; None for a database server or one in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database)


def engine_of(url: URL) -> Engine:
    """Return an engine; nothing is opened yet. Values never appear in errors: they may be private."""
    if is_server(url):
        return _server_engine(url)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _server_engine(url: URL) -> Engine:
    try:
        engine = create_engine(
            url.difference_update_query(["application_name", "connect_timeout"]),
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            connect_args={
                "application_name": url.query.get("application_name", "dirigent"),
                "connect_timeout": url.query.get("connect_timeout", BUSY_SECONDS),
            },
        )
    except ModuleNotFoundError:
        raise ConfigError(
            "The journal is to be kept in PostgreSQL, and its driver is not installed.",
            hint="Install it with: pip install 'dirigent[postgres]'",
        ) from None
    event.listen(engine, "connect", _prepare_server)
    event.listen(engine, "begin", _begin_server)
    return engine


def _prepare_server(connection: Any, _record: Any) -> None:
    encoding, version = connection.info.parameter_status("server_encoding"), connection.info.server_version
    if version < OLDEST or encoding != "UTF8":
        connection.close()
        raise ConfigError(
            f"The journal's database is of PostgreSQL {version // 10_000}, its encoding is {encoding}.",
            hint="It takes PostgreSQL 13 or newer, and a database that was made with the encoding UTF8.",
        )
    # Nobody waits for ever: neither for another's lock, nor for a process that is stopped in the middle.
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{TURN_SECONDS}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
    connection.commit()


def _begin_server(connection: Connection) -> None:
    connection.info["number"] = None
    if connection.info.get("begin", WRITES) == WRITES:
        try:
            connection.info["number"] = connection.exec_driver_sql(ALONE).scalar()
        except DBAPIError as error:
            if not error.connection_invalidated:
                connection.connection.rollback()
            raise


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


def by_bytes(connection: Connection, column: ColumnElement[str]) -> ColumnElement[str]:
    """Return a column of text as it is to be compared: by its bytes, whatever order of words the database has."""
    return collate(column, "C") if connection.dialect.name == "postgresql" else column


def number_of(connection: Connection) -> int | None:
    """Return the number of the transaction under way for `fate_of`; None where nobody needs to ask."""
    number: int | None = connection.info.get("number")
    return number


def fate_of(connection: Connection, number: int) -> bool | None:
    """Tell whether the transaction with this number was committed; None while it still goes on."""
    fate = connection.execute(text("SELECT pg_xact_status(CAST(:number AS xid8))"), {"number": str(number)}).scalar()
    return None if fate == "in progress" else fate == "committed"


class Prepared:
    """A statement that is compiled once for each kind of database and then run for many rows at a time.

    `names` are its parameters in the order in which the rows (tuples) hold them. `on_server` is the statement for
    PostgreSQL, where it is another object though the words are the same.
    """

    def __init__(self, statement: UpdateBase, names: Sequence[str], *, on_server: UpdateBase | None = None) -> None:
        self._statement = statement
        self._on_server = statement if on_server is None else on_server
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
        statement = self._on_server if dialect.name == "postgresql" else self._statement
        compiled = statement.compile(dialect=dialect, column_keys=list(self._names))
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
