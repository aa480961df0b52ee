"""A restart leaves runs alone that only wait for a person, and takes up those about which something was said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.domain.states import Status
from agent.store.sql import SqlStore
from agent.testing import Bot, step
from agent.testing.engines import journal_of
from plugins.api import tool
from tests.conftest import echo, send


@tool
def count() -> str:
    """Count."""
    return "one"


def bot_at(home: Path) -> Bot:
    return Bot(home, [echo, send, count], policy={"mode": "always"})


async def asked(home: Path, *steps) -> None:
    """Have a run wait for its person, and end the process in good order."""
    async with bot_at(home) as bot:
        bot.llm.will_plan(*steps)
        await bot.hears("do it")
        assert (await bot.last_run()).status is Status.WAITING_APPROVAL


async def worked_on(bot: Bot) -> int:
    """Return how often the newest run has been taken up in all."""
    return (await bot.last_run()).epoch


async def epoch_of(home: Path) -> int:
    store = SqlStore(journal_of(home))
    await store.open()
    (run,) = await store.unfinished_runs()
    await store.close()
    return run.epoch


@pytest.mark.parametrize(
    "steps",
    [
        (step("q", ask="Which one?", options=("this", "that")), step("s1", "echo", text="x", after=("q",))),
        (step("s1", "send", to="ada", text="hi"), step("s2", "count", after=("s1",))),
        (step("q", ask="Which one?"), step("s1", "send", to="ada", text="hi")),
    ],
    ids=["question", "approval", "both"],
)
async def test_a_run_about_which_nothing_was_said_is_left_alone(tmp_path: Path, steps):
    await asked(tmp_path, *steps)
    before = await epoch_of(tmp_path)
    async with bot_at(tmp_path) as bot:
        await bot.idle()
        assert await worked_on(bot) == before


async def test_it_goes_on_when_it_is_answered_after_the_restart(tmp_path: Path):
    await asked(tmp_path, step("q", ask="Which one?", options=("this", "that")), step("s1", "count", after=("q",)))
    async with bot_at(tmp_path) as bot:
        bot.llm.will_answer("done")
        answer = await bot.chooses("that")
    assert (answer.text, bot.statuses) == ("done", {"q": "COMPLETED", "s1": "COMPLETED"})


async def test_an_answer_that_was_stored_just_before_the_end_is_acted_on(tmp_path: Path):
    await asked(tmp_path, step("q", ask="Which one?", options=("this", "that")), step("s1", "count", after=("q",)))
    store = SqlStore(journal_of(tmp_path))
    await store.open()
    (question,) = await store.open_questions("test:1")
    await store.answer_question(question.id, "this", "1")
    await store.close()
    bot = bot_at(tmp_path)
    bot.llm.will_answer("done")
    async with bot:
        answer = await bot.answer()
    assert (answer.text, answer.status) == ("done", "COMPLETED")


async def test_one_of_two_answers_that_was_stored_before_the_end_is_acted_on(tmp_path: Path):
    first, second = step("a", ask="Which one?"), step("b", ask="What else?")
    await asked(tmp_path, first, second, step("s1", "echo", text="{{ a.output }}"))
    store = SqlStore(journal_of(tmp_path))
    await store.open()
    question = next(q for q in await store.open_questions("test:1") if q.text == "Which one?")
    await store.answer_question(question.id, "this", "1")
    await store.close()
    async with bot_at(tmp_path) as bot:
        await bot.answer()
        assert bot.statuses == {"a": "COMPLETED", "b": "WAITING_APPROVAL", "s1": "COMPLETED"}


async def test_what_expired_while_nothing_ran_is_denied_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    await asked(tmp_path, step("s1", "send", to="ada", text="hi"))
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 10 * 86_400)
    bot = bot_at(tmp_path)
    bot.llm.will_answer("nobody allowed it")
    async with bot:
        answer = await bot.answer()
    assert answer.text == "nobody allowed it"
    assert bot.statuses == {"s1": "FAILED"}
