"""A request during which Dirigent dies three times is set aside and waits for a person; a restart in good order counts
for nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.domain.messages import MessageKind
from agent.domain.states import Status
from agent.planning.notation import render
from agent.testing import Bot, step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.served import serving
from agent.testing.telegram_server import FakeTelegram
from plugins.api import tool

OWNER = 11
DEATHS = 3
PLUGIN = '''"""Never end."""
import time
from pathlib import Path
from plugins.api import tool

@tool
def hang() -> str:
    """Note the beginning and work for ever."""
    with open("began.log", "a") as log:
        log.write("x")
    time.sleep(600)
    return ""
'''


@pytest.mark.timeout(400)
async def test_after_three_deaths_a_request_waits_for_a_person_who_can_have_it_taken_up(tmp_path: Path):
    home = tmp_path / "home"
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "hang.py").write_text(PLUGIN)
    log = home / "sessions" / f"telegram_{OWNER}" / "work" / "began.log"
    plan = Answer(render("Hang", [step("s1", "hang")]))

    async def begun(times: int) -> None:
        async with asyncio.timeout(90):
            while not log.exists() or len(log.read_text()) < times:
                await asyncio.sleep(0.05)

    async with FakeTelegram() as telegram, FakeOpenAI(lambda _: plan, models=["fake-model"]) as model:
        telegram.user_says(OWNER, "hang, please", language="de")
        for life in range(DEATHS):
            async with serving(home, telegram, model):
                await begun(life + 1)
        async with serving(home, telegram, model):
            found = await telegram.wait_for(
                lambda: [m for m in telegram.bot_messages(OWNER) if "zurückgestellt" in m.text], 90
            )
            assert "3-mal" in found[-1].text
            assert "Hang" in found[-1].text
            assert [label.split(" ")[0] for label in found[-1].labels] == ["🔄", "🗑"]
            assert len(log.read_text()) == DEATHS, "it was not taken up again by itself"
            goes_on = [m for m in telegram.bot_messages(OWNER) if "neu gestartet" in m.text]
            assert len(goes_on) == 1, "it was told while it went on, in one message that was changed"
            telegram.user_presses(OWNER, found[-1].id, found[-1].labels[0])
            await begun(DEATHS + 1)


async def test_restarts_in_good_order_never_set_a_request_aside(tmp_path: Path):
    began = asyncio.Event()
    lives: list[int] = []

    @tool
    async def hang() -> str:
        """Work for ever, but for the last time."""
        lives.append(1)
        began.set()
        if len(lives) <= DEATHS + 1:
            await asyncio.Event().wait()
        return "done"

    for life in range(DEATHS + 1):
        async with Bot(tmp_path, [hang]) as bot:
            if life == 0:
                bot.llm.will_plan(step("s1", "hang"))
                await bot.receives("hang, please")
            async with asyncio.timeout(30):
                await began.wait()
                while not (await bot.last_run()).plan_complete:
                    await asyncio.sleep(0.01)
            began.clear()
    async with Bot(tmp_path, [hang]) as bot:
        bot.llm.will_answer("at last")
        answer = await bot.answer()
        assert answer.status == Status.COMPLETED, answer
        assert await bot.shown(MessageKind.ERROR) == []
