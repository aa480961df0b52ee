"""Signs of life are given to those who would otherwise see nothing."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest

from agent.channels.telegram import signs
from agent.channels.telegram.signs import Signs
from agent.channels.telegram.tasks import Tasks
from agent.domain.messages import Destination, InboundMessage


def a_message(chat: str, number: int) -> InboundMessage:
    return InboundMessage("telegram", str(number), Destination("telegram", chat), chat, "hello", message_id=str(number))


async def test_who_is_answered_at_once_gets_no_look_and_others_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(signs, "LOOK_AFTER", 0.05)
    looked: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    async def look(chat_id: int, message_id: int, _sign: str) -> None:
        looked.put_nowait((chat_id, message_id))

    bot = SimpleNamespace(set_message_reaction=AsyncMock(side_effect=look))
    tasks = Tasks()
    shown = Signs(bot, tasks, str, reactions=True)

    shown.spoken("3")
    shown.seen([a_message("1", 10)])
    shown.spoken("1")
    shown.seen([a_message("2", 20), a_message("3", 30)])
    async with asyncio.timeout(60):
        assert {await looked.get(), await looked.get()} == {(2, 20), (3, 30)}
    await tasks.end()

    assert bot.set_message_reaction.await_count == 2


async def test_at_the_end_nothing_is_begun_any_more():
    bot = SimpleNamespace(send_chat_action=AsyncMock())
    tasks = Tasks()
    shown = Signs(bot, tasks, str, reactions=True)
    await tasks.end()
    shown.busy(a_message("1", 10).dest, on=True)
    shown.seen([a_message("1", 10)])
    await asyncio.sleep(0)
    await tasks.end()
    bot.send_chat_action.assert_not_called()
