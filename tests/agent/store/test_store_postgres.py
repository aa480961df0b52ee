"""The journal on PostgreSQL: what a server, several processes and lost connections bring along."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.domain.messages import Destination, OutboundMessage
from agent.domain.run import Run
from agent.errors import ConfigError, JournalFailed
from agent.store.dialect import url_of
from agent.store.server_bell import ServerBell
from agent.store.sql import SqlStore
from agent.testing import Bot, step
from agent.testing.postgres import PostgresServer
from plugins.api import tool

DEST = Destination("telegram", "4711")
CONTENDS = """
import asyncio, sys
from agent.domain.ledger import Cap, Usage
from agent.domain.messages import Destination, InboundMessage, MessageKind, OutboundMessage
from agent.domain.run import Run
from agent.domain.states import Status
from agent.store.sql import SqlStore

DEST = Destination("telegram", "1")

async def take(store, name, number):
    heard = await store.receive([InboundMessage("telegram", str(number), DEST, "7", text="hi")])
    for message in heard:
        await store.open_run(Run("s", "x", DEST, inbox_id=message.id, project="p%d" % (number % 5)))
        print("heard", number, flush=True)
    for run in await store.unfinished_runs():
        leased = await store.lease_run(run.id, f"{name}{number}", 60)
        if leased is None:
            continue
        print("leased", run.id, flush=True)
        held = await store.reserve([Cap("day:x", money=0.5), Cap("run:%d" % run.id)], money=0.01, tokens=1)
        if not held.refused:
            await store.settle(held.id, "s", run.id, "", [Usage("x", money=0.01)])
            print("paid", run.id, flush=True)
        await store.post(OutboundMessage(DEST, MessageKind.NOTICE, "n%d" % (number % 7), {"text": name}))
        for status in (Status.READY, Status.RUNNING):
            await store.change_run(run.id, leased.epoch, status=status)
        await store.finish_run(run.id, leased.epoch, status=Status.COMPLETED)

async def main(url, name):
    store = SqlStore(url)
    await store.open()
    for first in range(0, 60, 6):
        await asyncio.gather(*(take(store, name, number) for number in range(first, first + 6)))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


@tool
def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


async def opened(url: str) -> SqlStore:
    store = SqlStore(url)
    await store.open()
    return store


async def audited(store: SqlStore) -> tuple[object, int]:
    from agent.domain.audit import Chain

    chain = Chain()
    while entries := await store.audit_after(chain.last_id):
        if not chain.take(entries):
            break
    return chain.broken, chain.count


@pytest.mark.timeout(300)
async def test_of_processes_that_contend_each_thing_is_done_by_one(url: str):
    store = await opened(url)  # it makes the tables
    words = [sys.executable, "-c", CONTENDS, url]
    workers = [subprocess.Popen([*words, name], stdout=subprocess.PIPE, text=True) for name in ("a", "b", "c")]
    said = [await asyncio.to_thread(worker.communicate) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]

    done = Counter(line for out, _ in said for line in out.splitlines())
    spent = await store.spent(session_id="s")
    balance = await store.balance("day:x")
    broken, _ = await audited(store)
    notices = await store.messages_of("telegram:1")
    runs = await store.recent_runs(limit=1_000)
    await store.close()
    heard = {line for line in done if line.startswith("heard")}
    assert len(heard) == len(runs) == 60
    assert {done[line] for line in heard} == {1}
    assert all(done[f"leased {run.id}"] == 1 == run.starts for run in runs)
    assert sum(done[line] for line in done if line.startswith("paid")) == 50  # the cap, to the cent
    assert (spent["calls"], balance.money, balance.reserved_money) == (50, 0.5, 0.0)
    assert len(notices) == 7
    assert broken is None


async def test_two_who_lease_runs_of_one_project_at_once_do_not_overlap(url: str):
    stores = [await opened(url) for _ in range(2)]
    for number in range(20):
        pair = [await stores[0].open_run(Run("s", "x", DEST, project=f"p{number}")) for _ in stores]
        leased = await asyncio.gather(
            *(
                store.lease_run(run.id, f"w{place}", 60)
                for place, (store, run) in enumerate(zip(stores, pair, strict=True))
            )
        )
        assert sum(run is not None for run in leased) == 1
    for store in stores:
        await store.close()


async def test_a_journal_that_another_keeps_locked_is_reported_and_works_again_after(url: str):
    store, other = await opened(url), await opened(url)
    await store._do(lambda connection: connection.exec_driver_sql("SET lock_timeout = '50ms'"))
    held, free = threading.Event(), threading.Event()

    def hold(connection) -> None:
        held.set()
        free.wait(60)

    holding = other._do(hold)
    await asyncio.to_thread(held.wait, 60)
    with pytest.raises(JournalFailed, match="Another process has kept"):
        await store.set_value("a", "b")
    assert await store.get_value("a") is None  # reading waits for nobody
    free.set()
    await holding
    await store.set_value("a", "b")
    assert await store.get_value("a") == "b"
    await store.close()
    await other.close()


async def test_a_connection_that_is_lost_is_made_anew(url: str, postgres: PostgresServer):
    store = await opened(url)
    await store.set_value("a", "1")
    gone = postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dirigent' "
        f"AND datname = '{url.rpartition('/')[2]}'"
    )
    assert gone.strip() == "t"
    await store.set_value("b", "2")
    assert (await store.get_value("a"), await store.get_value("b")) == ("1", "2")
    await store.close()


