"""What one step of 0 ms costs: a plain ready-set, our scheduler, and the whole way through dispatcher and journal.

    python -m tests.benchmarks.execution [--rounds 5] [--most 10000] [--profile SHAPE COUNT]

Three shapes of plan (all at once, one after the other, layers of ten that need two steps of the layer before) in three
sizes. All ways take turns in one process; medians over the rounds count, and their ratios. `in 8` is the journalled way
with the default limit of steps that run at once, `wide` without one. Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agent.catalogue import Catalogue
from agent.config import AppConfig, Limits
from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.messages import Destination
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Run
from agent.domain.session import Profile, Session
from agent.execution import scene
from agent.execution.dispatcher import Dispatcher
from agent.execution.executor import Executor
from agent.execution.posting import Outbox
from agent.execution.scheduler import Slots, StepScheduler, stream_of
from agent.execution.toolbox import Toolbox
from agent.store.sql import SqlStore
from agent.testing.bot import PlainBoxes
from plugins.api import tool
from plugins.loader import from_functions

MICRO = 1_000_000
SIZES = (50, 1_000, 10_000)
TARGETS = {
    ("scheduler", "parallel"): 40,
    ("scheduler", "chain"): 40,
    ("scheduler", "mixed"): 40,
    ("wide", "parallel"): 400,
    ("in 8", "parallel"): 400,
    ("wide", "chain"): 800,
    ("wide", "mixed"): 800,
}
NEEDS_OF_A_STEP = 2
LAYER = 10


@tool(effect="pure", host=True)
async def nothing(n: int = 0) -> int:
    """Do nothing and return the number."""
    return n


def plan(shape: str, count: int) -> list[PlanStep]:
    """Return a plan of `count` steps without effect."""
    return [PlanStep(id=f"s{i}", tool="nothing", args={"n": i}, depends_on=_needs(shape, i)) for i in range(count)]


def _needs(shape: str, i: int) -> tuple[str, ...]:
    if shape == "parallel" or i == 0:
        return ()
    if shape == "chain":
        return (f"s{i - 1}",)
    layer, place = divmod(i, LAYER)
    if layer == 0:
        return ()
    return tuple(f"s{(layer - 1) * LAYER + (place + k) % LAYER}" for k in range(NEEDS_OF_A_STEP))


# --- the three ways -------------------------------------------------------------------------------------------------
async def plain(steps: list[PlanStep]) -> float:
    """Return the seconds that the least takes that can carry a plan out: counters, and a task per step."""
    missing = {step.id: len(step.depends_on) for step in steps}
    dependents: dict[str, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        for need in step.depends_on:
            dependents[need].append(step.id)
    done = asyncio.Event()
    left = len(steps)
    tasks: set[asyncio.Task[str]] = set()

    async def one(name: str) -> str:
        return name

    def ended(task: asyncio.Task[str]) -> None:
        nonlocal left
        tasks.discard(task)
        left -= 1
        for name in dependents[task.result()]:
            missing[name] -= 1
            if not missing[name]:
                start(name)
        if not left:
            done.set()

    def start(name: str) -> None:
        task = asyncio.create_task(one(name))
        tasks.add(task)
        task.add_done_callback(ended)

    began = time.perf_counter()
    for name in [name for name, count in missing.items() if not count]:
        start(name)
    await done.wait()
    return time.perf_counter() - began


async def scheduler(steps: list[PlanStep]) -> float:
    """Return the seconds of our scheduler with a step that is done at once and no journal."""

    async def carry(step: PlanStep) -> ExecutorResponse:
        return ExecutorResponse(step.id, ResponseStatus.OK)

    began = time.perf_counter()
    outcome = await StepScheduler(carry).run(stream_of(steps))
    seconds = time.perf_counter() - began
    assert len(outcome.responses) == len(steps)
    return seconds


async def journalled(steps: list[PlanStep], limit: int, profile: cProfile.Profile | None = None) -> float:
    """Return the seconds of scheduler, dispatcher, a host tool, and the journal on disk (steps are there before)."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        config = AppConfig(home=home, limits=Limits(steps=100_000))
        store = SqlStore(home / "journal.db")
        await store.open()
        catalogue = Catalogue([from_functions("benchmark", [nothing])])
        toolbox = Toolbox(config, catalogue, _boxes())
        dispatcher = Dispatcher(config, store, catalogue, toolbox, Executor(config, store, catalogue, toolbox))
        session = Session("s", home / "session", Profile())
        session.workspace.mkdir(parents=True)
        opened = await store.open_run(Run("s", "x", Destination("terminal", "1")))
        run = await store.lease_run(opened.id, "benchmark", 3600)
        assert run is not None
        await store.add_steps(run.id, run.epoch, steps, USER)
        ctx = await scene.set_the_scene(store, run, session, Outbox(store))
        ways = StepScheduler(lambda step: dispatcher.take_through(ctx, step), slots=Slots(limit))
        if profile is not None:
            profile.enable()
        began = time.perf_counter()
        outcome = await ways.run(stream_of(steps))
        seconds = time.perf_counter() - began
        if profile is not None:
            profile.disable()
        assert sum(response.success for response in outcome.responses.values()) == len(steps)
        await store.close()
    return seconds


def _boxes() -> Any:
    return PlainBoxes([nothing])


WAYS: dict[str, Callable[[list[PlanStep]], Awaitable[float]]] = {
    "plain": plain,
    "scheduler": scheduler,
    "in 8": lambda steps: journalled(steps, 8),
    "wide": lambda steps: journalled(steps, 1_000_000),
}


def measure(shape: str, count: int, rounds: int) -> dict[str, float]:
    """Return way → median µs per step; the ways take turns."""
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    steps = plan(shape, count)
    for _ in range(rounds):
        for name, way in WAYS.items():
            taken[name].append(asyncio.run(_timed(way, steps)) / count * MICRO)
    return {name: statistics.median(values) for name, values in taken.items()}


async def _timed(way: Callable[[list[PlanStep]], Awaitable[float]], steps: list[PlanStep]) -> float:
    return await way(steps)


def main() -> int:
    """Print a table; return 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--profile", nargs=2, metavar=("SHAPE", "COUNT"))
    options = parser.parse_args()
    measure("mixed", 50, 1)
    if options.profile:
        shape, count = options.profile
        profile = cProfile.Profile()
        asyncio.run(journalled(plan(shape, int(count)), 1_000_000, profile))
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
        return 0
    missed = []
    print(f"{'steps':>6} {'shape':<9}" + "".join(f"{name:>12}" for name in WAYS) + "   µs per step")
    for count in (size for size in SIZES if size <= options.most):
        for shape in ("parallel", "chain", "mixed"):
            found = measure(shape, count, options.rounds)
            print(f"{count:>6} {shape:<9}" + "".join(f"{value:12.1f}" for value in found.values()), flush=True)
            targets = {name: TARGETS.get((name, shape)) for name in found}
            missed += [f"{name} {shape} {count}" for name, goal in targets.items() if goal and found[name] > goal]
    print("missed:", ", ".join(missed) or "nothing")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
