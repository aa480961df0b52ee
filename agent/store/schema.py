"""Opening a journal: create it, or check its version and bring it up to date after a backup.

A journal that is up to date costs one query; Alembic is imported only when there is something to migrate.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger
from sqlalchemy import Column, MetaData, Table, Text, inspect, select
from sqlalchemy import text as sql
from sqlalchemy.exc import OperationalError

from agent.errors import ConfigError
from agent.store.dialect import READS, WRITES, driver_of, engine_of, file_of
from agent.store.faults import backups_of
from agent.store.server_copy import keep
from agent.store.version_tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

HEAD = "0007"
"""The newest migration; `metadata` describes the tables after it."""

MIGRATIONS = Path(__file__).parent / "migrations"
BACKUPS_KEPT = 3
LOCK_SECONDS = 60

# The same table that Alembic would make.
_version = Table("alembic_version", MetaData(), Column("version_num", Text, primary_key=True))
_CREATE_VERSION = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def open_journal(url: URL, copies: Path | None = None) -> Connection:
    """Return a connection to a journal that is up to date. Raises ConfigError; blocks, so call it in a thread.

    One that a server keeps is copied to a file in the folder `copies` before it is migrated; a file to its own folder.
    """
    file = file_of(url)
    with _alone(file):
        engine = engine_of(url)
        with contextlib.ExitStack() as opened:
            opened.callback(engine.dispose)
            connection = opened.enter_context(engine.connect())
            _bring_up_to_date(connection, file, copies)
            opened.pop_all()
        return connection


@contextlib.contextmanager
def _alone(file: Path | None) -> Iterator[None]:
    """Keep other processes from creating or migrating the same file meanwhile."""
    if file is None:
        yield
        return
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=LOCK_SECONDS, mode=0o600):
        if not file.exists():  # conversations are private; SQLite gives its -wal and -shm the mode of the file
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        yield


def _bring_up_to_date(connection: Connection, file: Path | None, copies: Path | None) -> None:
    connection.info["begin"] = READS
    with connection.begin():
        revision, tables = found(connection)
    if revision == HEAD:
        return
    if revision is None and tables:
        raise ConfigError(
            f"{file or connection.engine.url.database} holds tables but is no journal of Dirigent's.",
            hint="Name another file or database for the journal.",
        )
    connection.info["begin"] = WRITES
    if revision is None:
        _create(connection)
    else:
        _migrate(connection, revision, file, copies)


def found(connection: Connection) -> tuple[str | None, list[str]]:
    """Return the schema's revision (None when there is no journal) and the names of the tables that are there."""
    tables = inspect(connection).get_table_names()
    if _version.name not in tables:
        return None, tables
    return connection.execute(select(_version.c.version_num)).scalar(), tables


def _create(connection: Connection) -> None:
    with connection.begin():
        if found(connection)[0] is None:
            create_tables(connection)


def create_tables(connection: Connection) -> None:
    """Make all tables of a new journal within the transaction under way."""
    metadata.create_all(connection)
    connection.execute(sql(_CREATE_VERSION))
    connection.execute(_version.insert().values(version_num=HEAD))


def _migrate(connection: Connection, revision: str, file: Path | None, copies: Path | None) -> None:
    from alembic import command

    config = migrations(connection)
    _refuse_newer(config, revision, str(file or connection.engine.url.database))
    kept = backup(connection, file, revision) if file is not None else None
    logger.info("Migrating the journal from schema {} to {}.", revision, HEAD)
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:  # a table that is rebuilt would otherwise take the rows that point to it along
        _pragma(connection, "PRAGMA foreign_keys=OFF")
    with connection.begin():
        if found(connection)[0] != HEAD:  # another process may have done it while this one waited
            if file is None and copies is not None:
                kept = keep(connection, copies, revision, _make, most=BACKUPS_KEPT)
                logger.info("The journal was copied to {}.", kept)
            with _told_how_to_go_back(revision, kept):
                command.upgrade(config, "head")
    if is_sqlite:
        _pragma(connection, "PRAGMA foreign_keys=ON")


def _make(connection: Connection, revision: str) -> None:
    """Make the tables of a revision in an empty database."""
    from alembic import command

    command.upgrade(migrations(connection), revision)


@contextlib.contextmanager
def _told_how_to_go_back(revision: str, kept: Path | None) -> Iterator[None]:
    """Say what a migration that fails has left: nothing. What may pass (a full disk) is said by those who know it."""
    try:
        yield
    except (MemoryError, OSError, OperationalError):
        raise
    except Exception as error:
        logger.opt(exception=error).error("the migration failed")
        copy = f" A copy is at {kept}." if kept else ""
        raise ConfigError(
            f"The journal could not be brought from schema {revision} to {HEAD}: {type(error).__name__}: {error}",
            hint=f"It is as it was before.{copy} The earlier version of Dirigent goes on with it.",
        ) from error


def migrations(connection: Connection) -> Any:
    """Return Alembic's configuration for this connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _refuse_newer(config: Any, revision: str, journal: str) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision not in known:
        raise ConfigError(
            f"The journal {journal} was written by a newer Dirigent (its schema is {revision}, this one's {HEAD}).",
            hint="Update Dirigent, or put back the backup that was made before the update.",
        )


def backup(connection: Connection, file: Path, revision: str) -> Path:
    """Copy the open journal next to itself as `journal-<revision>-<time>.db`, keep the newest few, return the copy."""
    made = file.with_name(f"{file.stem}-{revision}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.db")
    partial = made.with_suffix(".part")
    os.close(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    target = sqlite3.connect(partial)
    try:
        driver_of(connection).backup(target)
    finally:
        target.close()
    partial.replace(made)
    for old in backups_of(file)[BACKUPS_KEPT:]:
        old.unlink(missing_ok=True)
    logger.info("The journal was copied to {}.", made)
    return made


def _pragma(connection: Connection, pragma: str) -> None:
    driver_of(connection).execute(pragma)
