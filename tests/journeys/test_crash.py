"""`dirigent serve` as a real process, killed with SIGKILL at random moments of whole stories, fifty times."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent.planning.notation import render
from agent.testing import step
from agent.testing.engines import on_workers, rows
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.served import serving
from agent.testing.telegram_server import FakeTelegram

OWNER = 11
KILLS = 8 if on_workers() else 50  # there a life takes longer: two processes, and others notice its end
PLUGIN = '''"""Count what was done."""
from plugins.api import ToolFailure, tool

@tool
def tally(name: str) -> str:
    """Note that something was done."""
    with open("tally.log", "a") as log:
        log.write(name + "\\n")
    return name

@tool
def broken(name: str) -> str:
    """Fail."""
    raise ToolFailure(f"{name} is broken")
'''


def answer(request: dict[str, Any]) -> Answer:
    """Play the model: a plan, a new plan once a step has failed, a long final answer."""
    text = "\n".join(str(message["content"]) for message in request["messages"])
    job = re.findall(r"job (\d+)", text)[-1]
    if str(request["messages"][0]["content"]).startswith("You write the final answer"):
        return Answer(f"This is the answer to job {job}. " + "It has some length. " * 12 + f"End of {job}.")
    if "is broken" in text:
        plan = render(
            "", [step("s5", "tally", name=f"{job}-c"), step("s6", "write_file", path=f"r{job}.txt", text=job)]
        )
    else:
        plan = render(
            f"Job {job}",
            [
                step("s1", "tally", name=f"{job}-a"),
                step("s2", "tally", name=f"{job}-b"),
                step("s3", ask=f"Which colour for {job}?", options=("red", "blue"), after=("s1",)),
                step("s4", "broken", name=job, after=("s3",)),
            ],
        )
    return Answer(plan, tokens_per_second=300, first_token_seconds=0.05)


async def press_questions(telegram: FakeTelegram, dice: random.Random) -> None:
    """Be the person: answer each question by a button, sooner or later."""
    while True:
        asked = await telegram.wait_for(
            lambda: [m for m in telegram.bot_messages(OWNER) if "Which colour" in m.text and "red" in m.labels], 600
        )
        await asyncio.sleep(dice.uniform(0, 0.3))
        with suppress(AssertionError, KeyError):
            telegram.user_presses(OWNER, asked[-1].id, "red")
        await asyncio.sleep(0.2)


def done(home: Path) -> tuple[set[tuple[str, str]], Counter[str]]:
    """Return what the journal says is finished, as (request, step), and how often each tally was made."""
    log = home / "sessions" / f"telegram_{OWNER}" / "work" / "tally.log"
    found = rows(
        home,
        "SELECT runs.request, tasks.step_id FROM tasks JOIN runs ON runs.id = tasks.run_id "
        "WHERE tasks.status = 'COMPLETED'",
    )
    finished = {(str(request), str(step_id)) for request, step_id in found}
    return finished, Counter(log.read_text().split() if log.exists() else [])


STEPS = {"s1": "a", "s2": "b", "s5": "c"}


@pytest.mark.crash
@pytest.mark.timeout(1500)
async def test_killed_fifty_times_nothing_finished_runs_twice_and_each_answer_arrives_once(tmp_path: Path):
    home = tmp_path / "home"
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "tally.py").write_text(PLUGIN)
    dice = random.Random(20261120)

    def ended(job: int) -> list[str]:
        return [m.text for m in telegram.bot_messages(OWNER) if m.text.rstrip().endswith(f"End of {job}.")]

    async with FakeTelegram() as telegram, FakeOpenAI(answer, models=["fake-model"]) as model:
        person = asyncio.create_task(press_questions(telegram, dice))
        interrupted = 0
        for job in range(KILLS):
            telegram.user_says(OWNER, f"Do job {job}")
            async with serving(home, telegram, model):
                if job == 0:
                    await telegram.wait_for(lambda: telegram.bot_messages(OWNER), 120)
                with suppress(asyncio.TimeoutError, TimeoutError, AssertionError):
                    await telegram.wait_for(lambda: ended(job), dice.uniform(0.7, 4.0))  # noqa: B023
            interrupted += not ended(job)
            finished, tallies = done(home)
            async with serving(home, telegram, model):
                await telegram.wait_for(lambda: ended(job), 120)  # noqa: B023
            for request, step_id in finished:
                if step_id in STEPS:
                    name = f"{request.removeprefix('Do job ')}-{STEPS[step_id]}"
                    assert done(home)[1][name] == tallies[name], f"{name} was finished and ran again"
        person.cancel()
        await asyncio.wait([person])
        for job in range(KILLS):
            assert len(ended(job)) == 1, f"job {job} was answered {len(ended(job))} times"
        finished, _ = done(home)
        assert {step_id for request, step_id in finished if request == "Do job 5"} == {"s1", "s2", "s3", "s5", "s6"}
        assert len(finished) == 5 * KILLS
        assert interrupted > KILLS / 4, "the kills came too late to show anything"
