"""Opening: created or migrated alike, after a backup, by one process at a time."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from agent.domain.versions import Snapshot
from agent.errors import ConfigError, DirigentError
from agent.store import schema
from agent.store.dialect import engine_of, url_of
from agent.store.sql import SqlStore
from agent.store.tables import metadata


def the_schema(file: Path) -> dict[str, str]:
    connection = sqlite3.connect(file)
    try:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    finally:
        connection.close()
    return {name: normal(sql) for name, sql in rows}


def normal(sql: str) -> str:
    """Without white space, and with a table's constraints in one order: the order has no meaning."""
    parts = re.sub(r"\s+", "", sql).rstrip(")").split(",CONSTRAINT")
    return "|".join([parts[0], *sorted(part.rstrip(")") for part in parts[1:])])


def by_migrations(file: Path, to: str = "head") -> None:
    from alembic import command

    engine = engine_of(url_of(file))
    with engine.connect() as connection, connection.begin():
        command.upgrade(schema.migrations(connection), to)
    engine.dispose()


def execute(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def as_if_older(file: Path) -> None:
    """Make the journal one of a schema that came before the newest."""
    execute(file, "DROP TABLE audit", "UPDATE alembic_version SET version_num = '0000'")


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Migrations with an additional, older beginning, so that there is something to migrate."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text((schema.MIGRATIONS / "env.py").read_text())
    (folder / "versions" / "0000_before.py").write_text("revision = '0000'\ndown_revision = None\n")
    (folder / "versions" / "0001_audit.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        "from agent.store.tables import audit\n"
        "revision = '0001'\ndown_revision = '0000'\n"
        "def upgrade():\n    audit.create(op.get_bind())\n",
    )
    monkeypatch.setattr(schema, "MIGRATIONS", folder)


async def opened(file: Path) -> SqlStore:
    store = SqlStore(file)
    await store.open()
    return store


async def test_migrations_make_the_same_tables_as_a_new_journal_has(tmp_path: Path):
    await (await opened(tmp_path / "new.db")).close()
    by_migrations(tmp_path / "migrated.db")

    assert the_schema(tmp_path / "migrated.db") == the_schema(tmp_path / "new.db")


def test_alembic_finds_nothing_left_to_migrate(tmp_path: Path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    by_migrations(tmp_path / "migrated.db")
    engine = engine_of(url_of(tmp_path / "migrated.db"))
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []


def test_the_newest_migration_is_the_one_the_tables_describe(tmp_path: Path):
    from alembic.script import ScriptDirectory

    engine = engine_of(url_of(tmp_path / "x.db"))
    with engine.connect() as connection:
        head = ScriptDirectory.from_config(schema.migrations(connection)).get_current_head()
    engine.dispose()

    assert head == schema.HEAD


def test_the_migrations_can_be_taken_back(tmp_path: Path):
    from alembic import command

    by_migrations(tmp_path / "x.db")
    engine = engine_of(url_of(tmp_path / "x.db"))
    with engine.connect() as connection, connection.begin():
        command.downgrade(schema.migrations(connection), "base")
    engine.dispose()

    assert set(the_schema(tmp_path / "x.db")) <= {"alembic_version"}


def test_postgresql_takes_every_table():
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


async def test_only_its_owner_may_read_a_journal(tmp_path: Path):
    await (await opened(tmp_path / "home" / "journal.db")).close()

    assert stat.S_IMODE((tmp_path / "home" / "journal.db").stat().st_mode) == 0o600


async def test_a_journal_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path):
    await (await opened(tmp_path / "journal.db")).close()
    code = (
        "import asyncio, sys; from agent.store.sql import SqlStore; store = SqlStore(sys.argv[1]); "
        "asyncio.run(store.open()); print('alembic' in sys.modules)"
    )

    for name in ("journal.db", "new.db"):
        said = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, text=True, check=True
        )
        assert said.stdout.strip() == "False"


async def test_a_journal_is_copied_before_it_is_migrated(tmp_path: Path, older: None):
    file = tmp_path / "journal.db"
    store = await opened(file)
    await store.set_value("offset", "17")
    await store.close()
    as_if_older(file)

    store = await opened(file)

    [backup] = schema.backups_of(file)
    assert re.fullmatch(r"journal-0000-\d{8}T\d{6}\.db", backup.name)
    assert "audit" not in the_schema(backup)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    await store.audit("x", "s", {})
    assert await store.get_value("offset") == "17"
    await store.close()


async def test_only_the_newest_backups_are_kept(tmp_path: Path, older: None):
    file = tmp_path / "journal.db"
    await (await opened(file)).close()
    names = [f"journal-0000-2020010{day}T000000.db" for day in range(1, 6)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    as_if_older(file)

    await (await opened(file)).close()

    kept = [path.name for path in schema.backups_of(file)]
    assert len(kept) == schema.BACKUPS_KEPT
    assert kept[1:] == [names[4], names[3]]


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path, older: None):
    file = tmp_path / "journal.db"
    await (await opened(file)).close()
    as_if_older(file)
    broken = schema.MIGRATIONS / "versions" / "0001_audit.py"
    broken.write_text(broken.read_text() + "    raise RuntimeError('half-way')\n")

    with pytest.raises(ConfigError, match=r"from schema 0000 .*half-way.*as it was before.*journal-0000-"):
        await opened(file)

    assert "audit" not in the_schema(file)


