"""`migrate-store`: a journal in another database is the same journal, or nothing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.domain.ledger import Cap, Usage
from agent.domain.messages import Destination, InboundMessage, MessageKind, OutboundMessage
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Question, Run
from agent.errors import ConfigError
from agent.store import copying, schema
from agent.store.copying import copy_journal
from agent.store.dialect import engine_of, url_of
from agent.store.sql import SqlStore
from agent.testing.postgres import PostgresServer

DEST = Destination("telegram", "4711")


async def opened(place: str | Path) -> SqlStore:
    store = SqlStore(place)
    await store.open()
    return store


async def fill(place: str | Path) -> Run:
    store = await opened(place)
    await store.touch_session("telegram:4711", Path("/x"), DEST.to_json())
    heard = await store.receive([InboundMessage("telegram", str(n), DEST, "7", text=f"Grüße {n} 🎼") for n in range(5)])
    run = await store.open_run(Run("telegram:4711", "do it", DEST, inbox_id=heard[0].id, budget=0.1))
    leased = await store.lease_run(run.id, "me", 60)
    await store.add_steps(
        run.id, leased.epoch, [PlanStep(id=name, tool="t", args={"a": [1.5, None]}) for name in "bac"], USER
    )
    await store.ask(
        Question("q", run.id, "", "telegram:4711", "Which?"),
        None,
        OutboundMessage(DEST, MessageKind.QUESTION, "q", {"n": 1}),
    )
    held = await store.reserve([Cap("day:x")], money=0.1, tokens=5)
    await store.settle(held.id, "telegram:4711", run.id, "", [Usage("x", money=1 / 3, prompt_tokens=2)])
    for key in ("a", "B", "_", "ä", "A"):
        await store.set_value(key, key)
    await store.close()
    return run


def digest_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


async def test_a_journal_goes_to_a_server_and_back_whole(tmp_path: Path, postgres: PostgresServer):
    file, url, back = tmp_path / "journal.db", postgres.new_database(), tmp_path / "back.db"
    run = await fill(file)
    before = digest_of(file)

    there = copy_journal(url_of(file), url_of(url))
    home = copy_journal(url_of(url), url_of(back))

    assert digest_of(file) == before
    assert there == home
    assert (there.rows["inbox"], there.rows["tasks"], there.rows["values"], there.chain.broken) == (5, 3, 5, None)
    old, new, again = [await opened(place) for place in (file, url, back)]
    for each in (new, again):
        assert await each.get_run(run.id) == await old.get_run(run.id)
        assert await each.get_steps(run.id) == await old.get_steps(run.id)
        assert await each.open_questions("telegram:4711") == await old.open_questions("telegram:4711")
        assert await each.balance("day:x") == await old.balance("day:x")
        assert await each.audit_after(0) == await old.audit_after(0)
    for each in (old, new, again):
        await each.close()


async def test_what_comes_after_is_numbered_after_what_was_there(tmp_path: Path, postgres: PostgresServer):
    url = postgres.new_database()
    run = await fill(tmp_path / "journal.db")
    copy_journal(url_of(tmp_path / "journal.db"), url_of(url))

    store = await opened(url)
    newer = await store.open_run(Run("telegram:4711", "next", DEST))
    [heard] = await store.receive([InboundMessage("telegram", "99", DEST, "7", text="new")])
    assert (newer.id, heard.id) == (run.id + 1, 6)
    entries = await store.audit_after(0)
    assert [entry.id for entry in entries] == sorted(entry.id for entry in entries)
    await store.close()


async def test_a_target_with_anything_in_it_is_refused(tmp_path: Path, postgres: PostgresServer):
    url = postgres.new_database()
    await fill(tmp_path / "journal.db")
    postgres.execute("CREATE TABLE photos (id int)", url.rpartition("/")[2])

    with pytest.raises(ConfigError, match=r"not empty: it has 1 tables, such as photos"):
        copy_journal(url_of(tmp_path / "journal.db"), url_of(url))
    with pytest.raises(ConfigError, match=r"journal\.db is there already"):
        copy_journal(url_of(tmp_path / "journal.db"), url_of(tmp_path / "journal.db"))


async def test_a_copy_of_what_goes_on_is_refused_and_leaves_nothing(
    tmp_path: Path, postgres: PostgresServer, monkeypatch
):
    url = postgres.new_database()
    await fill(tmp_path / "journal.db")
    monkeypatch.setattr(copying, "_newest", lambda _source: 10_000)

    with pytest.raises(ConfigError, match="written to while it was copied"):
        copy_journal(url_of(tmp_path / "journal.db"), url_of(url))
    with pytest.raises(ConfigError, match="written to while it was copied"):
        copy_journal(url_of(tmp_path / "journal.db"), url_of(tmp_path / "other.db"))

    assert (
        postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url.rpartition("/")[2]) == "0\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("other")) == []


async def test_a_journal_of_before_is_brought_up_to_date_in_the_copy_only(tmp_path: Path, postgres: PostgresServer):
    from alembic import command

    file, url = tmp_path / "journal.db", postgres.new_database()
    engine = engine_of(url_of(file))
    with engine.connect() as connection, connection.begin():
        command.upgrade(schema.migrations(connection), "0004")
        connection.exec_driver_sql("INSERT INTO audit (kind, session_id, detail, at) VALUES ('old', 's', '{}', 1.5)")
    engine.dispose()
    before = digest_of(file)

    copied = copy_journal(url_of(file), url_of(url))

    assert (copied.chain.broken, copied.chain.count) == (None, 1)
    assert digest_of(file) == before


async def test_a_source_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no journal .*nowhere\.db"):
        copy_journal(url_of(tmp_path / "nowhere.db"), url_of(tmp_path / "other.db"))
    assert list(tmp_path.iterdir()) == []


async def test_the_command_says_what_it_copied_and_what_to_set(tmp_path: Path, postgres: PostgresServer):
    url = postgres.new_database()
    await fill(tmp_path / "journal.db")

    done = subprocess.run(
        [sys.executable, "-m", "agent", "migrate-store", "--home", str(tmp_path), "--to", url],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "  tasks: 3\n" in done.stdout
    assert "The audit log fits" in done.stdout
    assert f'store = "{url}"' in done.stdout


def test_an_address_of_another_kind_is_refused(tmp_path: Path, capsys):
    assert main(["migrate-store", "--home", str(tmp_path), "--to", "mysql://x/y"]) == 1
    assert "cannot be kept in 'mysql'" in capsys.readouterr().err


async def test_an_export_holds_the_journal_of_a_server_as_a_file(tmp_path: Path, postgres: PostgresServer):
    url, home, file = postgres.new_database(), tmp_path / "home", tmp_path / "all.tar.gz"
    run = await fill(url)
    home.mkdir()
    (home / "dirigent.toml").write_text(f'model = "offline"\nstore = "{url}"\n')
    using = await opened(url)  # it may go on meanwhile

    assert main(["export", "--home", str(home), str(file)]) == 0
    assert main(["import", "--home", str(tmp_path / "again"), str(file)]) == 0

    assert (tmp_path / "again" / "dirigent.toml").read_text() == 'model = "offline"\n'
    store = await opened(tmp_path / "again" / "journal.db")
    assert await store.get_run(run.id) == await using.get_run(run.id)
    await store.close()
    await using.close()
