"""Runs whose session's files are kept in a storage: what is journalled as finished is there, an outage is waited out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import MessageKind
from agent.errors import StorageUnusable
from agent.testing import Bot, step
from agent.testing.s3 import Cut, S3Server
from plugins.api import tool

pytestmark = pytest.mark.timeout(300)


@tool
def note(name: str, text: str = "x") -> str:
    """Write a file."""
    Path(name).write_text(text)
    return name


@tool
def read(name: str) -> str:
    """Read a file."""
    return Path(name).read_text()


@pytest.fixture
async def way(server: S3Server) -> AsyncIterator[Cut]:
    async with Cut(server.address) as made:
        yield made


@pytest.fixture
def storage(server: S3Server, way: Cut) -> dict[str, Any]:
    settings = server.new_bucket()
    return {"storage": settings.storage, "endpoint": way.address, "access_key": "key", "secret_key": "secret"}


async def test_a_home_that_was_lost_has_its_sessions_again(tmp_path: Path, storage: dict[str, Any]) -> None:
    async with Bot(tmp_path / "one", [note, read], sessions=storage) as bot:
        (tmp_path / "in.txt").write_text("sent")
        bot.llm.will_plan(step("s1", "note", name="a.txt", text="made"))
        bot.llm.will_answer("done")
        await bot.hears("make a file", files=[tmp_path / "in.txt"])
        await bot.app.orchestrator.sessions.memory(
            await bot.app.orchestrator.sessions.open(bot.dest.session_id)
        ).remember("likes tea")

    async with Bot(tmp_path / "two", [note, read], sessions=storage) as bot:
        bot.llm.will_plan(step("s1", "read", name="a.txt"), step("s2", "read", name="in.txt"))
        bot.llm.will_answer("done")
        await bot.hears("read the files")

        assert [record.output for record in await bot.steps()] == ["made", "sent"]
        session = await bot.app.orchestrator.sessions.open(bot.dest.session_id)
        memory = bot.app.orchestrator.sessions.memory(session)
        assert [entry.text for entry in await memory.entries()] == ["likes tea"]
        history = (await bot.app.orchestrator.sessions.file_of(session)).history["chat"]
        assert [entry.request for entry in history] == ["make a file", "read the files"]


async def test_a_step_is_finished_only_when_its_files_are_kept(
    tmp_path: Path, storage: dict[str, Any], way: Cut
) -> None:
    async with Bot(tmp_path / "one", [note], sessions=storage) as bot:
        await bot.app.orchestrator.sessions.open(bot.dest.session_id)
        bot.llm.will_plan(step("s1", "note", name="a.txt", text="made"))
        bot.llm.will_answer("done")
        bot.app.orchestrator._dispatcher._before_writing = cutting(way)
        hearing = asyncio.create_task(bot.hears("make a file"))
        while way.refused < 3:
            await asyncio.sleep(0.02)

        assert (bot.workspace / "a.txt").read_text() == "made"
        assert [record.status.value for record in await bot.steps()] == ["RUNNING"]
        way.mend()
        assert (await hearing).text == "done"
        assert [record.status.value for record in await bot.steps()] == ["COMPLETED"]


def cutting(way: Cut) -> Any:
    async def cut(_ctx: object) -> None:
        way.cut()

    return cut


async def test_who_waits_for_the_files_is_told_once_and_then_it_goes_on(
    tmp_path: Path, storage: dict[str, Any], way: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.lifecycle.TOLD_AFTER", 0.05)
    async with Bot(tmp_path / "one", [note], sessions=storage) as bot:
        await bot.app.orchestrator.sessions.open(bot.dest.session_id)
        way.cut()
        bot.llm.will_plan(step("s1", "note", name="a.txt"))
        bot.llm.will_answer("done")
        await bot.receives("make a file")
        while not (told := await bot.shown(MessageKind.NOTICE)):
            await asyncio.sleep(0.02)

        assert [message.payload["text"] for message in told] == [
            "Fetching the files of this chat takes longer than usual; I go on as soon as they are here."
        ]
        way.mend()
        assert (await bot.answer()).text == "done"


async def test_a_storage_that_refuses_is_told_at_the_start(tmp_path: Path, storage: dict[str, Any]) -> None:
    bot = Bot(tmp_path / "one", [note], sessions={**storage, "storage": "s3://not-there/x"})
    with pytest.raises(StorageUnusable, match="there is no such bucket"):
        await bot.app.start()
    await bot.app.stop()
