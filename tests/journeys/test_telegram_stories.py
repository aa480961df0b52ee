"""Whole stories on Telegram: real app, real client of the model, real sandbox, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.testing import step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.telegram_server import FakeTelegram
from tests.journeys.conftest import OWNER, SECOND_OWNER, Stage, settings

SALES = "month,region,sales\n2026-01,North,10\n2026-02,North,14\n2026-01,South,7\n2026-02,South,9\n"


async def test_a_plan_asks_fails_plans_anew_and_answers_with_picture_and_table(stage: Stage):
    stage.will_plan(
        step("s1", "aggregate", file="sales.csv", y="sales", by="region", how="sum"),
        step("s2", "write_file", path="table.csv", text="region,total\nNorth,24\n", outputs=("table.csv",)),
        step("s3", ask="Which kind of chart?", options=("bar", "line"), after=("s1",)),
        step("s4", "read_file", path="nowhere.txt", after=("s3",)),
        title="Sales by month",
        tokens_per_second=200,
    )
    stage.will_plan(
        step("s5", "chart", file="sales.csv", y="sales", x="month", kind="{{ s3.output }}", path="sales.png"),
        when="nowhere.txt",
    )
    stage.will("answer", "North sold **24**, South 16.")
    async with stage.up():
        stage.telegram.user_sends_file(OWNER, "sales.csv", SALES.encode())
        await stage.sees("Saved sales.csv")
        before = len(stage.telegram.calls)
        request = stage.says("Chart my sales by month")
        question = await stage.sees("Which kind of chart?", button="bar")
        shown = [c.method for c in stage.telegram.calls[before:] if c.chat == OWNER]
        assert shown.index("sendChatAction") < shown.index("sendMessage")
        assert await stage.presses(question, "bar") == "✓ bar"
        answer = await stage.sees("North sold 24, South 16.")
        await stage.until(lambda: [m for m in stage.telegram.bot_messages(OWNER) if m.photo and m.files])
        shown = stage.telegram.bot_messages(OWNER)
    assert answer.reply_to == request
    assert [(m.photo, m.files[0][0]) for m in shown if m.files] == [(False, "table.csv"), (True, "sales.png")]
    (plan,) = [m for m in shown if m.text.startswith("🗺")]
    assert plan.edits >= 1
    assert [line[0] for line in plan.text.splitlines()[1:]] == ["✅", "✅", "✅", "❌", "✅"]
    assert not plan.buttons
    assert [m.text for m in shown if m.text.startswith("Which kind")] == ["Which kind of chart: bar"]
    assert stage.refused() == []


async def test_without_a_model_an_uploaded_table_becomes_a_chart(telegram: FakeTelegram, tmp_path: Path):
    offline = FakeOpenAI()
    stage = Stage(telegram, offline, settings(tmp_path, telegram, None))
    async with stage.up():
        telegram.user_sends_file(OWNER, "sales.csv", SALES.encode(), caption="chart the sales by month")
        (photo,) = await stage.until(lambda: [m for m in telegram.bot_messages(OWNER) if m.photo])
    assert photo.files[0][1].startswith(b"\x89PNG")
    assert stage.refused() == []


async def test_what_no_tool_can_do_without_a_model_is_said_with_the_way_on(telegram: FakeTelegram, tmp_path: Path):
    stage = Stage(telegram, FakeOpenAI(), settings(tmp_path, telegram, None))
    async with stage.up():
        stage.says("Compose a ballad about the sea")
        said = await stage.sees("To add a model")
    assert "“Compose a ballad about the sea”" in said.text
    assert "dirigent init" in said.text
    assert "These work:" in said.text


async def test_a_direct_answer_grows_while_it_is_written(stage: Stage):
    words = "I am well, and I can plan, search and calculate for you. " * 12
    stage.will("plan", Answer(f"answer: {words}The end.", tokens_per_second=55))
    async with stage.up():
        stage.says("How are you?")
        growing = await stage.sees("I am well", growing=True)
        assert "The end." not in growing.text
        whole = await stage.sees("The end.")
    assert whole.id == growing.id
    assert whole.edits >= 3
    assert [m.id for m in stage.telegram.bot_messages(OWNER)] == [whole.id]
    assert stage.refused() == []


@pytest.mark.parametrize("kind", ["error", "drop_before", "drop_after", "error_after"])
async def test_whatever_happens_to_a_sending_the_answer_is_there_once(stage: Stage, kind: str):
    stage.will_plan(step("s1", "write_file", path="a.txt", text="x"), title="Work")
    stage.will("answer", "It is written.")
    stage.telegram.fail("sendMessage", kind, times=2, code=502, description="Bad Gateway")
    stage.telegram.fail("editMessageText", kind, times=1, code=500)
    async with stage.up():
        stage.says("Write a file")
        await stage.sees("It is written.")
        await stage.until(lambda: [m for m in stage.telegram.bot_messages(OWNER) if m.files], 40)
    assert stage.texts().count("It is written.") == 1
    assert [bool(m.files) for m in stage.telegram.bot_messages(OWNER)][-2:] == [False, True]


async def test_a_429_is_waited_out_and_the_answer_comes_once(stage: Stage):
    stage.will_plan(step("s1", "now"), title="Time")
    stage.will("answer", "It is noon.")
    wait = "Too Many Requests: retry after 1"
    stage.telegram.fail("sendMessage", "error", times=2, code=429, description=wait, retry_after=1)
    async with stage.up():
        stage.says("What time is it?")
        await stage.sees("It is noon.", seconds=30)
    assert stage.texts().count("It is noon.") == 1
    sends = [call.at for call in stage.telegram.called("sendMessage", OWNER)]
    assert sends[1] - sends[0] >= 1.0


async def test_two_chats_do_not_hold_each_other_up(stage: Stage):
    code = "import time\nfrom pathlib import Path\nPath('started').touch()\ntime.sleep(60)"
    stage.will_plan(step("s1", "python", code=code), title="Long", when="long")
    stage.will_plan(step("s1", "now"), title="Short", when="short")
    stage.will("answer", "Quick.", when="short")
    async with stage.up():
        stage.says("Do the long thing")
        await stage.sees("⏳ 1 python")
        stage.says("Do the short thing", chat=SECOND_OWNER)
        await stage.sees("Quick.", chat=SECOND_OWNER)
        assert "⏳" in stage.texts()[0]
        stage.says("stop")
        await stage.sees("⏹ Stopped")


async def test_many_messages_at_once_are_all_answered_each_in_its_place(stage: Stage):
    for number in range(6):
        stage.will("plan", f"answer: This is answer {number}.", when=f"question {number}")
    async with stage.up():
        asked = {number: stage.says(f"This is question {number}") for number in range(6)}
        found = await asyncio.gather(*(stage.sees(f"This is answer {n}.") for n in range(6)))
    assert [message.reply_to for message in found] == list(asked.values())
    assert stage.refused() == []
