"""From a Telegram update to its first sign of life, and what an update costs; next to a bare echo bot.

    python -m tests.benchmarks.first_message [--updates 200]

The fake Telegram runs in a process of its own. Updates come from as many people, one at a time (light load) and then all
at once. Measured are the milliseconds from the update until it is in the journal (the offset moves with it: that is
the acknowledgement), p50 and p95 at light load (target: p95 50 ms), and the CPU of this process per update, for ours
(receiver, reader, journal on disk, lanes; target: twice the echo bot's) and for the least bot that the same library
allows (get_updates, send_message). Each update makes one message in return. Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from loguru import logger

from agent.channels.outbox import OutboxSender
from agent.config import AppConfig
from agent.domain.messages import InboundMessage, MessageKind, OutboundMessage
from agent.store.sql import SqlStore
from agent.testing.telegram_world import TOKEN

FIRST = 11
PEOPLE = 1_000
ROOT = Path(__file__).parents[2]
MOST_MS = 50.0
MOST_RATIO = 2.0


@contextlib.contextmanager
def telegram() -> Iterator[str]:
    """Yield the address of a fake Telegram."""
    command = [sys.executable, "-m", "agent.testing.telegram_server", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


# A process of its own, so that only what the bot does is counted: people write, then everything sent is waited for.
CROWD = """
import json, sys, time, http.client
host, first, count, sent = sys.argv[1], *map(int, sys.argv[2:])
door = http.client.HTTPConnection(host)
def ask(method, path, body=None):
    door.request(method, path, body, {"Content-Type": "application/json"})
    return json.loads(door.getresponse().read())["result"]
for number in range(first, first + count):
    ask("POST", "/control/user_says", json.dumps({"chat_id": number, "text": f"hello {number}"}))
    print(time.monotonic(), flush=True)
while len(ask("GET", "/control/calls?method=sendMessage")) < sent:
    time.sleep(0.05)
"""


async def crowd(address: str, first: int, count: int, sent: int) -> list[float]:
    """Let so many people write, and wait until the bot has sent so many messages in all; return when they wrote."""
    arguments = (address.removeprefix("http://"), str(first), str(count), str(sent))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CROWD, *arguments, stdout=pipe)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return [float(line) for line in output.split()]


class Echo:
    """Hears a message, notes when it was in the journal, and posts one notice."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.heard: asyncio.Queue[float] = asyncio.Queue()

    async def hear(self, message: InboundMessage) -> None:
        self.heard.put_nowait(time.monotonic())
        await self._store.post(
            OutboundMessage(message.dest, MessageKind.NOTICE, f"echo:{message.update_id}", {"text": message.text})
        )

    async def press(self, message: InboundMessage) -> str:
        return ""


@contextlib.asynccontextmanager
async def ours(address: str) -> AsyncIterator[asyncio.Queue[float]]:
    """Yield the times at which messages were heard by our receiver."""
    from agent.channels.telegram.channel import TelegramChannel

    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"telegram_token": TOKEN, "telegram_base_url": address}
        config = AppConfig(home=Path(folder), owners=tuple(range(FIRST, FIRST + PEOPLE)), **settings)
        store = SqlStore(Path(folder, "journal.db"))
        await store.open()
        echo = Echo(store)
        sender = OutboxSender(store)
        channel = TelegramChannel(config, store, echo, press=sender.press)
        sender.add(channel)
        tasks = [asyncio.create_task(channel.serve()), asyncio.create_task(sender.run())]
        try:
            yield echo.heard
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await store.close()


@contextlib.asynccontextmanager
async def bare(address: str) -> AsyncIterator[asyncio.Queue[float]]:
    """Yield the times at which updates reached the least bot that the library allows."""
    from telegram import Bot

    heard: asyncio.Queue[float] = asyncio.Queue()

    async def serve(bot: Bot) -> None:
        offset = 0
        async with asyncio.TaskGroup() as answers:
            while True:
                for update in await bot.get_updates(offset=offset, timeout=20):
                    offset = update.update_id + 1
                    heard.put_nowait(time.monotonic())
                    assert update.message is not None
                    answers.create_task(bot.send_message(update.message.chat_id, update.message.text or ""))

    async with Bot(TOKEN, base_url=f"{address}/bot") as bot:
        task = asyncio.create_task(serve(bot))
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def measure(way: Any, updates: int) -> tuple[list[float], float]:
    """Return the milliseconds of each update at light load, and the CPU milliseconds per update of a burst."""
    with telegram() as address:
        async with way(address) as heard:
            warm = 3
            await crowd(address, FIRST, warm, warm)  # libraries load, connections open
            times = []
            light = updates // 8
            for number in range(light):
                (wrote,) = await crowd(address, FIRST + warm + number, 1, warm + number + 1)
                while heard.qsize() > 1:
                    heard.get_nowait()
                times.append((heard.get_nowait() - wrote) * 1000)
            sent = warm + light
            spent = time.process_time()
            await crowd(address, FIRST + sent, updates, sent + updates)
            cpu = (time.process_time() - spent) / updates * 1000
    return times, cpu


def main() -> int:
    """Print both ways; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=200)
    options = parser.parse_args()
    logger.remove()
    found = {}
    for name, way in (("bare echo", bare), ("ours", ours)):
        times, cpu = asyncio.run(measure(way, options.updates))
        p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        found[name] = (p95, cpu)
        print(f"{name:<10} update → acknowledged p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   CPU {cpu:5.2f} ms an update")
    ratio = found["ours"][1] / found["bare echo"][1]
    print(f"CPU ratio {ratio:.2f} (target {MOST_RATIO})")
    return int(found["ours"][0] > MOST_MS or ratio > MOST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
