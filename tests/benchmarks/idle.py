"""What Dirigent costs while nothing happens: memory of a chat, CPU of 1,000 runs that wait; and that each still answers.

    python -m tests.benchmarks.idle [--chats 1000] [--seconds 20]

Each chat says something, is asked a question, and does not answer. Everything is real but the model: reception, planner,
journal on disk, outbox. Printed are the bytes that a chat leaves in memory (Python's own allocations by tracemalloc,
without caches that are bounded; target: 20 KB), asyncio tasks left per chat (target: none), and the share of a CPU that
the process uses over some seconds with all these questions open, next to a process with few (target: the same). Then
one of them is answered, and another one after a restart: the milliseconds until its run has ended (target: 1,000), and
what the restart took. Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import sys
import tempfile
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

from loguru import logger

from agent.app import App
from agent.domain.messages import Destination, InboundMessage, OutboundMessage
from agent.domain.states import Status
from agent.testing.bot import Bot
from agent.testing.scripted import ScriptedLLM
from plugins.api import tool

MOST_BYTES = 20_000
MOST_CPU = 0.005
MOST_MS = 1_000.0
WARM_UP = 100


@tool(effect="pure", host=True)
async def nothing() -> str:
    """Do nothing."""
    return ""


class Silent:
    """A channel that shows nothing."""

    name = "test"

    async def serve(self) -> None:
        await asyncio.Event().wait()

    async def deliver(self, message: OutboundMessage) -> str:
        return str(message.id)

    def busy(self, dest: Destination, *, on: bool) -> None:
        pass


class Asking(ScriptedLLM):
    """A model that answers every request with a question, and keeps nothing of what it was asked."""

    def _next(self, request):
        said = 's1 ask("Which one?", ["this", "that"])\nend' if request.purpose == "plan" else "Booked."
        self.will_say(request.purpose, said)
        finished = super()._next(request)
        self.requests.clear()
        return finished


async def waiting(app: App, first: int, count: int) -> None:
    """Let so many chats ask for something that ends in an open question."""
    for number in range(first, first + count):
        dest = Destination("test", str(number))
        message = InboundMessage("test", f"u{number}", dest, user_id=str(number), text="Book me a table.")
        (stored,) = await app.store.receive([message])
        await app.reception.hear(stored)
        await app.engine.idle()
    for number in (first, first + count - 1):
        assert await app.store.open_questions(Destination("test", str(number)).session_id)


async def cpu(seconds: float) -> float:
    """Return the share of one CPU that this process uses while nothing happens."""
    began, spent = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - spent) / (time.perf_counter() - began)


async def drained(app: App) -> None:
    """Wait until everything was delivered."""
    while await app.store.due_messages("test"):
        app.store.outbox_changed.set()
        await asyncio.sleep(0.2)


async def answered(app: App, number: int) -> float:
    """Answer the question of a chat by its button; return the milliseconds until its run has ended."""
    dest = Destination("test", str(number))
    (question,) = await app.store.open_questions(dest.session_id)
    began = time.perf_counter()
    press = InboundMessage("test", f"p{number}", dest, user_id=str(number), action=f"q/{question.id}/0")
    assert await app.reception.press(press) == "✓ this"
    await app.engine.idle()
    (run,) = await app.store.recent_runs(dest.session_id, 1)
    assert run.status is Status.COMPLETED, run
    return (time.perf_counter() - began) * 1000


@contextlib.asynccontextmanager
async def life(folder: str) -> AsyncIterator[tuple[App, float]]:
    """Yield a Dirigent that delivers to nobody, and the seconds that it took to start."""
    began = time.perf_counter()
    async with Bot(Path(folder), [nothing], llm=Asking()) as bot:
        await bot.app.add_channel(Silent())
        sender = asyncio.create_task(bot.app.sender.run())
        await bot.app.engine.idle()
        try:
            yield bot.app, time.perf_counter() - began
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)


async def footprint(app: App, chats: int) -> tuple[float, int]:
    """Let so many chats wait for an answer; return the bytes that each leaves, and the tasks of all."""
    gc.collect()
    tasks = len(asyncio.all_tasks())
    tracemalloc.start(1)
    held = tracemalloc.take_snapshot()
    await waiting(app, WARM_UP, chats)
    await drained(app)
    gc.collect()
    now = tracemalloc.take_snapshot()
    tracemalloc.stop()
    for entry in now.compare_to(held, "lineno")[:6]:
        print(f"    {entry.size_diff / chats:8.0f} bytes  {entry.traceback[0].filename}:{entry.traceback[0].lineno}")
    each = sum(entry.size_diff for entry in now.compare_to(held, "filename")) / chats
    return each, len(asyncio.all_tasks()) - tasks


async def measure(chats: int, seconds: float) -> bool:
    """Print what was found; return True when the targets are met."""
    with tempfile.TemporaryDirectory() as folder:
        async with life(folder) as (app, _):
            await waiting(app, 0, WARM_UP)
            await drained(app)
            before = await cpu(seconds)
            each, left = await footprint(app, chats)
            idle = await cpu(seconds)
            first = await answered(app, WARM_UP + chats // 2)
        async with life(folder) as (app, start):
            resting = await cpu(seconds)
            second = await answered(app, WARM_UP + chats // 2 + 1)
    count = WARM_UP + chats
    print(f"memory of an idle chat   {each:8.0f} bytes   (target {MOST_BYTES})")
    print(f"tasks left per chat      {left / chats:8.2f}   (target 0)")
    print(f"CPU with {WARM_UP} / {count} open questions: {before:.2%} / {idle:.2%}   (target {MOST_CPU:.1%})")
    print(f"after a restart ({start:.1f} s): {resting:.2%}")
    print(f"an answer ends its run in {first:.0f} ms, after a restart in {second:.0f} ms   (target {MOST_MS:.0f})")
    return each <= MOST_BYTES and left <= 1 and max(idle, resting) <= MOST_CPU and max(first, second) <= MOST_MS


def main() -> int:
    """Measure; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    logger.remove()
    return int(not asyncio.run(measure(options.chats, options.seconds)))


if __name__ == "__main__":
    sys.exit(main())
