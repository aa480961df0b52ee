"""Runs saved as pipelines and schedules edited on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.app import build_app
from agent.cli import main
from agent.config import AppConfig
from agent.domain.messages import Destination
from agent.domain.trigger import Trigger, TriggerKind
from agent.store.sql import SqlStore
from agent.testing import Bot, step
from plugins.api import tool

DEST = Destination("test", "1")


@tool
def calculate(expression: str) -> str:
    """Return it."""
    return expression


@tool(effect="read", untrusted=True)
def fetch(url: str) -> str:
    """Read a page, which is not there."""
    raise ValueError("gone")


async def made(home: Path, *, tainted: bool = False) -> str:
    """Carry out a request in this home and return the run's ref."""
    async with Bot(home, [calculate, fetch]) as bot:
        if tainted:
            bot.llm.will_plan(step("s0", "fetch", url="https://example.org"))
        bot.llm.will_plan(step("s1", "calculate", expression="12 * 1234"))
        bot.llm.will_answer("12 * 1234")
        await bot.hears("calculate 12 * 1234")
        return (await bot.last_run()).ref


def test_a_run_is_saved_by_its_ref(home: Path, capsys: pytest.CaptureFixture[str]):
    ref = asyncio.run(made(home))

    assert main(["pipelines", "save", ref, "sums"]) == 0
    assert "Saved as sums: takes number (1234)." in capsys.readouterr().out
    assert (home / "pipelines" / "sums.yaml").read_text().startswith(f"# Saved from the run {ref} in a chat.")
    assert main(["pipelines", "check", "sums"]) == 0


def test_steps_that_are_not_the_persons_need_a_yes(home: Path, capsys: pytest.CaptureFixture[str]):
    ref = asyncio.run(made(home, tainted=True))

    assert main(["pipelines", "save", ref, "sums"]) == 1
    told = capsys.readouterr()
    assert "use: calculate" in told.out
    assert "they are not yours alone" in told.err
    assert not (home / "pipelines" / "sums.yaml").exists()
    assert main(["pipelines", "save", ref, "sums", "--yes"]) == 0


def test_a_run_that_is_none_is_said(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["pipelines", "save", "nothing"]) == 1
    assert "There is no run 'nothing'." in capsys.readouterr().err


@pytest.fixture
def schedule(home: Path) -> str:
    async def make() -> None:
        app = build_app(AppConfig(home=home))
        await app.store.open()
        spec = {"cron": "0 7 * * *", "zone": "Europe/Vienna"}
        await app.automation.create(
            Trigger("abc123", "weather", TriggerKind.SCHEDULE, {"request": "the weather"}, "test:1", DEST, spec)
        )
        await app.stop()

    asyncio.run(make())
    return "abc123"


def stored(home: Path) -> Trigger:
    async def read() -> Trigger:
        store = SqlStore(home / "journal.db")
        await store.open()
        (found,) = await store.triggers()
        await store.close()
        return found

    return asyncio.run(read())


def test_a_schedule_gets_another_time_text_and_name(home: Path, schedule: str, capsys: pytest.CaptureFixture[str]):
    assert main(["schedules", "edit", "abc", "--time", "every Friday at 9:30", "--text", "the news"]) == 0
    assert "every Friday at 9:30 Europe/Vienna: the news" in capsys.readouterr().out
    trigger = stored(home)
    assert (trigger.spec["cron"], trigger.target, trigger.name) == ("30 9 * * 5", {"request": "the news"}, "the news")
    assert main(["schedules", "edit", "abc", "--name", "News"]) == 0
    assert stored(home).name == "News"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--time", "at full moon"], "I don't understand this time."),
        (["--time", "every day at 9 EST"], "does not say which clock"),
        ([], "Nothing is to be changed."),
    ],
)
def test_what_cannot_be_changed_is_said(home: Path, schedule: str, given, said, capsys: pytest.CaptureFixture[str]):
    assert main(["schedules", "edit", schedule, *given]) == 1
    assert said in capsys.readouterr().err
    assert stored(home).spec["cron"] == "0 7 * * *"
