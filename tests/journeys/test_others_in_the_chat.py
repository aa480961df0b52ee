"""Members of a group who are no owners, and files that are delivered."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.domain.artifacts import Artifact
from agent.domain.messages import InboundMessage, MessageKind
from agent.execution.posting import MOST_FILES, put_aside
from agent.memory.memory import SessionMemory
from agent.testing import Bot, step
from sandbox.workspace import Workspace, WorkspaceError
from tests.conftest import echo

OWNERS = "Only an owner may decide this."


async def _said(bot: Bot) -> str:
    return str((await bot.shown(MessageKind.NOTICE))[-1].payload["text"])


async def _hear_member(bot: Bot, text: str, user_id: str = "66") -> None:
    message = InboundMessage("test", f"m-{text}-{user_id}", bot.dest, user_id=user_id, text=text, trusted=False)
    (stored,) = await bot.app.store.receive([message])
    await bot.app.reception.hear(stored)
    await bot.app.engine.idle()


async def test_a_member_stops_own_runs_only(tmp_path: Path):
    async with Bot(tmp_path, [echo]) as bot:
        bot.llm.will_plan(step("s1", ask="Which?", options=("a", "b")))
        await bot.hears("go")
        await _hear_member(bot, "/stop")
        assert await _said(bot) == OWNERS
        assert (await bot.last_run()).status == "WAITING_APPROVAL"
        await _hear_member(bot, "/stop", user_id="1")
        assert (await bot.last_run()).status == "CANCELLED"


async def test_a_member_takes_nothing_away_from_the_chat(tmp_path: Path):
    async with Bot(tmp_path, [echo]) as bot:
        bot.llm.will_plan(step("s1", "echo", text="x"))
        bot.llm.will_answer("x")
        await bot.hears("go")
        memory = SessionMemory(bot.workspace.parent)
        await memory.remember("The office closes at six.")
        for text in ("/memory forget *", "/new"):
            await _hear_member(bot, text)
            assert await _said(bot) == OWNERS
        session = await bot.app.orchestrator.sessions.open("test:1")
        assert len((await bot.app.orchestrator.sessions.file_of(session)).history["chat"]) == 1
        assert len(await memory.entries()) == 1


async def test_files_are_delivered_under_harmless_names_and_none_hides_another(tmp_path: Path):
    async with Bot(tmp_path, [echo]) as bot:
        session = await bot.app.orchestrator.sessions.open("test:1")
        for folder in ("a", "b", "c"):
            (session.workspace / folder).mkdir()
            (session.workspace / folder / "x.txt").write_text(folder)
        (session.workspace / "1-x.txt").write_text("d")
        paths = ["a/x.txt", "1-x.txt", "b/x.txt", "c/x.txt"]
        placed = put_aside(session, 1, [{"path": path, "title": ""} for path in paths])
        assert [Path(file["place"]).read_text() for file in placed] == ["a", "d", "b", "c"]


async def test_of_very_many_files_the_first_are_sent_and_that_is_said(tmp_path: Path):
    async with Bot(tmp_path, [echo]) as bot:
        session = await bot.app.orchestrator.sessions.open("test:1")
        files: list[dict[str, Any]] = []
        for number in range(MOST_FILES + 5):
            (session.workspace / f"{number}.txt").write_text("x")
            files.append({"path": f"{number}.txt", "title": ""})
        placed = put_aside(session, 1, files)
        assert len(placed) == MOST_FILES
        assert placed[0]["title"] == f"The first {MOST_FILES} of {MOST_FILES + 5} files; /files lists them."


async def test_an_answer_comes_without_its_files_when_there_is_no_room_for_them(tmp_path: Path, monkeypatch: Any):
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with Bot(tmp_path, [echo]) as bot:
        session = await bot.app.orchestrator.sessions.open("test:1")
        (session.workspace / "a.txt").write_text("x")
        with monkeypatch.context() as patched:
            patched.setattr(Path, "mkdir", full)
            assert put_aside(session, 1, [Artifact("a.txt").to_json()]) == []


def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path, monkeypatch: Any):
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "source.txt").write_text("x")
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with Workspace(tmp_path / "work") as workspace:
        with pytest.raises(WorkspaceError, match="No space left"):
            workspace.copy_in(tmp_path / "source.txt")
        assert workspace.list_files() == ()
