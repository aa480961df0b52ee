"""A process that shares a journal with others like it, for the tests of claims. Ended with SIGKILL.

Arguments: the journal, a folder, this process' name. Each line of standard input is a message (`CHAT TEXT`). What was
heard is a line of `heard.log`; a text that begins with "hold" is heard only once there is a file of that name.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from agent.channels.claims import Claims
from agent.channels.inbox import Lanes
from agent.domain.messages import Destination, InboundMessage
from agent.store.sql import SqlStore


class Slow:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    async def hear(self, message: InboundMessage) -> None:
        while message.text.startswith("hold") and not (self.folder / message.text).exists():
            print(f"begins {message.text}", flush=True)
            await asyncio.sleep(0.2)
        with (self.folder / "heard.log").open("a") as log:
            log.write(f"{self.name} {message.text}\n")

    async def press(self, message: InboundMessage) -> str:
        return "?"


async def lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main() -> None:
    journal, folder, name = sys.argv[1:]
    store = SqlStore(journal)
    await store.open()
    async with Lanes(store, Slow(Path(folder), name), claims=Claims(store, "telegram")) as lanes:
        print("ready", flush=True)
        words = await lines()
        for number in itertools.count():
            chat, _, text = (await words.readline()).decode().strip().partition(" ")
            message = InboundMessage("telegram", f"{name}{number}", Destination("telegram", chat), "11", text=text)
            await lanes.receive([message], "offset", str(number))
            print(f"stored {text}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
