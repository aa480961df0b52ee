"""An update of a journal that PostgreSQL keeps: a copy first, then everything goes on; and migrations only ever add."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from agent.errors import ConfigError
from agent.store import schema
from agent.store.dialect import engine_of, url_of
from agent.store.sql import SqlStore
from agent.testing.postgres import PostgresServer, binaries
from tests.agent.upgrade.conftest import Earlier

LATER = sorted(path for path in schema.MIGRATIONS.glob("versions/0*.py") if not path.name.startswith("0001"))


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    if binaries() is None:
        pytest.skip("PostgreSQL's programs are not installed (apt-get install postgresql)")
    with PostgresServer.start() as server:
        yield server


@pytest.fixture
def url(earlier: Earlier, postgres: PostgresServer) -> str:
    """A database as an earlier version would have left it: its tables, and the rows of its home."""
    from alembic import command

    made = postgres.new_database()
    engine, file = engine_of(url_of(made)), engine_of(url_of(earlier.journal))
    tables = MetaData()
    with engine.connect() as new, file.connect() as old, new.begin():
        command.upgrade(schema.migrations(new), earlier.schema)
        tables.reflect(old)
        for table in tables.sorted_tables:
            rows = [dict(row._mapping) for row in old.execute(table.select())]
            if rows and table.name != "alembic_version":
                new.execute(table.insert(), rows)
    engine.dispose()
    file.dispose()
    return made


def rows(journal: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        return db.execute(statement).fetchall()


async def test_it_is_copied_to_a_file_first_which_the_earlier_version_could_read(
    earlier: Earlier, url: str, tmp_path: Path
):
    store = SqlStore(url, copies=tmp_path / "home")
    await store.open()
    found = await store.unfinished_runs()
    await store.close()
    assert [run.request for run in found] == ["Do job 12", "Do job 13", "Do job 14"]
    [copy] = schema.backups_of(tmp_path / "home" / "journal.db")
    assert copy.name.startswith(f"journal-{earlier.schema}-")
    assert copy.stat().st_mode & 0o777 == 0o600
    tables = [name for (name,) in earlier.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in tables:
        if "sqlite" not in name:
            statement = f'SELECT * FROM "{name}"'
            assert sorted(rows(copy, statement), key=repr) == sorted(earlier.rows(statement), key=repr), name
    assert not list((tmp_path / "home").glob("*.part*"))


async def test_an_update_that_fails_changes_nothing_there_and_names_the_copy(
    earlier: Earlier, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from alembic import command

    real = command.upgrade

    def broken(config: object, to: str) -> None:
        if to == "head":
            raise RuntimeError("half-way")
        real(config, to)

    monkeypatch.setattr(command, "upgrade", broken)
    store = SqlStore(url, copies=tmp_path / "home")
    with pytest.raises(
        ConfigError, match=rf"from schema {earlier.schema} .*half-way.*copy is at .*journal-{earlier.schema}-"
    ):
        await store.open()
    engine = engine_of(url_of(url))
    with engine.connect() as connection:
        assert schema.found(connection)[0] == earlier.schema
    engine.dispose()


async def test_a_journal_of_a_later_version_is_left_alone_and_named(postgres: PostgresServer):
    url = postgres.new_database()
    name = url.rpartition("/")[2]
    store = SqlStore(url)
    await store.open()
    await store.close()
    postgres.execute("UPDATE alembic_version SET version_num = '9999'", name)
    with pytest.raises(ConfigError, match=rf"journal {name} was written by a newer Dirigent .*9999"):
        await store.open()
    assert postgres.execute("SELECT version_num FROM alembic_version", name).strip() == "9999"


@pytest.mark.parametrize("migration", LATER, ids=lambda path: path.stem)
def test_a_migration_only_adds_so_that_processes_of_before_work_on_meanwhile(migration: Path):
    (upgrade,) = [
        node
        for node in ast.parse(migration.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    ]
    for call in [node for node in ast.walk(upgrade) if isinstance(node, ast.Call)]:
        name = ast.unparse(call.func)
        assert not name.startswith(("op.drop", "op.rename", "op.alter", "op.batch")), name
        if name == "op.add_column":
            given = {word.arg: ast.unparse(word.value) for word in call.args[1].keywords}
            assert given.get("nullable") != "False" or "server_default" in given, ast.unparse(call)
    said = " ".join(
        node.value for node in ast.walk(upgrade) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert not {"DROP", "RENAME", "ALTER"} & set(said.upper().split())
