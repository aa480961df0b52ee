"""What a step of a streamed plan costs in the whole agent, and whether it costs the same in a plan of 10,000.

    python -m tests.benchmarks.planning_latency [--most 10000] [--profile COUNT]

A model that answers at once writes plans of 100, 1,000 and 10,000 steps without effect; everything else is real:
planner, scheduler, dispatcher, journal on disk, live plan, composer, outbox. Printed are the milliseconds per step from
the message to the answer, and their ratio to those of the smallest plan (target: at most 1.5, so no work grows with the
square of the steps). Plans are streamed in pieces of 40 characters. Exits with 1 when the target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from loguru import logger

from agent.config import Limits
from agent.llm.protocol import Finished, LLMRequest, Notice, TextDelta
from agent.testing.bot import Bot
from agent.testing.scripted import ScriptedLLM
from plugins.api import tool

SIZES = (100, 1_000, 10_000)
MOST_RATIO = 1.5
PIECE = 40


@tool(effect="pure", host=True)
async def nothing(n: int = 0) -> int:
    """Do nothing and return the number."""
    return n


class Fast(ScriptedLLM):
    """A scripted model that gives other tasks a turn between its pieces, as a real stream does."""

    async def stream(self, request: LLMRequest) -> AsyncGenerator[TextDelta | Notice | Finished]:
        finished = self._next(request)
        for start in range(0, len(finished.text), PIECE):
            await asyncio.sleep(0)
            yield TextDelta(finished.text[start : start + PIECE])
        yield finished


def plan(count: int) -> str:
    """Return a plan in which every tenth step waits for the one before."""
    lines = (f"s{i} nothing({i})" + (f" after s{i - 1}" if i % 10 == 0 else "") for i in range(1, count + 1))
    return "\n".join([*lines, "end"])


async def seconds(count: int, profile: cProfile.Profile | None = None) -> float:
    """Return how long a plan of so many steps takes, from the message to the answer."""
    with tempfile.TemporaryDirectory() as folder:
        limits = Limits(steps=100_000, tokens=0, money=0)
        async with Bot(Path(folder), [nothing], llm=Fast(window=10_000_000), limits=limits) as bot:
            bot.llm.will_say("plan", plan(count))
            bot.llm.will_say("answer", "done")
            if profile is not None:
                profile.enable()
            began = time.perf_counter()
            await bot.receives("do it")
            await bot.app.engine.idle()
            taken = time.perf_counter() - began
            if profile is not None:
                profile.disable()
            answer = await bot.answer()
            assert answer.status == "COMPLETED", answer
            assert len(bot.statuses) == count
    return taken


def main() -> int:
    """Print a line per size; return 1 when a step of a long plan costs more than one of a short plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--profile", type=int)
    options = parser.parse_args()
    logger.remove()
    asyncio.run(seconds(10))
    if options.profile:
        profile = cProfile.Profile()
        print(f"{asyncio.run(seconds(options.profile, profile)):.2f} s")
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return 0
    first = 0.0
    worst = 0.0
    for count in (size for size in SIZES if size <= options.most):
        each = min(asyncio.run(seconds(count)) for _ in range(3 if count < 10_000 else 1)) / count * 1000
        first = first or each
        worst = max(worst, each / first)
        print(f"{count:>6} steps: {each:6.3f} ms per step, {each / first:.2f} of the smallest plan's", flush=True)
    return int(worst > MOST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
