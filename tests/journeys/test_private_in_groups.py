"""What is private is not told to a group: the answer goes to the private chat of the owner it belongs to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.execution.in_private import KEPT_BACK, SENT_IN_PRIVATE
from agent.testing import Bot, step
from plugins.api import tool
from tests.conftest import echo, note

GROUP = Destination("test", "-7", chat_type="group")


@tool(untrusted=True, private=True)
def read_mail(folder: str) -> str:
    """Read mail."""
    return f"the doctor's letter in {folder}"


@tool(untrusted=True, private=True)
def save_mail(folder: str) -> str:
    """Read mail into a file."""
    Path("mail.txt").write_text("the doctor's letter")
    return folder


async def told(bot: Bot, chat_id: str) -> list[OutboundMessage]:
    found = await bot.app.store.messages_of(GROUP.session_id)
    return [one for one in found if one.dest.chat_id == chat_id and one.kind is not MessageKind.PLAN]


async def in_a_group(bot: Bot, *steps: Any, **fields: Any) -> None:
    bot.dest = GROUP
    bot.llm.will_plan(*steps)
    bot.llm.will_answer("It is the doctor's letter.")
    await bot.hears("what is new?", **fields)


async def test_a_private_answer_goes_to_the_person_and_the_group_is_told_so(tmp_path: Path):
    async with Bot(tmp_path, [read_mail, echo], owners=(1,)) as bot:
        await in_a_group(
            bot, step("s1", "read_mail", folder="in"), step("s2", "echo", text="{{ s1.output }}", after=("s1",))
        )
        (answer,) = await told(bot, "1")
        assert (answer.kind, answer.payload["text"]) == (MessageKind.ANSWER, "It is the doctor's letter.")
        assert not answer.payload.get("buttons")
        assert [one.payload["text"] for one in await told(bot, "-7")] == [SENT_IN_PRIVATE]


async def test_its_files_go_there_too(tmp_path: Path):
    async with Bot(tmp_path, [save_mail], owners=(1,)) as bot:
        await in_a_group(bot, step("s1", "save_mail", folder="in"))
        assert MessageKind.FILES in {one.kind for one in await told(bot, "1")}
        assert {one.kind for one in await told(bot, "-7")} == {MessageKind.NOTICE}


async def test_what_a_member_asked_for_goes_to_an_owner(tmp_path: Path):
    async with Bot(tmp_path, [read_mail], owners=(42,)) as bot:
        await in_a_group(bot, step("s1", "read_mail", folder="in"), trusted=False)
        assert [one.kind for one in await told(bot, "42")] == [MessageKind.ANSWER]
        assert await told(bot, "1") == []


async def test_without_an_owner_it_is_told_to_nobody(tmp_path: Path):
    async with Bot(tmp_path, [read_mail]) as bot:
        await in_a_group(bot, step("s1", "read_mail", folder="in"), trusted=False)
        everything = await bot.app.store.messages_of(GROUP.session_id)
        assert [one.payload["text"] for one in everything if one.kind is not MessageKind.PLAN] == [KEPT_BACK]


async def test_a_later_planner_in_the_group_has_not_heard_it(tmp_path: Path):
    async with Bot(tmp_path, [read_mail, note], owners=(1,)) as bot:
        await in_a_group(bot, step("s1", "read_mail", folder="in"))
        await in_a_group(bot, step("s1", "note", name="x"))
        plans = [request for request in bot.llm.requests if request.purpose == "plan"]
        assert "doctor" not in str(plans[-1].messages)


@pytest.mark.parametrize("dest", [GROUP, Destination("test", "1")])
async def test_what_is_not_private_stays_where_it_was_asked(tmp_path: Path, dest: Destination):
    async with Bot(tmp_path, [echo], owners=(1,)) as bot:
        bot.dest = replace(dest)
        bot.llm.will_plan(step("s1", "echo", text="hi"))
        bot.llm.will_answer("Hi.")
        await bot.hears("say hi")
        found = await bot.app.store.messages_of(dest.session_id)
        assert [one.dest.chat_id for one in found if one.kind is MessageKind.ANSWER] == [dest.chat_id]
