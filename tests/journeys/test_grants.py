"""What stands of the owner's yeses is listed in the chat, and taken back there with a button."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from agent.channels.telegram.render import view
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.execution import gathering
from agent.policy import grants, own_rules
from agent.testing import Bot, step
from plugins.api import tool
from tests.conftest import echo

ALWAYS: dict[str, Any] = {"policy": {"mode": "always"}}


@tool(effect="once", standing=True, content_args=("text",))
def reply(to: str, text: str) -> str:
    """Reply to somebody."""
    with Path("sent.log").open("a") as log:
        log.write(f"{to}: {text}\n")
    return f"sent to {to}"


@tool(effect="once")
def knock(door: str) -> str:
    """Knock at a door."""
    return f"knocked at {door}"


TOOLS = [reply, knock, echo]


async def listed(bot: Bot) -> tuple[str, list[str]]:
    """Ask for the list; return its text and its buttons' actions."""
    await bot.receives("/grants")
    payload = (await bot.shown(MessageKind.NOTICE))[-1].payload
    return payload["text"], [button["action"] for row in payload.get("buttons", ()) for button in row]


async def under_way(bot: Bot) -> Any:
    """Have a reply allowed for the task, and the run wait at another call."""
    bot.llm.will_plan(
        step("s1", "reply", to="ada", text="one"),
        step("s2", "knock", door="front", after=("s1",)),
        step("s3", "reply", to="ada", text="two", after=("s2",)),
        title="Write to Ada",
    )
    await bot.hears("write to Ada")
    store, run = bot.app.store, await bot.last_run()
    (first,) = await store.approvals_of(run.id)
    await bot.presses(f"a/{first.id}/task")
    await bot.idle()
    return first


async def test_nothing_stands_at_first(tmp_path: Path):
    async with Bot(tmp_path, TOOLS, **ALWAYS) as bot:
        assert await listed(bot) == (
            "No yes of yours stands: each call asks, or is allowed by the rule of consent.",
            [],
        )


async def test_a_yes_for_a_task_is_listed_while_the_task_lasts_and_taken_back(tmp_path: Path):
    async with Bot(tmp_path, TOOLS, **ALWAYS) as bot:
        first = await under_way(bot)
        text, actions = await listed(bot)
        assert text == '1. test.reply(to="ada", text="one") — until this task ends: Write to Ada'
        assert actions == [f"n/task/{first.id}"]
        assert await bot.presses(actions[0]) == "Taken back."
        assert await bot.presses(actions[0]) == "That is over already."
        knocking = [one for one in await bot.app.store.approvals_of(first.run_id) if one.decision is None]
        await bot.presses(f"a/{knocking[0].id}/allow")
        await bot.idle()
        (asked,) = [one for one in await bot.app.store.approvals_of(first.run_id) if one.decision is None]
        assert asked.args["text"] == "two"
        assert (bot.workspace / "sent.log").read_text() == "ada: one\n"


async def test_what_was_taken_back_stays_so_after_a_restart(tmp_path: Path):
    async with Bot(tmp_path, TOOLS, **ALWAYS) as bot:
        first = await under_way(bot)
        await bot.presses(f"n/task/{first.id}")
    async with Bot(tmp_path, TOOLS, **ALWAYS) as bot:
        assert (await listed(bot))[1] == []


async def test_pipelines_and_own_rules_are_listed_and_taken_back(tmp_path: Path):
    (tmp_path / "pipelines").mkdir()
    steps = "steps: [{id: a, use: echo, args: {text: hi}}]\n"
    (tmp_path / "pipelines" / "greet.yaml").write_text(f"name: greet\n{steps}")
    async with Bot(tmp_path, TOOLS, **ALWAYS) as bot:
        store, now = bot.app.store, time.time()
        await grants.agree(store, {"pipeline": "greet", "seal": "s", "steps": []}, "1", now)
        spec = bot.app.catalogue.find("reply", (await bot.app.orchestrator.sessions.open("test:1")).profile)
        await own_rules.allow(store, spec, {"to": "ada"}, "1")
        text, actions = await listed(bot)
        pipeline, rule = text.splitlines()
        assert pipeline.startswith("1. The pipeline greet by itself — until 20")
        assert rule.startswith('2. Your rule: allow test.reply(to="ada") until 20')
        assert [await bot.presses(action) for action in actions] == ["Taken back.", "Taken back."]
        assert (await listed(bot))[1] == []
        assert await grants.grants_of(store, "greet") == []


async def test_a_member_sees_and_takes_nothing(tmp_path: Path):
    async with Bot(tmp_path, TOOLS, **ALWAYS) as bot:
        first = await under_way(bot)
        await bot.receives("/grants", trusted=False)
        assert "reply" not in (await bot.shown(MessageKind.NOTICE))[-1].payload["text"]
        assert await bot.presses(f"n/task/{first.id}", trusted=False) == "Only an owner may do that."
        assert (await listed(bot))[1] == [f"n/task/{first.id}"]


async def test_a_group_is_not_told(tmp_path: Path):
    async with Bot(tmp_path, TOOLS, **ALWAYS) as bot:
        await under_way(bot)
        bot.dest = Destination("test", "1", chat_type="group")
        assert await listed(bot) == ("Ask me that in a private chat.", [])


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", "1. a.b(c=1) — bis diese Aufgabe endet: Post"),
        ("fr", "1. a.b(c=1) — jusqu'à la fin de cette tâche : Post"),
        ("ru", "1. a.b(c=1) — до конца этой задачи: Post"),
        ("zh", "1. a.b(c=1) — 直到本任务结束：Post"),
    ],
)
def test_the_list_speaks_the_language_of_the_place(language: str, said: str):
    dest = Destination("telegram", "1", language=language)
    text = "1. a.b(c=1) — until this task ends: Post"
    assert view(OutboundMessage(dest, MessageKind.NOTICE, "k", {"text": text})).parts[0].text == said


def test_the_wait_for_other_calls_is_short():
    assert gathering.TOGETHER_SECONDS <= 0.3
