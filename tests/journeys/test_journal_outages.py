"""A journal that fails for a while, on both engines: the run waits and goes on, nobody is told that it failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from sqlalchemy.exc import OperationalError

from agent.domain.messages import Destination, MessageKind
from agent.errors import JournalFailed
from agent.leases import MOST_DEATHS
from agent.store.batch import Batches
from agent.testing import Bot, step
from agent.testing.postgres import PostgresServer
from plugins.api import tool
from tests.conftest import echo

pytestmark = pytest.mark.timeout(300)
OUTAGES = MOST_DEATHS + 1


class Journal:
    """The journal's transactions, of which some do not come about."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = self.failed = 0
        done = Batches._once

        def once(batches: Batches, *words: Any) -> list[Any]:
            if not self.left:
                return done(batches, *words)
            self.left -= 1
            self.failed += 1
            raise OperationalError("UPDATE", {}, Exception("disk I/O error"))

        monkeypatch.setattr(Batches, "_once", once)


class Troubled:
    """Tools during which the journal begins to fail, the first few times, and how often they were called."""

    def __init__(self, journal: Journal, times: int = 1) -> None:
        self.calls = self.before = 0

        def begin() -> str:
            self.calls += 1
            if self.calls <= times:
                journal.left = 7
            return f"call {self.calls}"

        @tool
        def prepare() -> str:
            """Be finished before anything fails."""
            self.before += 1
            return "prepared"

        @tool
        def work() -> str:
            """Work."""
            return begin()

        @tool(effect="once")
        def mail() -> str:
            """Send an e-mail."""
            return begin()

        self.tools = [prepare, work, mail, echo]


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setattr("agent.leases.LONGEST_SECONDS", 0.01)
    return Journal(monkeypatch)


@pytest.fixture(params=["local", "workers"])
def engine(request: pytest.FixtureRequest, server: PostgresServer | None) -> dict[str, Any]:
    """The settings of either engine."""
    if request.param == "local":
        return {"engine": "local", "store": None}
    if server is None:
        pytest.skip("there is no PostgreSQL on this machine")
    return {"engine": "workers", "store": server.new_database(), "workers": {"drain_seconds": 0.0}}


@pytest.fixture
async def stage(tmp_path: Path, engine: dict[str, Any], journal: Journal) -> AsyncIterator[tuple[Bot, Troubled]]:
    troubled = Troubled(journal)
    async with Bot(tmp_path, troubled.tools, policy={"mode": "normal"}, **engine) as bot:
        yield bot, troubled


async def test_a_run_goes_on_when_the_journal_does_however_often_it_fails(
    tmp_path: Path, engine: dict[str, Any], journal: Journal
):
    troubled = Troubled(journal, OUTAGES)
    async with Bot(tmp_path, troubled.tools, **engine) as bot:
        bot.llm.will_plan(step("s1", "prepare"), step("s2", "work", after=("s1",)))
        bot.llm.will_answer("done")
        answer = await bot.hears("go")
        assert (answer.text, answer.status) == ("done", "COMPLETED")
        assert bot.statuses == {"s1": "COMPLETED", "s2": "COMPLETED"}
        assert journal.failed >= 7 * OUTAGES
        assert (troubled.before, troubled.calls) == (1, OUTAGES + 1)
        assert await bot.shown(MessageKind.ERROR) == []


async def test_what_may_be_done_only_once_is_asked_about_when_its_end_could_not_be_noted(
    stage: tuple[Bot, Troubled],
):
    bot, troubled = stage
    bot.llm.will_plan(step("s1", "mail"))
    bot.llm.will_answer("done")
    await bot.hears("go")
    asked = await bot.question()
    assert asked is not None
    assert asked.kind == "recovery"
    answer = await bot.chooses("Treat as done")
    assert answer.status == "COMPLETED"
    assert troubled.calls == 1


