"""A request that is journalled is worked on, also when whoever began it was cut off in the middle."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from agent.domain.messages import InboundMessage
from agent.domain.run import Run
from agent.testing import Bot

SECONDS = 60.0


async def test_a_message_whose_hearing_is_cut_off_after_its_request_was_journalled_is_answered(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
):
    bot.llm.will_say("plan", "answer: Here it is.")
    store, journalled, ended = bot.app.store, asyncio.Event(), asyncio.Event()
    bot.app.orchestrator.when_finished.append(lambda _: ended.set())
    keep = store.open_run

    async def kept(run: Run) -> Run:
        opened = await keep(run)
        journalled.set()
        await asyncio.sleep(0)  # who waits for it is cancelled before it hears of it
        return opened

    monkeypatch.setattr(store, "open_run", kept)
    [message] = await store.receive([InboundMessage("test", "cut-off", bot.dest, "11", text="What is it?")])
    hearing = asyncio.create_task(bot.app.reception.hear(message))
    async with asyncio.timeout(SECONDS):
        await journalled.wait()
        hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hearing
        assert hearing.cancelled()
        await ended.wait()
    [run] = await store.recent_runs()
    assert (run.inbox_id, run.answer) == (message.id, "Here it is.")
    assert await store.unheard("test") == []
