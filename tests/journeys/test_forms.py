"""The menus and forms of plugins: asked one field at a time in one message, then run as the person's own words."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest

from agent.catalogue import Catalogue
from agent.config import AppConfig
from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.session import Profile
from agent.testing import Bot
from agent.testing.trusting import trusting
from plugins.api import Button, Field, File, Form, Menu, Plugin, tool
from tests.journeys.conftest import OWNER, Stage

PLUGIN = '''"""Make labels."""
from typing import Annotated
from plugins.api import Button, Field, File, Form, Menu, Plugin, tool

plugin = Plugin(ui=(
    Menu("Labels", (Button("Which are there?", "/labels"),)),
    Form("Make a label", "label", (
        Field("path", "For which file?", "file"),
        Field("size", "How large?", "number"),
        Field("day", "For when?", "date"),
        Field("colour", "Which colour?", "choice", ("red", "deep blue")),
        Field("note", "A note?", required=False),
    )),
))

@tool(host=True, effect="pure")
def labels() -> str:
    """List the labels."""
    return "none so far"

@tool(host=True, effect="pure")
def label(path: Annotated[str, File(".csv")], size: float, day: str, colour: str, note: str = "") -> str:
    """Make a label."""
    return f"{path}|{size:g}|{day}|{colour}|{note}"
'''


@tool(host=True, effect="pure")
def count(
    path: Annotated[str, File(".csv")], times: int, day: str = "", colour: str = "red", note: str = "none"
) -> str:
    """Say what was filled in."""
    return f"{path}|{times}|{day}|{colour}|{note}"


@tool(host=True, effect="pure")
def hello() -> str:
    """Say hello."""
    return "hello there"


UI = Plugin(
    ui=(
        Menu("Greetings", (Button("Greet", "/hello"),)),
        Form(
            "Count",
            "count",
            (
                Field("path", "Which file?", "file"),
                Field("times", "How often?", "number"),
                Field("day", "When?", "date", required=False),
                Field("colour", "Colour?", "choice", ("red", "deep blue")),
                Field("note", "Note?", required=False),
            ),
        ),
    )
)


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with made(tmp_path) as life:
        yield life


def made(folder: Path) -> Bot:
    """Return one life of Dirigent, offline, whose plugin `test` has a menu and a form."""
    life = Bot(folder / "home", [count, hello], offline=True)
    catalogue = life.app.catalogue
    catalogue.plugins = tuple(replace(one, summary="Greet and count.", ui=UI.ui) for one in catalogue.plugins)
    return life


async def newest(bot: Bot) -> OutboundMessage:
    """Return the notice that has buttons now."""
    return [m for m in await bot.shown(MessageKind.NOTICE) if m.payload.get("buttons")][-1]


async def press(bot: Bot, label: str, **fields) -> str:
    for row in (await newest(bot)).payload["buttons"]:
        for button in row:
            if button["label"].lstrip("‹ ") == label:
                return await bot.presses(button["action"], **fields)
    raise AssertionError(f"no button {label} in {(await newest(bot)).payload}")


async def opened(bot: Bot) -> None:
    await bot.receives("/tools")
    await press(bot, "Test")
    await press(bot, "Count")


async def send(bot: Bot, folder: Path, name: str) -> None:
    (folder / name).write_text("a\n1\n")
    await bot.receives("", [folder / name])


async def test_a_menus_button_is_the_persons_own_words(bot: Bot):
    await bot.receives("/tools")
    await press(bot, "Test")
    await press(bot, "Greet")

    assert (await bot.answer()).text == "hello there"


async def test_a_form_is_filled_in_and_its_command_run(bot: Bot, tmp_path: Path):
    await opened(bot)
    form = await newest(bot)
    await send(bot, tmp_path, "a b.csv")
    await bot.receives("3")
    await bot.receives("24.12.2026")
    await press(bot, "deep blue")
    await bot.receives('it\'s "good" news')

    answer = await bot.answer()
    assert answer.text == "a b.csv|3|2026-12-24|deep blue|it's ”good” news"
    assert (await bot.last_run()).provenance.trusted
    shown = await bot.app.store.get_message(form.key)
    assert shown is not None
    assert "✓ How often? 3" in shown.payload["text"]
    assert shown.payload["buttons"] == []


async def test_a_value_that_does_not_fit_is_said_and_nothing_is_lost(bot: Bot, tmp_path: Path):
    await opened(bot)
    await send(bot, tmp_path, "a.txt")
    assert "⚠️ Send a file" in (await newest(bot)).payload["text"]
    await bot.receives("nowhere.csv")
    assert "There is no file “nowhere.csv” here" in (await newest(bot)).payload["text"]
    await send(bot, tmp_path, "a.csv")
    await bot.receives("many")
    assert "⚠️ “many” is no number." in (await newest(bot)).payload["text"]
    assert "✓ Which file? a.csv" in (await newest(bot)).payload["text"]
    await bot.receives("2")
    await bot.receives("31.02.2026")
    assert "is no date" in (await newest(bot)).payload["text"]
    await press(bot, "Skip")
    await bot.receives("green")
    assert "“green” is none of the choices: red, deep blue." in (await newest(bot)).payload["text"]


async def test_optional_fields_are_skipped_and_back_leads_back(bot: Bot, tmp_path: Path):
    (tmp_path / "b.csv").write_text("a\n1\n")
    await bot.receives("", [tmp_path / "b.csv"])
    await opened(bot)
    await press(bot, "b.csv")
    await bot.receives("2")
    await press(bot, "Back")
    await bot.receives("5")
    await press(bot, "Skip")
    await bot.receives("2")  # the second choice
    await press(bot, "Skip")

    assert (await bot.answer()).text == "b.csv|5||deep blue|none"


async def test_the_tools_own_check_keeps_the_form_open(bot: Bot, tmp_path: Path):
    await opened(bot)
    await send(bot, tmp_path, "a.csv")
    await bot.receives("2.5")
    await press(bot, "Skip")
    await press(bot, "red")
    await press(bot, "Skip")

    assert "'times' must be a whole number" in (await newest(bot)).payload["text"]
    for _ in range(3):
        await press(bot, "Back")
    await bot.receives("2")
    await press(bot, "Skip")
    await press(bot, "red")
    await press(bot, "Skip")
    assert (await bot.answer()).text == "a.csv|2||red|none"


async def test_after_cancel_words_are_requests_again(bot: Bot):
    await opened(bot)
    assert await press(bot, "Cancel") == "Nothing was done"

    await bot.receives("/hello")
    assert (await bot.answer()).text == "hello there"
    await bot.receives("hello")
    assert len(await bot.app.store.recent_runs(bot.dest.session_id, 5)) == 2


async def test_somebody_elses_tap_fills_in_nothing(bot: Bot):
    await opened(bot)
    form = await newest(bot)
    cancel = form.payload["buttons"][-1][-1]["action"]

    message = (await bot.receives("/help")).__class__
    said = await bot.app.reception.press(message("test", "other-1", bot.dest, user_id="2", action=cancel))
    assert said == "Only the person who opened this form may fill it in."
    assert "❓ Which file?" in (await bot.app.store.get_message(form.key)).payload["text"]


async def test_a_message_that_is_heard_twice_fills_in_one_field(bot: Bot, tmp_path: Path):
    await opened(bot)
    await send(bot, tmp_path, "a.csv")
    heard = await bot.receives("3")
    await bot.app.reception.hear(heard)

    assert "❓ When?" in (await newest(bot)).payload["text"]


async def test_a_form_is_filled_on_after_a_restart(tmp_path: Path):
    async with made(tmp_path) as first:
        await opened(first)
        await send(first, tmp_path, "a.csv")
        await first.receives("3")
    async with made(tmp_path) as second:
        await press(second, "Skip")
        await second.receives("red")
        await press(second, "Skip")
        assert (await second.answer()).text == "a.csv|3||red|none"


async def test_a_last_answer_heard_again_after_a_crash_runs_the_command_once(bot: Bot, tmp_path: Path):
    await opened(bot)
    await send(bot, tmp_path, "a.csv")
    await bot.receives("3")
    await press(bot, "Skip")
    await press(bot, "red")
    last = await bot.receives("done")
    await bot.answer()
    await bot.app.reception.hear(last)

    await bot.answer()
    assert len(await bot.app.store.recent_runs(bot.dest.session_id, 5)) == 1


async def test_on_telegram_a_form_is_one_edited_message(stage: Stage):
    (stage.config.folder / "plugins" / "labels.py").write_text(PLUGIN)
    stage.config = trusting(stage.config, "labels")
    stage.will("plan", 's1 = label(path="a.csv", size=2.5, day="2026-12-24", colour="deep blue")', times=1)
    stage.will("answer", "The label is ready.")
    async with stage.up():
        stage.says("/tools")
        await stage.presses(await stage.sees("What would you like to do?", button="Labels"), "Labels")
        await stage.presses(await stage.sees("Make labels.", button="Make a label"), "Make a label")
        form = await stage.sees("❓ For which file?", button="Cancel")
        stage.telegram.user_sends_file(OWNER, "a.csv", b"a\n1\n")
        await stage.sees("❓ How large?")
        stage.says("2,5")
        await stage.sees("❓ For when?", button="Tomorrow")
    async with stage.up():
        stage.says("24.12.2026")
        asked = await stage.sees("❓ Which colour?", button="deep blue")
        assert asked.id == form.id
        await stage.presses(asked, "deep blue")
        await stage.presses(await stage.sees("❓ A note?", button="Skip"), "Skip")
        await stage.sees('→ /label path=a.csv size=2.5 day=2026-12-24 colour="deep blue"')
        await stage.sees("The label is ready.")
        assert "a.csv|2.5|2026-12-24|deep blue|" in stage.asked("answer")[0]
    assert all(
        "429" in call.outcome for call in stage.refused()
    )  # the second life does not know how fast the first wrote


async def test_in_the_terminal_a_form_is_filled_in_by_lines(tmp_path: Path):
    known = sorted(Catalogue.load(AppConfig(home=tmp_path / "home")).get_plugin_ui(Profile()))
    lines = ["/tools", f"/{known.index('time') + 1}", "/2", "soon", "24.12.2026", "2026-12-01"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", "chat", "--model", "offline"),
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "DIRIGENT_HOME": str(tmp_path / "home"),
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate("\n".join([*lines, ""]).encode()), 200)

    assert "“soon” is no date." in err.decode()
    assert "23" in out.decode(), err.decode()
    assert process.returncode == 0
