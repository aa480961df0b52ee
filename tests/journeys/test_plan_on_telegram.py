"""The plan's buttons over the wire, and words about a plan that survive the end of the process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.planning.notation import render
from agent.testing import step
from agent.testing.engines import on_workers
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.served import serving
from agent.testing.telegram_server import FakeTelegram
from tests.journeys.conftest import OWNER, Stage

LONG = "import time\nfrom pathlib import Path\nPath('started').touch()\ntime.sleep(60)"


async def test_details_change_and_stop_of_a_plan_in_the_chat(stage: Stage):
    stage.will_plan(step("s1", "python", code=LONG), step("s2", "now", after=("s1",)), title="Two things")
    stage.will("answer", "The time is known.")
    async with stage.up():
        stage.says("Do the long thing")
        plan = await stage.sees("⏳ 1", button="▾ Details")
        assert plan.labels == ["⏹ Stop", "✏️ Change", "▾ Details"]
        await stage.presses(plan, "▾ Details")
        unfolded = await stage.sees("python(code=", button="▴ Less")
        assert unfolded.id == plan.id
        assert "Changes and sends nothing outside." in unfolded.text
        await stage.presses(unfolded, "▴ Less")
        await stage.until(lambda: "python(code=" not in stage.texts()[0])
        await stage.presses(unfolded, "✏️ Change")
        await stage.sees("What should be different?")
        stage.says("drop 1")
        await stage.sees("The time is known.", button="🔁 Redo")
        texts = stage.texts()
    assert texts[0].splitlines()[1][0] == "⏭"
    assert texts[0].splitlines()[2][0] == "✅"
    assert "What should be different: drop 1" in texts
    assert stage.refused() == []


async def test_a_reply_to_the_plan_changes_it_and_another_message_comes_next(stage: Stage):
    stage.will_plan(step("s1", "python", code=LONG), step("s2", "now", after=("s1",)), title="Two things")
    stage.will("answer", "The time is known.")
    stage.will("plan", "answer: It rains.")
    async with stage.up():
        stage.says("Do the long thing")
        plan = await stage.sees("⏳ 1")
        stage.says("And the weather?")
        await stage.sees("this comes next", button="Use it in what I'm doing")
        stage.says("skip step 1", reply_to=plan.id)
        await stage.sees("The time is known.")
        await stage.sees("It rains.")
    assert stage.refused() == []


@pytest.mark.timeout(400)
async def test_a_wish_survives_the_end_of_the_process_and_the_restart_is_told_once(tmp_path: Path):
    planned = asyncio.Event()

    def answer(request: dict[str, list[dict[str, str]]]) -> Answer:
        if str(request["messages"][0]["content"]).startswith("You write the final answer"):
            return Answer("With the other one.")
        if "take the other one" in str(request["messages"][-1]["content"]):
            slow = not planned.is_set()
            planned.set()  # the first time the process is killed while the plan is still being written
            return Answer(render("", [step("s3", "now")]), first_token_seconds=30.0 if slow else 0.0)
        return Answer(render("One", [step("s1", "python", code=LONG), step("s2", "now", after=("s1",))]))

    home = tmp_path / "home"
    async with FakeTelegram() as telegram, FakeOpenAI(answer, models=["fake-model"]) as model:

        def shown(text: str) -> list[str]:
            return [m.text for m in telegram.bot_messages(OWNER) if text in m.text]

        async with serving(home, telegram, model):
            telegram.user_says(OWNER, "Do it")
            await telegram.wait_for(lambda: shown("⏳ 1"), 120)
            (plan,) = [m for m in telegram.bot_messages(OWNER) if m.text.startswith("🗺")]
            telegram.user_says(OWNER, "take the other one", reply_to=plan.id)
            await telegram.wait_for(planned.is_set, 120)
        async with serving(home, telegram, model):
            await telegram.wait_for(lambda: shown("I was restarted"), 120)
            telegram.user_says(OWNER, "/plan")  # once this is there, the notice is known to be there
            await telegram.wait_for(lambda: shown("(running)"), 120)
        async with serving(home, telegram, model):
            await telegram.wait_for(lambda: shown("✅ 3"), 120)
            telegram.user_says(OWNER, "drop 1", reply_to=plan.id)
            await telegram.wait_for(lambda: shown("With the other one."), 120)
        assert len(shown("I was restarted")) == 1
        # A worker may take over before it is known how many steps there are.
        assert shown("going on." if on_workers() and not shown("going on with") else "going on with step 1 of 3")
        assert len(shown("What should be different: take the other one")) == 1
