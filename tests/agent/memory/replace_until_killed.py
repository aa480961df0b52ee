"""Replaces one file from three tasks at a time, says so on standard output once it does; the test kills it."""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from agent.memory.replace import replace_file


async def replace_again_and_again(path: Path, letter: str) -> None:
    for turn in count(1):
        await replace_file(path, f"{letter * 20_000}\n")
        if turn == 1:
            print("ready", flush=True)


async def main(path: Path) -> None:
    await asyncio.gather(*(replace_again_and_again(path, letter) for letter in "abc"))


asyncio.run(main(Path(sys.argv[1])))