@pytest.mark.parametrize("kept", [True, False])
async def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_done_twice(url: str, monkeypatch, kept: bool):
    from agent.domain.ledger import Usage

    store = await opened(url)
    connection = store._writer._batches._connection
    lost = [True]

    def commit(dbapi_connection) -> None:
        if lost and lost.pop():
            if kept:
                dbapi_connection.commit()
            dbapi_connection.driver_connection.close()
        dbapi_connection.commit()

    monkeypatch.setattr(connection.dialect, "do_commit", commit)
    await store.spend("s", None, "", [Usage("x", prompt_tokens=1)])
    assert not lost
    assert (await store.spent(session_id="s"))["calls"] == 1
    await store.close()


async def test_a_database_of_something_else_is_refused(url: str, postgres: PostgresServer):
    postgres.execute("CREATE TABLE photos (id int)", url.rpartition("/")[2])
    store = SqlStore(url)
    with pytest.raises(ConfigError, match="holds tables but is no journal"):
        await store.open()


async def test_a_database_of_another_encoding_is_refused(postgres: PostgresServer):
    postgres.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    store = SqlStore(postgres.url("latin"))
    with pytest.raises(ConfigError, match=r"encoding is LATIN1\..*UTF8"):
        await store.open()


async def test_a_server_that_is_not_there_is_named_without_the_password():
    from agent.errors import DirigentError

    store = SqlStore("postgresql://dirigent:s3cret@127.0.0.1:1/journal")
    with pytest.raises(DirigentError) as caught:
        await store.open()
    assert "postgresql://dirigent:***@127.0.0.1:1/journal can't be reached" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.crash
def test_processes_may_create_the_same_journal_at_the_same_time(url: str):
    code = (
        "import asyncio, sys\nfrom agent.store.sql import SqlStore\n"
        "async def main():\n    store = SqlStore(sys.argv[1])\n    await store.open()\n    await store.close()\n"
        "asyncio.run(main())"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [process.wait(200) for process in processes] == [0, 0, 0]


async def test_migrations_make_the_same_tables_as_a_new_journal_has(postgres: PostgresServer):
    from alembic import command
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from agent.store import schema
    from agent.store.dialect import engine_of, url_of
    from agent.store.people_tables import metadata

    engine = engine_of(url_of(postgres.new_database()))
    with engine.connect() as connection:
        with connection.begin():
            command.upgrade(schema.migrations(connection), "head")
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


async def test_a_journal_of_before_is_brought_up_to_date(url: str):
    from alembic import command

    from agent.store import schema
    from agent.store.dialect import engine_of, url_of

    engine = engine_of(url_of(url))
    with engine.connect() as connection, connection.begin():
        command.upgrade(schema.migrations(connection), "0004")
        connection.exec_driver_sql("INSERT INTO audit (kind, session_id, detail, at) VALUES ('old', 's', '{}', 1.5)")
    engine.dispose()
    store = await opened(url)
    await store.audit("new", "s", {})
    assert await audited(store) == (None, 2)
    await store.close()


async def test_a_whole_conversation_is_kept_there_and_goes_on_after_a_restart(url: str, tmp_path: Path):
    async with Bot(tmp_path, [shout], store=url) as bot:
        bot.llm.will_plan(
            step("s1", "shout", text="hello"), step("s2", ask="Which one?", options=("a", "b"), after=("s1",))
        )
        assert not (await bot.hears("shout hello")).text
    assert not (tmp_path / "journal.db").exists()
    async with Bot(tmp_path, [shout], store=url) as bot:
        bot.llm.will_answer("HELLO, a")
        answer = await bot.hears("a")
    assert (answer.text, bot.statuses) == ("HELLO, a", {"s1": "COMPLETED", "s2": "COMPLETED"})


async def heard_within_a_minute(bell: asyncio.Event) -> None:
    await asyncio.wait_for(bell.wait(), 60)
    bell.clear()


async def test_a_bell_wakes_the_processes_at_the_same_database(url: str):
    rung, listener = asyncio.Event(), ServerBell(url_of(url))
    assert await asyncio.to_thread(ServerBell(url_of(url)).ring) == 0
    with listener.listening(rung.set):
        await heard_within_a_minute(rung)  # at first it does not know what was missed
        assert await asyncio.to_thread(ServerBell(url_of(url)).ring) == 1
        await heard_within_a_minute(rung)
    assert await asyncio.to_thread(ServerBell(url_of(url)).ring) == 0


async def test_a_bell_goes_on_when_its_connection_is_lost(url: str, postgres: PostgresServer):
    rung, listener, other = asyncio.Event(), ServerBell(url_of(url)), ServerBell(url_of(url))
    with listener.listening(rung.set):
        await heard_within_a_minute(rung)
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dirigent_bell' "
            f"AND datname = '{url.rpartition('/')[2]}'"
        )
        await heard_within_a_minute(rung)  # it listens again
        await asyncio.to_thread(other.ring)
        await heard_within_a_minute(rung)


async def test_a_trigger_that_is_made_elsewhere_is_noticed_at_once(url: str, tmp_path: Path):
    async with Bot(tmp_path / "one", store=url) as serving, Bot(tmp_path / "two", store=url) as other:
        noticed = asyncio.Event()
        bell = serving.app.automation._bell
        assert isinstance(bell, ServerBell)
        with bell.listening(noticed.set):
            await heard_within_a_minute(noticed)
            await other.app.automation.switch.halt()
            await heard_within_a_minute(noticed)


async def test_what_another_process_posts_is_noticed_at_once(url: str, notice: Callable[..., OutboundMessage]):
    sending, posting = await opened(url), await opened(url)
    await posting.post(notice("a"))
    await heard_within_a_minute(sending.outbox_changed)
    assert [message.key for message in await sending.due_messages("telegram")] == ["a"]
    await sending.close()
    await posting.close()
