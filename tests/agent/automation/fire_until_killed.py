"""Fires schedules of one journal every 20 ms and counts its rounds on standard output; the test kills it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent.testing import Bot
from plugins.api import tool


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


async def main(home: Path) -> None:
    async with Bot(home, [say], offline=True) as bot:
        bot.app.orchestrator.submit = lambda run: None  # runs are opened; what they do is not what is tested
        await bot.app.automation.start()
        print("ready", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
