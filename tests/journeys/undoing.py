"""A life of Dirigent that undoes a request with very many files, to be killed in the middle: `HOME` as its argument."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent.testing import Bot, step
from plugins.api import tool

FILES = 400


@tool
def write_all(text: str) -> str:
    """Write very many files, and some new ones."""
    for number in range(FILES):
        Path(f"f{number}.txt").write_text(f"{text} {number}")
    for number in range(FILES if text == "new" else 0):
        Path(f"extra{number}.txt").write_text("x")
    return text


async def main(home: Path) -> None:
    """Do two requests, undo the second one."""
    async with Bot(home, [write_all]) as bot:
        for text in ("old", "new"):
            bot.llm.will_plan(step("s", "write_all", text=text), title=text)
            bot.llm.will_answer("done")
            await bot.hears(text)
        await bot.receives("/undo")
        print("undoing", flush=True)
        await bot.taps("Undo")
        print("undone", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
