"""From a message to its answer, with a simulated model and tools that sleep, against what is possible at all.

    python -m tests.benchmarks.end_to_end [--rounds 3] [--profile]

The model is the fake server in a process of its own: first token after 0.4 s, then 100 tokens/s. Everything else is
real: client, planner, scheduler, dispatcher, journal on disk, composer, outbox. Printed are, per plan, the analytic
optimum for our notation (a step starts with the token that completes its line, the answer with the last result), the
least that a bare program reaches in the same run (our client and reader, asyncio tasks, no journal, no outbox), our wall
time from the message until the answer is in the journal, the ratio (target: 1.03), how late effect-free steps start
after their line was complete (target: 15 ms), and the model calls and tokens. Medians; exits with 1 when a target is
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import json
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from loguru import logger

from agent.app import App, build_app
from agent.catalogue import Catalogue
from agent.config import AppConfig, Model
from agent.domain.messages import Destination, InboundMessage, OutboundMessage
from agent.domain.plan import PlanStep
from agent.llm.openai_client import OpenAIModel
from agent.llm.protocol import ChatMessage, Finished, LLMRequest, Notice, TextDelta
from agent.planning.notation import PlanReader, ReadStep
from agent.planning.prompting import prompt
from agent.planning.references import with_reference_dependencies
from agent.testing.bot import PlainBoxes
from agent.testing.openai_script import tokens_of
from plugins.api import tool
from plugins.loader import from_functions

FIRST_TOKEN = 0.4
RATE = 100.0
ROOT = Path(__file__).parents[2]
UPDATES = count(1)
ANSWER = " ".join(f"word{i % 7}" for i in range(60))  # 120 tokens
STARTED: dict[str, float] = {}


@tool(effect="pure", host=True)
async def search(query: str, seconds: float = 1.0) -> str:
    """Search the web and return what was found."""
    STARTED[query] = time.monotonic()
    await asyncio.sleep(seconds)
    return f"found {query}"


@tool(effect="pure", host=True)
async def compare(a: str, b: str, c: str, d: str, e: str, f: str) -> str:
    """Compare six results."""
    await asyncio.sleep(1.0)
    return f"{a} {b} {c} {d} {e} {f}"


@tool(effect="pure", host=True)
async def stage(name: str, seconds: float = 0.5) -> str:
    """Run one stage of the workflow."""
    STARTED[name] = time.monotonic()
    await asyncio.sleep(seconds)
    return name


SEARCHES = ("laptop A price", "laptop B price", "laptop C price", "laptop A reviews", "laptop B reviews", "laptop C")
SEVEN = "".join(f's{n} search("{query}")\n' for n, query in enumerate(SEARCHES, 1)) + (
    "s7 compare(s1.text, s2.text, s3.text, s4.text, s5.text, s6.text)\nend"
)


def _workflow() -> str:
    """Return 26 steps in eight layers of half a second, never more than six beside each other."""
    layers = [
        ("prepare", 2),
        ("map", 6),
        ("merge", 3),
        ("mark", 3),
        ("recal", 3),
        ("call", 5),
        ("filter", 3),
        ("all", 1),
    ]
    lines: list[str] = []
    before: list[str] = []
    for name, width in layers:
        now = [f"s{len(lines) + k + 1}" for k in range(width)]
        for k, step in enumerate(now):
            needs = [before[k % len(before)]] if before and name != "all" else before
            lines.append(f'{step} stage("{name} {k + 1}")' + (f" after {','.join(needs)}" if needs else ""))
        before = now
    return "\n".join([*lines, "end"])


PLANS = {"7 steps, tools 2.0 s": SEVEN, "26 steps, tools 4.0 s": _workflow()}
SIGNATURES = {"search": ("query", "seconds"), "compare": tuple("abcdef"), "stage": ("name", "seconds")}


# --- what is possible -----------------------------------------------------------------------------------------------
def read(text: str) -> list[PlanStep]:
    """Return a plan's steps."""
    reader = PlanReader(SIGNATURES)
    found = [*reader.feed(text), *reader.close()]
    return [with_reference_dependencies(one.step) for one in found if isinstance(one, ReadStep)]


def seconds_of(step: PlanStep) -> float:
    """Return how long the step's tool sleeps."""
    return 0.5 if step.tool == "stage" else 1.0


