"""kill -9 in the middle of an undo: the next start finishes it, and tells what came of it once."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from pathlib import Path

import pytest

import agent
from agent.domain.messages import MessageKind
from agent.testing import Bot

LIFE = Path(__file__).parent / "undoing.py"


def expected(files: int) -> dict[str, str]:
    return {f"f{number}.txt": f"old {number}" for number in range(files)}


async def killed(home: Path, restored: int) -> int:
    """Run a life until so many files are as they were; kill it, and return how many are then."""
    environment = {**os.environ, "PYTHONPATH": str(Path(agent.__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(LIFE), str(home), env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(90):
        while (await process.stdout.readline()).strip() != b"undoing":
            assert process.returncode is None, "it ended by itself"
    work = home / "sessions" / "test_1" / "work"
    async with asyncio.timeout(90):
        while sum(path.read_text().startswith("old") for path in work.glob("f*.txt")) < restored:
            await asyncio.sleep(0)
    process.kill()
    await process.communicate()
    return sum(path.read_text().startswith("old") for path in work.glob("f*.txt"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("restored", [0, 40])
async def test_an_undo_that_is_killed_is_finished_at_the_next_start(tmp_path: Path, restored: int):
    spec = importlib.util.spec_from_file_location("undoing", LIFE)
    assert spec is not None
    assert spec.loader is not None
    life = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(life)
    if restored:
        assert 0 < await killed(tmp_path, restored) < life.FILES, "the kill came too late to show anything"
    else:
        await killed(tmp_path, 0)
    async with Bot(tmp_path, [life.write_all]) as bot:
        if not restored and not (await bot.app.store.restorations(bot.dest.session_id)):
            await bot.taps("Undo")  # it had not begun
        left = {path.name: path.read_text() for path in bot.workspace.iterdir()}
        assert left == expected(life.FILES)
        told = [m.payload["text"] for m in await bot.shown(MessageKind.NOTICE)]
        assert sum("is undone" in text for text in told) == 1
        assert await bot.app.store.open_restorations() == []
