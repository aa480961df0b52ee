"""What a chat sets for itself: its time zone, its model, whether answers show while they grow."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.messages import Destination, MessageKind
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
        yield made


async def shown(bot: Bot) -> str:
    return (await bot.shown(MessageKind.NOTICE))[-1].payload["text"]


def kept(bot: Bot) -> dict:
    return json.loads((bot.workspace.parent / "SESSION.json").read_text())


async def test_one_message_shows_the_settings_and_is_edited(bot: Bot):
    await bot.receives("/settings")
    assert "Time zone: Europe/Vienna (now " in await shown(bot)
    assert "Model: scripted" in await shown(bot)
    assert "Answers show while they are written: on" in await shown(bot)
    count = len(await bot.shown())

    await bot.taps("Time zone")
    assert await bot.taps("Asia/Shanghai") == "Asia/Shanghai"
    assert "Time zone: Asia/Shanghai (now " in await shown(bot)
    assert await bot.taps("Drafts") == "off"
    assert "Answers show while they are written: off" in await shown(bot)
    assert len(await bot.shown()) == count
    assert kept(bot)["settings"] == {"time_zone": "Asia/Shanghai", "drafts": False}


async def test_times_are_in_the_chats_own_zone(bot: Bot):
    await bot.receives("/settings zone Asia/Shanghai")
    await bot.receives("every day at 9 send me the news")

    assert "Every day at 9:00 Asia/Shanghai" in await shown(bot)


async def test_a_zone_that_is_none_is_said_with_the_nearest(bot: Bot):
    await bot.receives("/settings zone Viena")

    assert await shown(bot) == "There is no time zone 'Viena'. Did you mean Europe/Vienna or Europe/Vilnius?" or (
        "Did you mean Europe/Vienna" in await shown(bot)
    )
    assert kept(bot)["settings"] == {}


async def test_a_setting_that_is_none_is_said(bot: Bot):
    await bot.receives("/settings colour blue")

    assert (await shown(bot)).startswith("“colour blue” is no setting.")


async def test_the_menus_lead_back(bot: Bot):
    await bot.receives("/settings")
    await bot.taps("Model")
    assert (await shown(bot)) == "Model: choose one."
    await bot.taps("Back")
    assert "Time zone: Europe/Vienna" in await shown(bot)


async def test_the_model_is_the_owners_and_in_a_group_everything_is(bot: Bot):
    await bot.receives("/settings")
    assert await bot.presses("k/model/usual", trusted=False) == "Only an owner may change this."
    assert await bot.presses("k/zone/UTC", trusted=False) == "UTC"

    bot.dest = Destination("test", "1", chat_type="group")
    assert await bot.presses("k/zone/Asia/Shanghai", trusted=False) == "Only an owner may change this."
    assert await bot.presses("k/drafts", trusted=False) == "Only an owner may change this."
    assert kept(bot)["settings"] == {"time_zone": "UTC"}


async def test_settings_survive_a_restart(bot: Bot, tmp_path: Path):
    await bot.receives("/settings zone Asia/Shanghai")
    await bot.app.stop()

    async with Bot(tmp_path / "home", [say]) as again:
        await again.receives("/settings")
        assert "Time zone: Asia/Shanghai" in await shown(again)


async def test_without_drafts_an_answer_comes_whole(bot: Bot, monkeypatch: pytest.MonkeyPatch):
    from agent import composer

    monkeypatch.setattr(composer, "DRAFT_SECONDS", 0.0)
    versions = []
    post = bot.app.bot.post
    monkeypatch.setattr(bot.app.bot, "post", lambda message: versions.append(message) or post(message))
    for on in (True, False):
        versions.clear()
        bot.llm.will_plan(step("s1", "say", text="hi"), step("s2", "say", text="ho"))
        bot.llm.will_answer("a longer answer that comes in several pieces")
        await bot.hears("talk")
        drafts = [m for m in versions if m.kind is MessageKind.ANSWER and not m.payload.get("final")]
        assert bool(drafts) is on
        await bot.presses("k/drafts")


async def test_the_model_of_a_chat_is_used_for_everything_that_is_asked_of_one(bot: Bot):
    await bot.receives("/settings")
    session = await bot.app.orchestrator.sessions.open(bot.dest.session_id)
    await bot.app.orchestrator.sessions.change(session, model="other")
    bot.llm.will_plan(step("s1", "say", text="hi"), step("s2", llm="Write it"))
    bot.llm.will_say("step", "written")
    await bot.hears("talk")

    assert {request.model for request in bot.llm.requests} == {"other"}


async def test_no_two_doors_take_the_same_button_or_command(bot: Bot):
    for taken in ("actions", "commands"):
        names = [name for door in bot.app.reception.doors for name in getattr(door, taken)]
        assert sorted(names) == sorted(set(names))
