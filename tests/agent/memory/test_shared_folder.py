"""A folder of sessions that several processes share: each sees what the others write, and none loses a change."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import agent
from agent.domain.session import Profile
from agent.memory.memory import SessionMemory
from agent.memory.session_file import SessionFolders

WRITES = """
import asyncio, sys
from pathlib import Path
from agent.domain.session import Profile
from agent.memory.memory import SessionMemory
from agent.memory.session_file import SessionFolders

async def write(who):
    folders = SessionFolders(Path(sys.argv[1]), Profile())
    session = await folders.open("test:1")
    for number in range(8):
        await folders.add_history(session, "chat", f"{who}{number}", "done", "COMPLETED")
        await folders.memory(session).remember(f"fact {who}{number}")

asyncio.run(write(sys.argv[2]))
"""


async def test_what_another_process_writes_is_seen_at_once(tmp_path: Path) -> None:
    one, two = SessionFolders(tmp_path, Profile()), SessionFolders(tmp_path, Profile())
    assert (await one.open("test:1")).language == "en"

    await two.change(await two.open("test:1"), language="de", model="big")

    found = await one.open("test:1")
    assert (found.language, found.model) == ("de", "big")


async def test_a_file_that_nobody_has_written_is_read_once(tmp_path: Path) -> None:
    folders = SessionFolders(tmp_path, Profile())
    session = await folders.open("test:1")

    assert await folders.file_of(session) is await folders.file_of(session)


async def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(agent.__file__).parents[1])}
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITES, str(tmp_path), who, env=environment)
        for who in "abc"
    ]
    assert [await process.wait() for process in processes] == [0, 0, 0]

    folders = SessionFolders(tmp_path, Profile())
    session = await folders.open("test:1")
    expected = {f"{who}{number}" for who in "abc" for number in range(8)}
    assert {entry.request for entry in (await folders.file_of(session)).history["chat"]} == expected
    facts = {entry.text for entry in await SessionMemory(session.folder).entries()}
    assert facts == {f"fact {name}" for name in expected}


async def test_files_put_aside_on_another_host_are_found_in_the_folder_of_this_one(tmp_path: Path) -> None:
    folders = SessionFolders(tmp_path, Profile())
    place = "/home/other/.dirigent/sessions/test_1/delivered/7/a chart.png"

    assert await folders.delivered("test:1", [place, "/tmp/elsewhere.png"]) == [
        str(tmp_path / "test_1" / "delivered" / "7" / "a chart.png"),
        "/tmp/elsewhere.png",
    ]
    up = "/x/test_1/delivered/../../../etc/passwd"
    assert await folders.delivered("test:1", [up]) == [up]
