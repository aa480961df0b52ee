"""Which engine tests run on: this process's own, or workers at a PostgreSQL (`DIRIGENT_TEST_ENGINE=workers`).

Every home has a database of its own then, on one server that lives as long as the process that first needed it; what
that one starts uses the same.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from agent.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from pathlib import Path

ENGINE = "DIRIGENT_TEST_ENGINE"
SERVER = "DIRIGENT_TEST_POSTGRES"
DEAD_SECONDS = 6.0
_ours = contextlib.ExitStack()


def on_workers() -> bool:
    """Tell whether tests run on workers."""
    return os.environ.get(ENGINE) == "workers"


def settings_of(home: Path) -> dict[str, Any]:
    """Return the settings that put a home on the engine that is tested; none for this process's own."""
    if not on_workers():
        return {}
    return {
        "engine": "workers",
        "store": database_of(home),
        "workers": {"drain_seconds": 0.0, "dead_seconds": DEAD_SECONDS},
    }


def environment_of(home: Path) -> dict[str, str]:
    """Return the same as environment values, for processes."""
    if not on_workers():
        return {}
    return {
        "DIRIGENT_ENGINE": "workers",
        "DIRIGENT_STORE": database_of(home),
        "DIRIGENT_WORKERS__DRAIN_SECONDS": "0",
        "DIRIGENT_WORKERS__DEAD_SECONDS": str(DEAD_SECONDS),
        ENGINE: "workers",
        SERVER: os.environ[SERVER],
    }


def database_of(home: Path) -> str:
    """Return the address of the database that is a home's, made at its first use."""
    name = f"home_{hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:16]}"
    server = _server()
    if server.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == "":  # noqa: S608  # a digest
        with contextlib.suppress(RuntimeError):  # another process was faster
            server.execute(f"CREATE DATABASE {name}")
    return server.url(name)


def journal_of(home: Path) -> str:
    """Return where a home's journal is: a file's path, or an address."""
    return database_of(home) if on_workers() else str(home / "journal.db")


def rows(home: Path, statement: str) -> list[tuple[str, ...]]:
    """Return what a home's journal answers, as text without `|` in it; nothing while it has no tables."""
    if on_workers():
        with contextlib.suppress(RuntimeError):
            said = _server().execute(statement, database_of(home).rpartition("/")[2])
            return [tuple(line.split("|")) for line in said.splitlines()]
        return []
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(_read_only(home)) as db:
        return [tuple(map(str, row)) for row in db.execute(statement)]
    return []


def _read_only(home: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{home / 'journal.db'}?mode=ro", uri=True)


def _server() -> PostgresServer:
    """Return the server, which is started by whoever needs it first."""
    if SERVER not in os.environ:
        server = _ours.enter_context(PostgresServer.start())
        atexit.register(_ours.close)
        os.environ[SERVER] = f"{server.programs}:{server.port}"
    programs, _, port = os.environ[SERVER].rpartition(":")
    from pathlib import Path

    return PostgresServer(Path(programs), int(port))