def arrivals(text: str) -> list[float]:
    """Return for each line of the plan when it is complete: with the token that brings its line end, or the last."""
    times: list[float] = []
    pieces = tokens_of(text)
    for number, piece in enumerate(pieces):
        times += [FIRST_TOKEN + number / RATE] * piece.count("\n")
    return [*times, FIRST_TOKEN + (len(pieces) - 1) / RATE]


def answered(at: float) -> float:
    """Return when the last token of an answer arrives whose call begins at `at`."""
    return at + FIRST_TOKEN + (len(tokens_of(ANSWER)) - 1) / RATE


def optimum(text: str, *, whole_plan_first: bool = False) -> float:
    """Return the least seconds in which this plan can be read, carried out, and answered."""
    times = arrivals(text)
    done: dict[str, float] = {}
    for step, complete in zip(read(text), times, strict=False):
        begin = max([times[-1] if whole_plan_first else complete, *(done[need] for need in step.depends_on)])
        done[step.id] = begin + seconds_of(step)
    return answered(max([*done.values(), times[-1]]))


# --- the server -----------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def server(plan: str) -> Iterator[str]:
    """Yield the address of a model that plans this and answers, at the speed of the comparison."""
    pace = {"tokens_per_second": RATE, "first_token_seconds": FIRST_TOKEN}
    script = [
        {"system": "planner of an assistant", "answer": {"text": plan, **pace}},
        {"system": "final answer", "answer": {"text": ANSWER, **pace}},
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "script.json")
        file.write_text(json.dumps(script))
        command = [sys.executable, "-m", "agent.testing.openai_server", "--script", str(file)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


class Watched:
    """A model whose pieces are noted with the time at which they came."""

    def __init__(self, llm: OpenAIModel) -> None:
        self._llm = llm
        self.name = llm.name
        self.window = llm.window
        self.pieces: list[tuple[float, int]] = []
        self.calls: list[tuple[str, float]] = []

    async def stream(self, request: LLMRequest) -> AsyncGenerator[TextDelta | Notice | Finished]:
        self.calls.append((request.purpose, time.monotonic()))
        read_so_far = 0
        async with contextlib.aclosing(self._llm.stream(request)) as items:
            async for item in items:
                if isinstance(item, TextDelta) and request.purpose == "plan":
                    read_so_far += len(item.text)
                    self.pieces.append((time.monotonic(), read_so_far))
                yield item

    async def complete(self, request: LLMRequest) -> Finished:
        self.calls.append((request.purpose, time.monotonic()))
        return await self._llm.complete(request)

    def count(self, text: str) -> int:
        return self._llm.count(text)

    async def close(self) -> None:
        await self._llm.close()


# --- the ways -------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Measured:
    """One round. Seconds; `late` are those between a step's complete line and its tool's start."""

    wall: float
    late: list[float] = field(default_factory=list)
    calls: int = 0
    prompt: int = 0
    completion: int = 0
    marks: dict[str, float] = field(default_factory=dict)


async def least(address: str) -> Measured:
    """Do the least: read the plan as it streams, run its steps as tasks, ask for the answer. Nothing is kept."""
    model = OpenAIModel("fake-model", address, None, Model())
    await model.models()  # the SDK is loaded and the connection open before the clock starts
    began = time.monotonic()
    tasks: dict[str, asyncio.Task[None]] = {}

    async def run(step: PlanStep) -> None:
        for need in step.depends_on:
            await tasks[need]
        await asyncio.sleep(seconds_of(step))

    reader = PlanReader(SIGNATURES)
    async for item in model.stream(
        LLMRequest("plan", (ChatMessage("system", prompt("plan")), ChatMessage("user", "x")))
    ):
        reads = (
            reader.feed(item.text)
            if isinstance(item, TextDelta)
            else reader.close()
            if isinstance(item, Finished)
            else []
        )
        for one in reads:
            if isinstance(one, ReadStep):
                step = with_reference_dependencies(one.step)
                tasks[step.id] = asyncio.create_task(run(step))
    await asyncio.gather(*tasks.values())
    async for _ in model.stream(
        LLMRequest("answer", (ChatMessage("system", "the final answer"), ChatMessage("user", "x")))
    ):
        pass
    wall = time.monotonic() - began
    await model.close()
    return Measured(wall)


class Screen:
    """A channel that shows nothing and notes when the answer was there."""

    name = "screen"

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self.at = 0.0

    async def serve(self) -> None:
        await asyncio.Event().wait()

    async def deliver(self, message: OutboundMessage) -> str:
        if message.payload.get("final"):
            self.at = time.monotonic()
            self.answered.set()
        return "1"

    def busy(self, dest: Destination, *, on: bool) -> None:
        pass


@contextlib.asynccontextmanager
async def opened(address: str, home: Path) -> AsyncIterator[tuple[App, Watched, Screen]]:
    """Yield the whole agent on the simulated model, warmed up as `serve` is by its start."""
    model = OpenAIModel("fake-model", address, None, Model(window=128_000))
    await model.models()
    watched = Watched(model)
    functions = [search, compare, stage]
    catalogue = Catalogue([from_functions("benchmark", functions)])
    boxes: Any = PlainBoxes(functions)
    screen = Screen()
    async with build_app(AppConfig(home=home), llm=watched, catalogue=catalogue, boxes=boxes) as app:
        await app.add_channel(screen)
        sender = asyncio.create_task(app.sender.run())
        try:
            yield app, watched, screen
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)


