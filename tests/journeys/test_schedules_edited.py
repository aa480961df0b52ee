"""Schedules changed where they are listed: another time in words, another text, another name; pages of ten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.messages import MessageKind
from agent.domain.trigger import Trigger, TriggerKind
from agent.testing import Bot
from plugins.api import tool


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    zone = {"time": {"time_zone": "Europe/Vienna"}}
    async with Bot(tmp_path / "home", [say], plugins=zone) as made:
        yield made


async def texts(bot: Bot) -> list[str]:
    return [message.payload["text"] for message in await bot.shown(MessageKind.NOTICE)]


async def a_schedule(bot: Bot, text: str = "every day at 7 tell me the weather") -> Trigger:
    await bot.receives(text)
    await bot.taps("Yes")
    await bot.receives("/schedules")
    return (await bot.app.store.triggers())[-1]


async def test_another_time_is_said_in_words_and_confirmed(bot: Bot):
    await a_schedule(bot)
    await bot.taps("Edit 1")
    await bot.taps("Time")
    await bot.receives("every Friday at 9:30")

    assert (await bot.app.store.triggers())[0].spec["cron"] == "0 7 * * *"
    assert await bot.taps("Yes") == "Set"
    (trigger,) = await bot.app.store.triggers()
    assert (trigger.spec["cron"], trigger.target) == ("30 9 * * 5", {"request": "tell me the weather"})
    assert any(text.startswith("1. every Friday at 9:30 Europe/Vienna") for text in await texts(bot))


async def test_a_change_that_is_declined_changes_nothing(bot: Bot):
    await a_schedule(bot)
    await bot.taps("Edit 1")
    await bot.taps("Time")
    await bot.receives("every Friday at 9:30")

    assert await bot.taps("No") == "Nothing was set"
    assert (await bot.app.store.triggers())[0].spec["cron"] == "0 7 * * *"


async def test_text_and_name_are_changed_by_the_next_words(bot: Bot):
    await a_schedule(bot)
    await bot.taps("Edit 1")
    await bot.taps("Text")
    await bot.receives("tell me the news")
    assert (await bot.app.store.triggers())[0].target == {"request": "tell me the news"}

    await bot.taps("Edit 1")
    await bot.taps("Name")
    await bot.receives("News")
    (trigger,) = await bot.app.store.triggers()
    assert (trigger.name, trigger.target) == ("News", {"request": "tell me the news"})
    assert await bot.app.store.recent_runs(bot.dest.session_id, 5) == []


async def test_a_time_that_is_not_understood_is_asked_for_again(bot: Bot):
    await a_schedule(bot)
    await bot.taps("Edit 1")
    await bot.taps("Time")
    await bot.receives("when the moon is full")
    assert (await texts(bot))[-1].startswith("I don't understand this time. Try")

    await bot.receives("every Monday at 6")
    await bot.taps("Yes")
    assert (await bot.app.store.triggers())[0].spec["cron"] == "0 6 * * 1"


async def test_a_reminder_gets_another_time_at_once(bot: Bot):
    await bot.receives("remind me tomorrow at 9 to call Ada")
    before = (await bot.app.store.triggers())[0].next_fire
    await bot.taps("Change time")
    await bot.receives("tomorrow at 10")

    (trigger,) = await bot.app.store.triggers()
    assert trigger.next_fire == before + 3600
    assert any("I will remind you on" in text and "10:00" in text for text in await texts(bot))


async def test_nothing_is_awaited_any_more_after_nothing(bot: Bot):
    await a_schedule(bot)
    await bot.taps("Edit 1")
    await bot.taps("Name")
    await bot.taps("Cancel")
    bot.llm.will_say("plan", "")
    await bot.receives("News")
    await bot.app.engine.idle()

    assert (await bot.app.store.triggers())[0].name == "tell me the weather"


async def test_more_than_ten_are_on_pages(bot: Bot):
    for number in range(23):
        await bot.app.automation.create(
            Trigger(
                f"t{number:02}", f"number {number}", TriggerKind.MANUAL, {"notice": "hi"}, bot.dest.session_id, bot.dest
            )
        )
    await bot.receives("/schedules")
    first = (await texts(bot))[-1]
    assert "number 9”" in first
    assert "number 10”" not in first
    assert "Page 1 of 3" in first

    await bot.taps("›")
    await bot.taps("›")
    last = (await texts(bot))[-1]
    assert "21. " in last
    assert "Page 3 of 3" in last
    await bot.taps("Delete 23")
    await bot.taps("Delete 22")
    await bot.taps("Delete 21")
    assert "Page 2 of 2" in (await texts(bot))[-1]
    await bot.taps("‹")
    assert "Page 1 of 2" in (await texts(bot))[-1]


async def test_only_owners_change_schedules(bot: Bot):
    await a_schedule(bot)
    assert await bot.taps("Edit 1", trusted=False) == "Only an owner may make or change schedules."
    await bot.taps("Edit 1")
    await bot.taps("Name")
    bot.llm.will_say("plan", "")
    await bot.receives("Mine", trusted=False)
    await bot.app.engine.idle()

    assert (await bot.app.store.triggers())[0].name == "tell me the weather"
