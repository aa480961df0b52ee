"""One correlation id through the log: from the message that came in to the answer that was delivered."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from agent import logs
from agent.channels.inbox import Lanes
from agent.domain.messages import Destination, InboundMessage, OutboundMessage
from agent.errors import DeliveryDelayed, correlation_id
from agent.logs import Redactor, correlated, lines_of, own_id, present_id, set_up_logs
from agent.testing import Bot, step
from plugins.api import tool


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "redact", Redactor())
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    logs.close_logs()
    root.handlers[:] = before
    root.setLevel(level)


@tool(host=True)
def in_a_thread(text: str) -> str:
    """Log from a thread, by a library's own means."""
    logging.getLogger("some.library").warning("working on %s", text)
    raise ValueError(text)


@tool
def say(text: str) -> str:
    """Return the text."""
    logger.info("a job says {}", text)
    return text


class Wire:
    """A channel that is busy the first time."""

    name = "test"

    def __init__(self) -> None:
        self.tries = 0

    async def deliver(self, message: OutboundMessage) -> str:
        self.tries += 1
        logger.info("calling for {}", message.key)
        if self.tries == 1:
            raise DeliveryDelayed("slow down", retry_after=0.01)
        return f"m{message.id}"

    def busy(self, *_: Any, **__: Any) -> None:
        """Show nothing."""


async def receive(bot: Bot, number: int, text: str) -> str:
    message = InboundMessage("test", f"u{number}", Destination("test", str(number)), user_id="1", text=text)
    (stored,) = await bot.app.store.receive([message])
    await bot.app.reception.hear(stored)
    return message.corr_id


async def test_every_line_about_a_request_carries_its_id_and_no_others(tmp_path: Path):
    async with Bot(tmp_path / "home", [in_a_thread, say]) as bot:
        file = set_up_logs(tmp_path / "logs", level="DEBUG", as_json=True)
        for _ in range(2):
            bot.llm.will_plan(
                step("s1", "say", text="one"), step("s2", "in_a_thread", text="two", on_failure="continue")
            )
            bot.llm.will_answer("done")
        async with bot.sending(Wire()):
            first = await receive(bot, 1, "the first")
            await bot.app.engine.idle()
            second = await receive(bot, 2, "the second")
            await bot.app.engine.idle()
        runs = await bot.app.store.recent_runs()
        logs.close_logs()
    assert {run.corr_id for run in runs} == {first, second}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    strangers = [line for line in lines if line["corr"] not in {first, second}]
    assert strangers == []
    for corr_id in (first, second):
        said = [line["message"] for line in lines if line["corr"] == corr_id]
        for words in ("a job says one", "working on two", "calling for run:"):
            assert any(words in text for text in said), words
        assert lines_of(tmp_path / "logs", corr_id) == [
            line for line in file.read_text().splitlines() if json.loads(line)["corr"] == corr_id
        ]
    assert any("waits" in line["message"] for line in lines), "also what is delayed"


async def test_a_message_that_cannot_be_heard_is_told_with_the_id_of_its_lines(tmp_path: Path):
    class Deaf:
        async def hear(self, message: InboundMessage) -> None:
            raise KeyError("of ours")

        async def press(self, message: InboundMessage) -> str:
            return ""

    async with Bot(tmp_path / "home", [say]) as bot:
        set_up_logs(tmp_path / "logs")
        (stored,) = await bot.app.store.receive(
            [InboundMessage("test", "u9", Destination("test", "1"), user_id="1", text="x")]
        )
        async with Lanes(bot.app.store, Deaf()) as lanes:
            lanes.take([stored])
            while await bot.app.store.unheard("test"):
                await asyncio.sleep(0.01)
        (report,) = await bot.app.store.due_messages("test", 10)
        logs.close_logs()
    lines = lines_of(tmp_path / "logs", report.payload["ref"])
    assert len(lines) == 1
    assert "KeyError" in lines[0], "the traceback belongs to the line"


def test_a_message_always_has_the_same_id():
    message = InboundMessage("test", "u1", Destination("test", "1"), user_id="1")
    assert message.corr_id == InboundMessage("test", "u1", Destination("test", "1"), user_id="2").corr_id
    others = {correlation_id("test", "test:1", f"u{number}") for number in range(1_000)}
    assert len(others | {correlation_id() for _ in range(1_000)}) > 1_990


def test_only_the_first_run_of_a_message_has_its_id():
    with correlated("E-00000001"):
        assert present_id() == own_id() == "E-00000001"
        assert own_id() != "E-00000001"
        with correlated("E-00000001"):
            assert own_id() != "E-00000001"
    with correlated("E-00000002", is_run=True):
        assert own_id() != "E-00000002"
    assert present_id() == ""


def test_lines_are_found_in_readable_logs_and_in_older_files(tmp_path: Path):
    set_up_logs(tmp_path)
    for number in range(3):
        with correlated("E-0000000A"):
            logger.info("older {}\nand its second line", number)
        with correlated("E-0000000B"):
            logger.info("about E-0000000A, but of another")
    logs.close_logs()
    (tmp_path / "dirigent.log").rename(tmp_path / "dirigent.log.1")
    set_up_logs(tmp_path, secrets=["swordfish-and-more"])
    with correlated("E-0000000A"):
        logger.info("newest")
    logs.close_logs()
    with (tmp_path / "dirigent.log").open("a") as file:
        file.write("2026-01-01T00:00:00.000+00:00 INFO    E-0000000A x:1 swordfish-and-more\n")
    said = lines_of(tmp_path, "E-0000000A")
    assert len(said) == 5
    assert [line.split("\n")[0][-7:] for line in said[1:4]] == ["older 0", "older 1", "older 2"]
    assert said[1].endswith("\n    and its second line")
    assert "swordfish" not in said[0], "what got in before it was known is hidden when it is read"
    assert len(lines_of(tmp_path, "E-0000000A", most=2)) == 2
    assert lines_of(tmp_path / "nowhere", "E-0000000A") == []


WRITER = """
import sys
from pathlib import Path
from loguru import logger
from agent import logs
logs.FILE_BYTES = 40_000
logs.OLD_FILES = 50
logs.set_up_logs(Path(sys.argv[1]))
with logs.correlated(sys.argv[2]):
    for number in range(1_000):
        logger.info("line {} {}", number, "x" * 100)
"""


def test_several_processes_write_one_log_and_lose_no_line(tmp_path: Path):
    names = [f"E-0000000{number}" for number in range(3)]
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in names]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert len(list(tmp_path.glob("dirigent.log.*"))) > 5
    for name in names:
        said = [line.split("line ")[1].split()[0] for line in lines_of(tmp_path, name)]
        assert sorted(map(int, said)) == list(range(1_000))
