"""What the buttons under a stopped, failed or finished run do: go on, throw away, try again, say more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.messages import MessageKind
from agent.domain.states import Status
from agent.errors import ModelUnavailable
from agent.testing import Bot, step
from plugins.api import ToolFailure, tool


class World:
    """What the tools have done, whether they may end, and whether they work."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.sent: list[str] = []
        self.began = asyncio.Event()
        self.broken = False


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def bot(tmp_path: Path, world: World) -> AsyncIterator[Bot]:
    @tool
    def make(name: str) -> str:
        """Write a file."""
        if world.broken:
            raise ToolFailure("it is broken")
        Path(name).write_text(name)
        world.done.append(name)
        return name

    @tool
    async def hang() -> str:
        """Work until the person stops it, the first time."""
        again, _ = world.began.is_set(), world.began.set()
        if not again:
            await asyncio.Event().wait()
        return "at last"

    @tool(effect="once")
    async def send(to: str) -> str:
        """Send something; the first time it takes for ever."""
        world.sent.append(to)
        again, _ = world.began.is_set(), world.began.set()
        if not again:
            await asyncio.Event().wait()
        return f"sent to {to}"

    async with Bot(tmp_path, [make, hang, send]) as one:
        yield one


async def press(bot: Bot, label: str) -> str:
    for message in reversed(await bot.shown()):
        for row in message.payload.get("buttons", ()):
            for button in row:
                if label in button["label"]:
                    return await bot.presses(button["action"])
    raise AssertionError(f"nothing offers {label}")


async def stopped(bot: Bot, world: World) -> str:
    bot.llm.will_plan(step("s1", "make", name="a.txt"), step("s2", "hang", after=("s1",)), title="Two things")
    await bot.receives("do two things")
    async with asyncio.timeout(60):
        await world.began.wait()
    await bot.receives("/stop")
    notices = await bot.shown(MessageKind.NOTICE)
    return str(notices[-1].payload["text"])


async def test_a_stopped_run_is_resumed_once_and_keeps_what_is_finished(bot: Bot, world: World):
    assert await stopped(bot, world) == "⏹ Stopped; kept: a.txt."
    bot.llm.will_answer("both done")
    assert await press(bot, "Resume") == "Going on with it."
    answer = await bot.answer()
    assert answer.text == "both done"
    assert bot.statuses == {"s1": "COMPLETED", "s2": "COMPLETED"}
    assert world.done == ["a.txt"]
    first = (await bot.app.store.recent_runs(bot.dest.session_id))[1]
    assert (await bot.presses(f"r/{first.ref}/resume")).startswith("Too late")
    assert len(bot.llm.requests) == 2  # one plan, one answer


async def test_discard_shows_the_files_asks_and_spares_what_was_changed_since(bot: Bot, world: World):
    await stopped(bot, world)
    assert await press(bot, "Discard") == ""
    assert (await bot.shown(MessageKind.NOTICE))[-1].payload["text"] == "Files to remove: a.txt"
    assert (bot.workspace / "a.txt").exists()
    assert await press(bot, "Keep them") == "Kept."
    (bot.workspace / "a.txt").write_text("mine now")
    assert await press(bot, "Discard") == "Nothing of it is left to remove."
    (bot.workspace / "a.txt").write_text("a.txt")
    await press(bot, "Discard")
    assert await press(bot, "Remove them") == "Removed: a.txt"
    assert not (bot.workspace / "a.txt").exists()


async def test_a_file_that_was_there_before_is_not_discarded(bot: Bot, world: World):
    bot.workspace.mkdir(parents=True, exist_ok=True)
    (bot.workspace / "a.txt").write_text("the person's own")
    await stopped(bot, world)
    run = await bot.last_run()
    assert await bot.presses(f"r/{run.ref}/discard") == "Nothing of it is left to remove."


async def test_a_sending_that_was_stopped_is_asked_about_when_the_run_is_resumed(bot: Bot, world: World):
    bot.llm.will_plan(step("s1", "send", to="ann"), title="Mail")
    await bot.hears("send it")
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    await bot.presses(f"a/{asked.payload['id']}/allow")
    async with asyncio.timeout(60):
        await world.began.wait()
    await bot.receives("/stop")
    await press(bot, "Resume")
    await bot.answer()
    question = await bot.question()
    assert question is not None
    assert "I don't know whether it was done" in question.text
    assert world.sent == ["ann"]
    bot.llm.will_answer("it was sent")
    await bot.chooses("Treat as done")
    assert world.sent == ["ann"]


async def test_when_the_model_is_away_the_run_is_tried_again_from_what_is_done(bot: Bot, world: World):
    bot.llm.will_fail("plan", ModelUnavailable("The model server is busy."))
    await bot.hears("make a file")
    (error,) = await bot.shown(MessageKind.ERROR)
    assert [b["label"] for b in error.payload["buttons"][0]] == ["🔄 Retry", "Use another model"]
    bot.llm.will_plan(step("s1", "make", name="a.txt"))
    bot.llm.will_answer("made")
    assert await press(bot, "Retry") == "Going on with it."
    assert (await bot.answer()).text == "made"
    assert await press(bot, "Use another model") == "The server has no other model."


async def test_a_failed_step_is_tried_again_by_the_button(tmp_path: Path, bot: Bot, world: World):
    world.broken = True
    bot.llm.will_plan(step("s1", "make", name="a.txt"))
    for _ in range(5):
        bot.llm.will_say("plan", "end")
    bot.llm.will_answer("it failed")
    assert (await bot.hears("make a file")).status == "FAILED"
    world.broken = False
    bot.llm.will_answer("made")
    await press(bot, "Retry")
    answer = await bot.answer()
    assert (answer.text, answer.status) == ("made", "COMPLETED")


async def test_an_answer_offers_more_detail_and_to_do_it_anew(bot: Bot, world: World):
    bot.llm.will_plan(step("s1", "make", name="a.txt"))
    bot.llm.will_answer("made")
    await bot.hears("make a file")
    bot.llm.will_plan(step("s1", "make", name="a.txt"))
    bot.llm.will_answer("made anew")
    assert await press(bot, "Redo") == "Doing it anew."
    assert (await bot.answer()).text == "made anew"
    bot.llm.will_say("plan", "answer: It holds a.txt.")
    await press(bot, "More detail")
    assert (await bot.answer()).text == "It holds a.txt."
    assert (await bot.last_run()).request == "make a file\n\nMore detail, please."
    assert world.done == ["a.txt", "a.txt"]


async def test_each_step_keeps_the_label_of_its_choice_when_the_run_is_resumed(bot: Bot, world: World):
    await stopped(bot, world)
    old = await bot.last_run()
    assert old.status is Status.CANCELLED
    bot.llm.will_answer("both done")
    await press(bot, "Resume")
    await bot.answer()
    before = {r.step.id: r.control for r in await bot.app.store.get_steps(old.id)}
    assert {r.step.id: r.control for r in await bot.steps()} == before
