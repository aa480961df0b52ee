"""How late schedules fire, and what many of them cost while none is due.

    python -m tests.benchmarks.fires [--triggers 10000] [--fires 200] [--seconds 5]

Everything is real: the scheduler, the journal on disk, the runs that are opened (what they would do is left out). Some
schedules come due one after the other, while thousands of others wait. Printed is the time from when a fire was due
until its run is in the journal (target: 50 ms for 95 of 100), and the share of a CPU that the process uses over some
seconds with all these triggers waiting, next to the same process with none (target: the same). Exits with 1 when a
target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from loguru import logger

from agent.domain.messages import Destination
from agent.domain.trigger import Trigger, TriggerKind
from agent.testing.bot import Bot
from plugins.api import tool

DEST = Destination("test", "1")
MOST_LATE = 0.050
MOST_CPU = 0.005
SPACING = 0.025
HEAD_START = 1.0
PREPARING = 0.02  # seconds that storing one of them takes at most


@tool
def nothing() -> str:
    """Do nothing."""
    return ""


def a_trigger(name: str, spec: dict, **fields) -> Trigger:
    """Return a schedule that asks for something in the chat."""
    return Trigger(
        id=name,
        name=name,
        kind=TriggerKind.SCHEDULE,
        target={"request": f"do {name}"},
        session_id=DEST.session_id,
        dest=DEST,
        spec=spec,
        **fields,
    )


async def cpu_share(seconds: float) -> float:
    """Return the share of a CPU that this process uses while it waits."""
    used, began = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (time.process_time() - used) / (time.perf_counter() - began)


async def add_waiting(bot: Bot, count: int) -> None:
    """Store triggers that are due next week."""
    far = time.time() + 7 * 86_400
    spec = {"cron": "0 9 * * *", "zone": "Europe/Vienna"}
    for first in range(0, count, 1000):
        some = range(first, min(first + 1000, count))
        await asyncio.gather(
            *(bot.app.store.create_trigger(a_trigger(f"w{n}", spec, next_fire=far + n, created_at=1.0)) for n in some)
        )


async def lateness(bot: Bot, count: int) -> list[float]:
    """Have some triggers fire, each at a time of its own; return how late each was, in seconds, in order of time."""
    committed: dict[int, float] = {}
    # A run is handed over once it is in the journal; what it would do is not what is measured.
    bot.app.orchestrator.submit = lambda run: committed.setdefault(run.id, time.time())
    begin = time.time() + HEAD_START + count * PREPARING
    for n in range(count):
        await bot.app.automation.create(a_trigger(f"f{n}", {"at": begin + n * SPACING}))
    while len(committed) < count:
        await asyncio.sleep(0.05)
    fires = [(await bot.app.store.fires_of(f"f{n}"))[0] for n in range(count)]
    return [committed[fire.run_id or 0] - fire.due_at for fire in fires]


async def measure(home: Path, waiting: int, count: int, seconds: float) -> tuple[list[float], float, float]:
    """Return how late fires were, and the CPU share without and with waiting triggers."""
    async with Bot(home, [nothing], offline=True) as bot:
        await bot.app.automation.start()
        await asyncio.sleep(2)
        idle = await cpu_share(seconds)
        await add_waiting(bot, waiting)
        bot.app.automation.changed()
        await asyncio.sleep(2)
        loaded = await cpu_share(seconds)
        return await lateness(bot, count), idle, loaded


def main() -> int:
    """Measure, print, and return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triggers", type=int, default=10_000)
    parser.add_argument("--fires", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        late, idle, loaded = asyncio.run(measure(Path(folder), arguments.triggers, arguments.fires, arguments.seconds))
    p95 = statistics.quantiles(late, n=20)[-1]
    print(f"due → run journalled, {len(late)} fires among {arguments.triggers:,} triggers")
    print(
        f"  p50 {statistics.median(late) * 1000:6.1f} ms   p95 {p95 * 1000:6.1f} ms   most {max(late) * 1000:6.1f} ms"
    )
    print(f"CPU while nothing is due: {idle:.2%} with no trigger, {loaded:.2%} with {arguments.triggers:,}")
    missed = [f"p95 is over {MOST_LATE * 1000:.0f} ms"] if p95 > MOST_LATE else []
    missed += ["waiting triggers cost processor time"] if loaded > idle + MOST_CPU else []
    print("\n".join(f"MISSED: {what}" for what in missed) or "All targets are met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