async def test_the_model_is_asked_again_when_the_journal_fails_while_it_writes_the_answer(
    stage: tuple[Bot, Troubled], monkeypatch: pytest.MonkeyPatch
):
    bot, _ = stage
    settle, calls = bot.app.store.settle, []

    async def settled(*words: Any) -> Any:
        calls.append(words)
        if len(calls) == 2:  # the first was for the plan
            raise JournalFailed("The journal is locked.")
        return await settle(*words)

    monkeypatch.setattr(bot.app.store, "settle", settled)
    bot.llm.will_plan(step("s1", "echo", text="from the results"))
    bot.llm.will_answer("done")
    bot.llm.will_answer("done")
    answer = await bot.hears("go")
    assert (answer.text, answer.status) == ("done", "COMPLETED")
    assert len(calls) == 3


async def test_what_can_never_be_written_is_set_aside_in_the_end(
    stage: tuple[Bot, Troubled], monkeypatch: pytest.MonkeyPatch
):
    bot, _ = stage
    monkeypatch.setattr("agent.orchestrator.MOST_FAULTS", 2)

    async def refuse(*_: Any) -> None:
        raise JournalFailed("The row is too large.")

    monkeypatch.setattr(bot.app.store, "change_step", refuse)
    bot.llm.will_plan(step("s1", "echo", text="x"))
    answer = await bot.hears("go")
    assert answer.status == "FAILED"
    assert answer.text.startswith(f"I ended {MOST_DEATHS} times while I worked on ")


async def test_whoever_waits_for_a_run_is_told_when_its_end_was_kept_though_the_journal_said_it_failed(
    stage: tuple[Bot, Troubled], monkeypatch: pytest.MonkeyPatch
):
    bot, _ = stage
    finish = bot.app.store.finish_run

    async def finished(*words: Any, **more: Any) -> None:
        await finish(*words, **more)
        raise JournalFailed("Nobody knows whether it was kept.")

    monkeypatch.setattr(bot.app.store, "finish_run", finished)
    bot.llm.will_plan(step("s1", "echo", text="x"))
    bot.llm.will_answer("done")
    told = bot.app.orchestrator.run("test:1", "go", None, {}, Destination("test", "1"))
    assert await asyncio.wait_for(told, 120) == "done"


async def test_a_run_whose_failure_cannot_be_noted_is_not_left_behind(
    stage: tuple[Bot, Troubled], monkeypatch: pytest.MonkeyPatch
):
    bot, _ = stage
    finish, refused = bot.app.store.finish_run, []

    async def finished(*words: Any, **more: Any) -> None:
        if not refused:
            refused.append(more["status"])
            raise JournalFailed("The journal is locked.")
        await finish(*words, **more)

    async def broken(*_: Any) -> None:
        raise ValueError("nobody has foreseen this")

    monkeypatch.setattr(bot.app.store, "finish_run", finished)
    monkeypatch.setattr(bot.app.orchestrator, "_plan_and_execute", broken)
    answer = await bot.hears("go")
    assert answer.status == "FAILED"
    assert refused == ["FAILED"]


async def test_a_run_outlasts_a_database_that_nobody_can_connect_to(
    tmp_path: Path, server: PostgresServer | None, journal: Journal
):
    if server is None:
        pytest.skip("there is no PostgreSQL on this machine")
    url, calls, interrupted, over = server.new_database(), [], asyncio.Event(), asyncio.Event()
    name = url.rpartition("/")[2]

    @tool
    def work() -> str:
        """Work, while the database goes away."""
        calls.append(name)
        if len(calls) == 1:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        return "done"

    sink = logger.add(lambda said: interrupted.set() if "is interrupted" in said else None, level="WARNING")
    try:
        async with Bot(tmp_path, [work], engine="workers", store=url, workers={"drain_seconds": 0.0}) as bot:
            bot.app.orchestrator.when_finished.append(lambda _: over.set())
            bot.llm.will_plan(step("s1", "work"))
            bot.llm.will_answer("done")
            await bot.receives("go")
            await asyncio.wait_for(interrupted.wait(), 120)
            await asyncio.to_thread(server.execute, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
            await asyncio.wait_for(over.wait(), 120)
            assert (await bot.last_run()).status == "COMPLETED"
            assert await bot.shown(MessageKind.ERROR) == []
    finally:
        logger.remove(sink)
    assert len(calls) == 2
