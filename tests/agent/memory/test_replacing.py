"""A file that several replace at the same time is whole at every instant, and the newest contents stay."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

import pytest

from agent.domain.session import Profile
from agent.memory.replace import replace_file
from agent.memory.session_file import SessionFolders

CHILD = Path(__file__).with_name("replace_until_killed.py")


async def test_a_file_that_many_replace_at_once_is_whole_at_every_instant(tmp_path: Path):
    path = tmp_path / "SESSION.json"
    texts = [letter * 50_000 for letter in "abcdefgh"]
    await replace_file(path, texts[0])

    async def replace_often(text: str) -> None:
        for _ in range(20):
            await replace_file(path, text)

    writing = asyncio.gather(*map(replace_often, texts))
    while not writing.done():
        assert await asyncio.to_thread(path.read_text) in texts
    await writing  # none of them was in another's way
    assert [file.name for file in tmp_path.iterdir()] == ["SESSION.json"]


@pytest.mark.crash
async def test_kill_9_among_several_writers_leaves_a_whole_file(tmp_path: Path):
    path, dice = tmp_path / "SESSION.json", random.Random(9)
    for _ in range(5):
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), str(path), stdout=asyncio.subprocess.PIPE, cwd=Path.cwd()
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        await asyncio.sleep(dice.uniform(0, 0.1))  # the moment of the kill is by chance
        child.kill()
        await child.communicate()
        text = path.read_text()
        assert len(set(text.strip())) == 1
        assert len(text) == 20_001


async def test_runs_of_one_session_that_end_at_once_all_stay_in_its_history(tmp_path: Path):
    sessions = SessionFolders(tmp_path, Profile())
    opened = await asyncio.gather(*(sessions.open("test:1") for _ in range(10)))

    await asyncio.gather(*(sessions.add_history(one, "chat", f"r{n}", "", "COMPLETED") for n, one in enumerate(opened)))

    kept = json.loads((opened[0].folder / "SESSION.json").read_text())
    assert {entry["request"] for entry in kept["history"]["chat"]} == {f"r{n}" for n in range(10)}
    assert json.loads((opened[0].folder / "SESSION.json").read_text()) == (
        await SessionFolders(tmp_path, Profile()).file_of(opened[0])
    ).model_dump(mode="json")


async def test_a_setting_and_a_history_entry_at_once_both_stay(tmp_path: Path):
    sessions = SessionFolders(tmp_path, Profile())
    session = await sessions.open("test:1")

    await asyncio.gather(
        sessions.change(session, language="de"), sessions.add_history(session, "chat", "r", "", "COMPLETED")
    )

    kept = json.loads((session.folder / "SESSION.json").read_text())
    assert kept["language"] == "de"
    assert [entry["request"] for entry in kept["history"]["chat"]] == ["r"]