async def ours(address: str, plan: str, profile: cProfile.Profile | None = None) -> Measured:
    """Hear a message and wait for its answer."""
    STARTED.clear()
    with tempfile.TemporaryDirectory() as folder:
        async with opened(address, Path(folder)) as (app, watched, screen):
            text = "Compare these laptops and tell me which to buy."
            message = InboundMessage("screen", str(next(UPDATES)), Destination("screen", "1"), user_id="1", text=text)
            if profile is not None:
                profile.enable()
            began = time.monotonic()
            (stored,) = await app.store.receive([message])
            await app.reception.hear(stored)
            await screen.answered.wait()
            wall = screen.at - began
            if profile is not None:
                profile.disable()
            await app.engine.idle()
            (run,) = await app.store.recent_runs()
            assert run.answer == ANSWER, run
            spent = await app.store.spent(run_id=run.id)
    marks = {f"{purpose} call": at - began for purpose, at in watched.calls}
    tokens = int(spent["prompt_tokens"]), int(spent["completion_tokens"])
    return Measured(wall, lateness(plan, watched.pieces), int(spent["calls"]), *tokens, marks)


def lateness(plan: str, pieces: list[tuple[float, int]]) -> list[float]:
    """Return how long after the token that completes its line each step without dependencies started.

    When the server sent a token is inferred from its pace: no piece can have come before it was due.
    """
    ends = [0]
    for piece in tokens_of(plan):
        ends.append(ends[-1] + len(piece))
    place = {end: number - 1 for number, end in enumerate(ends)}
    begun = min(at - place[size] / RATE for at, size in pieces if size in place)
    late = []
    for step, complete in zip(read(plan), arrivals(plan), strict=False):
        name = str(step.args.get("query") or step.args.get("name"))
        if not step.depends_on and name in STARTED:
            late.append(STARTED[name] - (begun + complete - FIRST_TOKEN))
    return late


def report(name: str, plan: str, rounds: int) -> bool:
    """Measure one plan and print it; return True when the targets are met."""
    best = optimum(plan)
    with server(plan) as address:
        asyncio.run(ours(address, plan))  # imports, byte code
        bare, full = [], []
        for _ in range(rounds):
            bare.append(asyncio.run(least(address)).wall)
            full.append(asyncio.run(ours(address, plan)))
    wall = statistics.median(one.wall for one in full)
    late = sorted(seconds * 1000 for one in full for seconds in one.late)
    last = full[-1]
    print(f"{name} ({len(tokens_of(plan))} plan tokens)")
    print(f"  optimum {best:.3f} s (whole plan first: {optimum(plan, whole_plan_first=True):.3f} s)")
    print(f"  least that a bare program took {statistics.median(bare):.3f} s")
    print(
        f"  ours {wall:.3f} s   ratio to the optimum {wall / best:.3f}   to the bare program {wall / statistics.median(bare):.3f}"
    )
    print(f"  line complete → tool started: median {statistics.median(late):.1f} ms, worst {late[-1]:.1f} ms")
    print(f"  calls {last.calls}, prompt tokens {last.prompt}, completion tokens {last.completion}; {last.marks}")
    return wall / best <= 1.03 and statistics.median(late) <= 15


def main() -> int:
    """Measure both plans."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if options.profile:
        profile = cProfile.Profile()
        with server(SEVEN) as address:
            asyncio.run(ours(address, SEVEN))
            asyncio.run(ours(address, SEVEN, profile))
        pstats.Stats(profile).sort_stats("cumtime").print_stats(60)
        return 0
    logger.remove()
    met = [report(name, plan, options.rounds) for name, plan in PLANS.items()]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