async def test_the_journal_of_a_newer_dirigent_is_refused(tmp_path: Path):
    file = tmp_path / "journal.db"
    await (await opened(file)).close()
    execute(file, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(ConfigError, match=r"journal\.db was written by a newer Dirigent .*9999.*Update"):
        await opened(file)


async def test_a_database_of_something_else_is_refused(tmp_path: Path):
    file = tmp_path / "photos.db"
    execute(file, "CREATE TABLE photos (id INTEGER)")

    with pytest.raises(ConfigError, match=r"photos\.db holds tables but is no journal"):
        await opened(file)

    assert set(the_schema(file)) == {"photos"}


async def test_a_damaged_journal_is_named_together_with_its_backups(tmp_path: Path):
    file = tmp_path / "journal.db"
    file.write_bytes(b"this is no database" * 1000)
    (tmp_path / "journal-0001-20260101T000000.db").write_bytes(b"")

    with pytest.raises(ConfigError, match=r"journal\.db is damaged .*journal-0001-20260101T000000\.db"):
        await opened(file)


async def test_pages_lost_in_the_middle_are_called_damage(tmp_path: Path):
    file = tmp_path / "journal.db"
    store = await opened(file)
    for i in range(200):
        await store.set_value(f"key {i}", "v" * 500)
    await store.close()
    with file.open("r+b") as damaged:
        damaged.seek(4096 * 30)
        damaged.write(os.urandom(file.stat().st_size - 4096 * 30))

    async def use_it() -> None:
        store = await opened(file)
        try:
            await asyncio.gather(*(store.get_value(f"key {i}") for i in range(200)))
        finally:
            await store.close()

    with pytest.raises(ConfigError, match=r"journal\.db is damaged"):
        await use_it()


async def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(DirigentError, match="file"):
        await opened(tmp_path / "file" / "journal.db")


def test_an_unknown_kind_of_database_is_refused_with_the_kinds_that_work():
    with pytest.raises(ConfigError, match=r"'mysql'.*postgresql"):
        SqlStore("mysql://localhost/journal")


async def test_a_journal_in_memory_works(tmp_path: Path):
    store = SqlStore("sqlite://")
    await store.open()
    await store.set_value("a", "b")

    assert await store.get_value("a") == "b"
    await store.close()


@pytest.mark.crash
def test_two_processes_may_create_the_same_journal_at_the_same_time(tmp_path: Path):
    code = (
        "import asyncio, sys\nfrom agent.store.sql import SqlStore\n"
        "async def main():\n    store = SqlStore(sys.argv[1])\n    await store.open()\n"
        "    await store.set_value(sys.argv[2], 'here')\n    await store.close()\n"
        "asyncio.run(main())\n"
    )
    file = tmp_path / "journal.db"
    children = [subprocess.Popen([sys.executable, "-c", code, str(file), str(i)]) for i in range(3)]

    assert [child.wait(200) for child in children] == [0, 0, 0]
    connection = sqlite3.connect(file)
    assert connection.execute('SELECT count(*) FROM "values"').fetchone() == (3,)
    connection.close()


async def test_a_journal_of_schema_0002_is_upgraded_with_all_that_is_in_it(tmp_path: Path):
    file = tmp_path / "journal.db"
    by_migrations(file, "0002")
    execute(
        file,
        "INSERT INTO inbox (id, channel, update_id, session_id, text, body, received_at) "
        "VALUES (1, 'telegram', '1', 's', 'hi', '{}', 1)",
        "INSERT INTO runs (id, ref, session_id, inbox_id, user_id, origin, request, dest, status, provenance, "
        "created_at) VALUES (1, 'r', 's', 1, '7', 'message', 'do it', '{}', 'RUNNING', '{\"sources\":[]}', 1)",
        "INSERT INTO approvals (id, run_id, step_id, session_id, tool, asked_at) VALUES ('a', 1, 'x', 's', 'mail', 1)",
        "INSERT INTO ledger (session_id, run_id, step_id, kind, prompt_tokens, money, estimated, at) "
        "VALUES ('s', 1, '', 'plan', 100, 0.1, 0, 1763730000), ('s', 1, '', 'plan', 50, 0.2, 0, 1763730000), "
        "('s', NULL, '', 'memory', 5, NULL, 0, 1763730000)",
    )
    store = await opened(file)

    run = await store.get_run(1)
    [approval] = await store.approvals_of(1)
    of_run, of_session = await store.balance("run:1"), await store.balance("session:s")
    of_month = await store.balance("month:2025-11")
    await store.close()
    assert (run.request, run.source, run.project, run.budget) == ("do it", "", "", None)
    assert (approval.choices, approval.comment) == (("allow", "deny"), "")
    assert (of_run.money, of_run.tokens) == (0.3, 150)
    assert (of_session.money, of_session.tokens) == (of_month.money, of_month.tokens) == (0.3, 155)
    assert len(schema.backups_of(file)) == 1


async def test_a_journal_of_schema_0005_is_upgraded_and_keeps_earlier_states_from_then_on(tmp_path: Path):
    file = tmp_path / "journal.db"
    by_migrations(file, "0005")
    execute(
        file,
        "INSERT INTO runs (id, ref, session_id, user_id, origin, request, dest, status, provenance, created_at) "
        "VALUES (1, 'r', 's', '7', 'message', 'do it', '{}', 'COMPLETED', '{\"sources\":[]}', 1)",
        "INSERT INTO artifacts (session_id, run_id, step_id, path, size, current, created_at) "
        "VALUES ('s', 1, 'x', 'a.csv', 3, 1, 1)",
    )
    store = await opened(file)
    await store.add_snapshot(Snapshot("s", 1, "digest"))
    (found,) = await store.snapshots("s")
    rows = await store.label_rows("s")
    await store.close()
    assert (found.before, found.state) == ("digest", "taken")
    assert list(rows) == ["a.csv"]
