"""What processes that share runs do for one another: a run whose process died before it was queued is found."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.testing import Bot, step
from agent.testing.postgres import PostgresServer, binaries
from tests.conftest import echo

pytestmark = pytest.mark.skipif(binaries() is None, reason="there is no PostgreSQL on this machine")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer.start() as started:
        yield started


async def test_a_run_that_was_journalled_and_never_queued_is_found_by_whoever_watches(
    tmp_path: Path, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("agent.sharing.WATCH_SECONDS", 0.05)
    ended = asyncio.Event()
    settings = {"engine": "workers", "store": server.new_database(), "workers": {"drain_seconds": 0.0}}
    async with Bot(tmp_path, [echo], **settings) as bot:
        bot.llm.will_plan(step("s1", "echo", text="x"))
        bot.llm.will_answer("done")
        orchestrator = bot.app.orchestrator
        orchestrator.when_finished.append(lambda _: ended.set())
        run = await orchestrator.open_run(bot.dest.session_id, "go", bot.dest)
        assert await bot.app.engine.known() == set()
        watching = asyncio.create_task(orchestrator.keep_watch())
        monkeypatch.setattr("agent.sharing.SWEEP_SECONDS", 0.05)  # the first look may come too early
        await asyncio.wait_for(ended.wait(), 120)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        assert (await bot.app.store.get_run(run.id)).answer == "done"
