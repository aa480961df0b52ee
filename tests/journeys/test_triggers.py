"""Schedules and reminders as a person meets them: said in words, confirmed, listed, run, paused, deleted."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.trigger import Trigger, TriggerKind
from agent.testing import Bot, step
from plugins.api import tool


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    zone = {"time": {"time_zone": "Europe/Vienna"}}
    async with Bot(tmp_path / "home", [say], plugins=zone) as made:
        await made.app.automation.start()
        yield made


async def newest(bot: Bot) -> OutboundMessage:
    return (await bot.shown(MessageKind.NOTICE))[-1]


async def told(bot: Bot, text: str) -> OutboundMessage:
    """Wait for a notice with this text."""
    async with asyncio.timeout(60):
        while True:
            bot.app.store.outbox_changed.clear()
            found = [message for message in await bot.shown() if text in str(message.payload.get("text"))]
            if found:
                return found[-1]
            await bot.app.store.outbox_changed.wait()


async def test_a_schedule_said_in_words_exists_once_it_is_confirmed(bot: Bot):
    await bot.receives("every Friday at 9 send me a summary")

    asked = await newest(bot)
    assert asked.payload["text"].startswith(
        "📅 Every Friday at 9:00 Europe/Vienna: “send me a summary”\nFirst on Friday, "
    )
    assert await bot.app.store.triggers() == []

    assert await bot.taps("Yes") == "Set"
    (trigger,) = await bot.app.store.triggers()
    assert (trigger.spec["cron"], trigger.spec["zone"]) == ("0 9 * * 5", "Europe/Vienna")
    assert trigger.next_fire > time.time()
    assert "is set" in (await newest(bot)).payload["text"]
    assert await bot.presses(f"t/{trigger.id}/make") == "Too late: this has been settled already."
    assert len(await bot.app.store.triggers()) == 1


async def test_a_schedule_that_is_declined_never_exists(bot: Bot):
    await bot.receives("every 15 minutes check the page")

    assert await bot.taps("No") == "Nothing was set"
    assert await bot.app.store.triggers() == []


async def test_a_schedule_runs_its_request_as_if_it_was_asked(bot: Bot):
    bot.llm.will_plan(step("s1", "say", text="sunny"))
    bot.llm.will_answer("It is sunny.")
    await bot.receives("every weekday at 8 tell me the weather")
    await bot.taps("Yes")
    await bot.receives("/schedules")

    assert await bot.taps("Run 1") == "Started"
    answer = await bot.answer()

    assert (answer.text, answer.status) == ("It is sunny.", "COMPLETED")
    assert (await bot.last_run()).request == "tell me the weather"
    await bot.receives("/schedules")
    listed = (await newest(bot)).payload["text"]
    assert re.match(
        r"1\. every weekday at 8:00 Europe/Vienna: “tell me the weather”\n   next \w+, .* · 1 of 1 runs succeeded",
        listed,
    )


async def test_a_schedule_is_paused_resumed_and_deleted_where_it_is_listed(bot: Bot):
    await bot.receives("every day at 7 tell me the weather")
    await bot.taps("Yes")
    await bot.receives("/schedules")

    assert await bot.taps("Pause 1") == "Paused"
    assert "paused" in (await newest(bot)).payload["text"]
    assert (await bot.app.store.triggers())[0].next_fire is None
    assert await bot.taps("Resume 1") == "Goes on"
    assert (await bot.app.store.triggers())[0].next_fire is not None
    assert await bot.taps("Delete 1") == "Deleted"
    assert "was removed" in str([m.payload for m in await bot.shown()])
    assert any(m.payload["text"].startswith("No schedules yet.") for m in await bot.shown(MessageKind.NOTICE))


async def test_a_reminder_is_set_at_once_comes_without_a_model_and_can_be_taken_back(bot: Bot):
    await bot.receives("remind me tomorrow at 9 to call Ada")
    assert "I will remind you on" in (await newest(bot)).payload["text"]
    assert await bot.taps("Remove") == "Deleted"
    assert await bot.app.store.triggers() == []

    await bot.receives("remind me in 1 second to call Bob")
    message = await told(bot, "⏰ call Bob")

    assert message.kind is MessageKind.NOTICE
    assert bot.llm.requests == []
    await bot.receives("/schedules")
    assert (await newest(bot)).payload["text"].startswith("No schedules yet.")


async def test_the_same_message_heard_twice_makes_one_reminder(bot: Bot):
    message = await bot.receives("remind me tomorrow at 9 to call Ada")
    await bot.app.reception.hear(message)

    assert len(await bot.app.store.triggers()) == 1


async def test_only_owners_make_and_change_schedules(bot: Bot):
    await bot.receives("every day at 9 tell me the weather", trusted=False)
    assert (await newest(bot)).payload["text"] == "Only an owner may make or change schedules."

    await bot.receives("every day at 9 tell me the weather")
    assert await bot.taps("Yes", trusted=False) == "Only an owner may make or change schedules."
    assert await bot.app.store.triggers() == []


async def test_a_time_that_has_passed_is_said_and_nothing_is_made(bot: Bot):
    await bot.receives("remind me on 2020-01-01 at 9 to go back")

    assert (await newest(bot)).payload["text"] == "Wednesday, 01 January 2020, 09:00 has passed. Give a time to come."
    assert await bot.app.store.triggers() == []


async def test_the_answer_to_a_question_is_no_schedule(bot: Bot):
    bot.llm.will_plan(step("s1", ask="How often?"), step("s2", "say", text="{{ s1.output }}"))
    bot.llm.will_answer("noted")
    await bot.hears("plan my sport")

    answer = await bot.hears("every Friday at 9 remind me")

    assert answer.text == "noted"
    assert await bot.app.store.triggers() == []


async def test_schedules_survive_a_restart_and_what_was_missed_comes_late(bot: Bot, tmp_path: Path):
    await bot.receives("remind me in 1 second to call Ada")
    await bot.app.stop()
    await asyncio.sleep(1.1)  # what is tested is time that passes while nobody is there

    async with Bot(tmp_path / "home", [say]) as again:
        await again.app.automation.start()
        assert (await told(again, "⏰ call Ada")).payload["text"] == "⏰ call Ada"


async def test_a_pipeline_is_run_by_its_trigger(bot: Bot):
    folder = bot.config.folder / "pipelines"
    folder.mkdir(exist_ok=True)
    (folder / "greet.yaml").write_text(
        "name: greet\ninputs: {who: {type: text}}\nsteps:\n  - {id: s1, use: say, args: {text: 'Hello {{ inputs.who }}'}}\n"
    )
    target = {"pipeline": "greet", "inputs": {"who": "Ada"}}
    made = Trigger("t1", "greeting", TriggerKind.MANUAL, target, bot.dest.session_id, bot.dest)
    await bot.app.automation.create(made)

    fire = await bot.app.automation.fire("t1")
    await bot.answer()

    assert fire.run_id == (await bot.last_run()).id
    assert [record.output for record in await bot.steps()] == ["Hello Ada"]


async def test_the_list_says_that_all_is_stopped(bot: Bot):
    await bot.app.automation.switch.halt()
    await bot.receives("/schedules")
    assert (await newest(bot)).payload["text"].startswith("⏸ All is stopped")

    await bot.app.automation.switch.release()
    await bot.receives("/schedules")
    assert "stopped" not in (await newest(bot)).payload["text"]
