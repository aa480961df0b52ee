"""Runs that a process left: at once where that can be known, else when the lease is over, as between containers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.domain.messages import MessageKind
from agent.testing import Bot, step
from agent.testing.engines import on_workers
from plugins.api import tool

pytestmark = pytest.mark.skipif(on_workers(), reason="workers hear of one another")
SECONDS = 100


@tool
def echo(text: str) -> str:
    """Return the text."""
    return text


async def left(home: Path, owner: str = "") -> None:
    """Have a run at work that a process leaves in good order, and the lease then with an `owner` for a while."""
    began = asyncio.Event()

    @tool
    async def echo(text: str) -> str:
        """Work for ever."""
        began.set()
        await asyncio.Event().wait()
        return text

    async with asyncio.timeout(SECONDS), Bot(home, [echo]) as bot:
        bot.llm.will_plan(step("s1", "echo", text="hi"))
        await bot.receives("say hi")
        await began.wait()
        while not (await bot.last_run()).plan_complete:
            await asyncio.sleep(0.01)
        await bot.app.engine.stop()
        if owner:
            assert await bot.app.store.lease_run((await bot.last_run()).id, owner, 3.0)


async def test_a_process_that_is_told_to_stop_lets_its_runs_go_and_the_next_one_says_that_they_go_on(tmp_path: Path):
    await left(tmp_path)
    async with asyncio.timeout(SECONDS), Bot(tmp_path, [echo]) as bot:
        bot.llm.will_answer("It said hi.")
        assert (await bot.answer()).text == "It said hi."
        assert "restarted" in (await bot.shown(MessageKind.NOTICE))[0].payload["text"]


async def test_a_run_of_a_process_that_cannot_be_seen_goes_on_when_its_lease_is_over(tmp_path: Path):
    await left(tmp_path, "container/2/1/77")
    ended = asyncio.Event()
    async with asyncio.timeout(SECONDS), Bot(tmp_path, [echo]) as bot:
        bot.app.orchestrator.when_finished.append(lambda _run_id: ended.set())
        bot.llm.will_answer("It said hi.")
        assert (await bot.last_run()).lease_owner == "container/2/1/77"
        await ended.wait()
        assert (await bot.answer()).text == "It said hi."
