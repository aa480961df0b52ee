"""The thread behind the journal: opened once, closed in good order, and never the end of its callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from agent.domain.run import StepChange
from agent.domain.states import Status
from agent.errors import DirigentError, JournalFailed, JournalUnusable, may_pass
from agent.store import schema
from agent.store.batch import Batches
from agent.store.faults import translate
from agent.store.sql import SqlStore

Threads = Callable[[], list[threading.Thread]]


@pytest.fixture
def journal_threads() -> Threads:
    """The threads of journals that a test has begun."""
    others = set(threading.enumerate())
    return lambda: [thread for thread in threading.enumerate() if thread.name == "journal" and thread not in others]


async def test_opening_and_closing_twice_does_no_harm(tmp_path: Path, journal_threads: Threads):
    store = SqlStore(tmp_path / "journal.db")
    await store.close()
    await store.open()
    await store.open()
    assert len(journal_threads()) == 1
    await store.close()
    await store.close()
    assert journal_threads() == []


async def test_a_journal_that_is_not_open_says_so(tmp_path: Path):
    store = SqlStore(tmp_path / "journal.db")
    with pytest.raises(DirigentError, match=r"not open\. Call open\(\) first"):
        await store.get_value("x")


async def test_no_thread_is_left_behind_when_opening_fails(tmp_path: Path, journal_threads: Threads):
    file = tmp_path / "journal.db"
    file.write_bytes(b"rubbish" * 1000)
    store = SqlStore(file)
    with pytest.raises(JournalUnusable):
        await store.open()
    assert journal_threads() == []

    file.unlink()
    await store.open()
    assert await store.get_value("x") is None
    await store.close()


async def test_no_thread_is_left_behind_when_opening_is_cancelled(
    tmp_path: Path, journal_threads: Threads, monkeypatch: pytest.MonkeyPatch
):
    held = threading.Event()
    really_open = schema.open_journal
    monkeypatch.setattr(schema, "open_journal", lambda *args, **more: (held.wait(30), really_open(*args, **more))[1])
    store = SqlStore(tmp_path / "journal.db")
    opening = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    [thread] = journal_threads()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    held.set()

    await asyncio.to_thread(thread.join, 30)
    assert journal_threads() == []
    await store.open()
    await store.set_value("x", "y")
    await store.close()


async def test_everything_requested_before_the_close_is_written(tmp_path: Path):
    store = SqlStore(tmp_path / "journal.db")
    await store.open()
    writes = [asyncio.create_task(store.set_value(f"k{i}", "v")) for i in range(50)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*writes)

    await store.open()
    assert [await store.get_value(f"k{i}") for i in range(50)] == ["v"] * 50
    await store.close()


def test_a_loop_that_ends_without_closing_loses_no_commit(tmp_path: Path):
    async def forget_to_close() -> SqlStore:
        store = SqlStore(tmp_path / "journal.db")
        await store.open()
        await store.set_value("x", "y")
        return store

    async def read() -> str | None:
        store = SqlStore(tmp_path / "journal.db")
        await store.open()
        try:
            return await store.get_value("x")
        finally:
            await store.close()

    forgotten = asyncio.run(forget_to_close())
    assert asyncio.run(read()) == "y"
    forgotten._writer._queue.put(None)
    forgotten._writer._thread.join(30)


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("database or disk is full", JournalFailed, "no space left"),
        ("attempt to write a readonly database", JournalUnusable, "cannot be opened for writing"),
        ("unable to open database file", JournalUnusable, "cannot be opened for writing"),
        ("database is locked", JournalFailed, "Another process"),
        ("database disk image is malformed", JournalUnusable, "is damaged"),
        ("a mystery", JournalFailed, "failed: a mystery"),
    ],
)
def test_a_database_error_says_what_to_do(tmp_path: Path, said: str, kind: type[Exception], words: str):
    store = SqlStore(tmp_path / "journal.db")
    error = translate(OperationalError("SELECT 'private'", {"p": "private"}, Exception(said)), store.url)

    assert type(error) is kind
    assert may_pass(error)  # nothing is given up for it
    assert words in str(error)
    assert "journal.db" in str(error)
    assert "private" not in str(error)


def test_what_the_database_refuses_for_good_is_not_tried_again(tmp_path: Path):
    store = SqlStore(tmp_path / "journal.db")
    assert not may_pass(translate(DataError("INSERT", {}, Exception("out of range")), store.url))
    assert not may_pass(translate(IntegrityError("INSERT", {}, Exception("UNIQUE")), store.url))


async def test_a_change_that_nobody_waited_for_and_that_was_lost_surfaces_with_the_next_one_of_the_run(
    store, new_run, monkeypatch
):
    run = await new_run("a")
    once, tries = Batches._once, []

    def failing(batches: Batches, *words: object) -> object:
        tries.append(words)
        if len(tries) <= 2:  # the hopeful way and the exact one
            raise OperationalError("UPDATE", {}, Exception("disk I/O error"))
        return once(batches, *words)

    lost, deliver = asyncio.Event(), store._writer._deliver
    monkeypatch.setattr(Batches, "_once", failing)
    monkeypatch.setattr(store._writer, "_deliver", lambda *words: (deliver(*words), lost.set()))
    store.change_step_soon(StepChange(run.id, "a", Status.READY, run.epoch))
    await asyncio.wait_for(lost.wait(), 60)
    with pytest.raises(JournalFailed, match="disk I/O error"):  # not that the step was never READY
        await store.change_step(StepChange(run.id, "a", Status.RUNNING, run.epoch))


def test_a_password_in_the_address_is_not_shown():
    store = SqlStore("postgresql+psycopg://dirigent:s3cret@db/journal")
    error = translate(OperationalError("SELECT 1", {}, Exception("gone")), store.url)
    assert "s3cret" not in str(error)
