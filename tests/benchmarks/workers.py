"""How much more gets done with more workers, and what that costs the database.

    python -m tests.benchmarks.workers [--workers 1 2 4] [--runs 24] [--at-once 4]

Real processes of `dirigent worker` at a PostgreSQL that waits for its disk; a fake model server (first token after
0.4 s, then 100 tokens/s). Each run is of another chat: a message, a plan of two steps, an answer. `model` runs wait
for the model most of the time, `tool` runs for a tool in the sandbox (1 s). Each worker takes `--at-once` runs. Printed are, per
number of workers, runs a second, the ratio to one worker in the same run (target with 2: 1.5), the CPU seconds of the
workers with their sandboxes and of the database, and commits, per run; and how many writers at a time waited for the
journal's one lock (target: 0.5), with the share of time in which anybody did. On a machine with as many cores as workers or
fewer the ratios are bounded by these, too. Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loguru import logger

from agent.app import App, build_app
from agent.config import AppConfig
from agent.domain.messages import Destination, InboundMessage
from agent.planning.notation import render
from agent.testing import step
from agent.testing.openai_script import Answer
from agent.testing.openai_server import FakeOpenAI
from agent.testing.postgres import PostgresServer

LEAST_RATIO, MOST_WAITING = 1.5, 0.5
SPEED: dict[str, Any] = {"first_token_seconds": 0.4, "tokens_per_second": 100.0}
SECONDS = 300.0
TICK = os.sysconf("SC_CLK_TCK")
PLUGIN = '''"""Take some time."""
import time
from plugins.api import tool

@tool
def nap(seconds: float) -> str:
    """Wait."""
    time.sleep(seconds)
    return "rested"
'''
PLANS = {"model": (0.0, 0.0), "tool": (1.0, 1.0)}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'"


def play(request: dict[str, Any]) -> Answer:
    """Play the model: a plan of two steps, one after the other, then an answer."""
    text = "\n".join(str(message["content"]) for message in request["messages"])
    kind = re.findall(r"a (model|tool) run", text)[-1]
    if str(request["messages"][0]["content"]).startswith("You write the final answer"):
        return Answer("It is done. " * 10, **SPEED)
    first, second = PLANS[kind]
    steps = [step("s1", "nap", seconds=first), step("s2", "nap", seconds=second, after=("s1",))]
    speed = SPEED if kind == "model" else {}
    return Answer(render(f"A {kind} run", steps), **speed)


@dataclass
class Measured:
    """What so many workers did."""

    runs: int
    seconds: float
    worker_cpu: float
    server_cpu: float
    commits: int
    waiting: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.runs / self.seconds

    @property
    def waited(self) -> float:
        return sum(self.waiting) / max(1, len(self.waiting))

    @property
    def share(self) -> float:
        return sum(map(bool, self.waiting)) / max(1, len(self.waiting))


def cpu_of(*roots: int) -> float:
    """Return the CPU seconds that processes and all that they started have used so far."""
    parents: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / TICK)
    wanted, before = set(roots), 0
    while len(wanted) > before:
        before = len(wanted)
        wanted |= {pid for pid, (parent, _) in parents.items() if parent in wanted}
    return sum(parents[pid][1] for pid in wanted if pid in parents)


def postmaster(server: PostgresServer) -> int:
    folder = server.execute("SHOW data_directory").strip()
    return int(Path(folder, "postmaster.pid").read_text().splitlines()[0])


def settings_of(home: Path, url: str, model: FakeOpenAI, at_once: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "DIRIGENT_HOME": str(home),
        "DIRIGENT_ENGINE": "workers",
        "DIRIGENT_STORE": url,
        "DIRIGENT_MODEL": "fake-model",
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": "test-key",
        "DIRIGENT_LIMITS__RUNS_TOTAL": str(at_once),
        "DIRIGENT_WORKERS__DRAIN_SECONDS": "0",
    }


@asynccontextmanager
async def working(number: int, environment: dict[str, str]) -> AsyncIterator[list[int]]:
    """Run so many workers; yield their process ids once all are ready."""
    pipe = asyncio.subprocess.PIPE
    words = (sys.executable, "-P", "-m", "agent", "worker")
    found = [await asyncio.create_subprocess_exec(*words, env=environment, stdout=pipe) for _ in range(number)]
    try:
        for process in found:
            assert process.stdout is not None
            async for line in process.stdout:
                if line.startswith(b"Working"):
                    break
        yield [process.pid for process in found]
    finally:
        for process in found:
            if process.returncode is None:
                process.terminate()
        for process in found:
            await process.communicate()


async def ask(app: App, kind: str, name: str) -> None:
    """Say one message in a chat of its own."""
    message = InboundMessage("test", name, Destination("test", name), user_id=name, text=f"do a {kind} run")
    (stored,) = await app.store.receive([message])
    await app.reception.hear(stored)


async def finished(app: App, waiting: list[int], server: PostgresServer) -> None:
    """Wait until nothing is unfinished, looking at who waits for the lock meanwhile."""
    import psycopg

    async with (
        asyncio.timeout(SECONDS),
        await psycopg.AsyncConnection.connect(server.url(), autocommit=True) as looks,
    ):
        while await app.store.unfinished_runs():
            for _ in range(10):
                row = await (await looks.execute(WAITING)).fetchone()
                waiting.append(row[0] if row else 0)
                await asyncio.sleep(0.02)


async def measure(server: PostgresServer, model: FakeOpenAI, kind: str, number: int, options: Any) -> Measured:
    url = server.new_database()
    name = url.rpartition("/")[2]
    counted = f"SELECT xact_commit FROM pg_stat_database WHERE datname = '{name}'"
    with tempfile.TemporaryDirectory(prefix="dirigent-workers-") as folder:
        home = Path(folder, "home")
        (home / "plugins").mkdir(parents=True)
        (home / "plugins" / "naps.py").write_text(PLUGIN)
        limits = {"runs_total": options.at_once}
        app = build_app(AppConfig(home=home, store=url, engine="workers", model="offline", limits=limits))
        async with app, working(number, settings_of(home, url, model, options.at_once)) as pids:
            for warm in range(number * options.at_once):
                await ask(app, "model", f"warm{warm}")
            await finished(app, [], server)
            root = postmaster(server)
            before, commits = (cpu_of(*pids), cpu_of(root)), int(server.execute(counted))
            waiting: list[int] = []
            began = time.perf_counter()
            await asyncio.gather(*(ask(app, kind, f"{kind}{run}") for run in range(options.runs)))
            await finished(app, waiting, server)
            seconds = time.perf_counter() - began
            after = cpu_of(*pids), cpu_of(root)
            await asyncio.sleep(1.5)  # the server counts late
            return Measured(
                options.runs,
                seconds,
                after[0] - before[0],
                after[1] - before[1],
                int(server.execute(counted)) - commits,
                waiting,
            )


async def compare(options: Any) -> int:
    missed = 0
    print("kind   workers  runs/s  ratio  CPU/run  database CPU/run  commits/run  waiting for the lock")
    with PostgresServer.start(durable=True) as server:
        async with FakeOpenAI(play, models=["fake-model"]) as model:
            for kind in PLANS:
                first = 0.0
                for number in options.workers:
                    found = await measure(server, model, kind, number, options)
                    first = first or found.rate
                    ratio, runs = found.rate / first, found.runs
                    print(
                        f"{kind:<6} {number:>7} {found.rate:>7.2f} {ratio:>6.2f} {found.worker_cpu / runs:>8.2f} "
                        f"{found.server_cpu / runs:>17.3f} {found.commits / runs:>12.1f} "
                        f"{found.waited:>8.2f} ({found.share:.0%} of the time)",
                        flush=True,
                    )
                    missed += (number == 2 and ratio < LEAST_RATIO) + (found.waited > MOST_WAITING)
    return int(bool(missed))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="numbers of workers to compare")
    parser.add_argument("--runs", type=int, default=24, help="runs of each kind")
    parser.add_argument("--at-once", type=int, default=4, help="runs that a worker takes at a time")
    logger.remove()
    return asyncio.run(compare(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
