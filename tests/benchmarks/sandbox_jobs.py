"""What a sandboxed job costs, next to a bare process and a cold bubblewrap in the same run.

    python tests/benchmarks/sandbox_jobs.py [ROUNDS]

Prints the median and the 95th percentile in milliseconds, and the ratio to a bare fork+exec of /bin/true.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox.api import Job, Policy, ToolCall
from sandbox.boxes import Box
from sandbox.canaries import probe

PLUGIN = """
import random
from plugins.api import tool

@tool
def roll(sides: int = 6) -> int:
    \"\"\"Roll a die.\"\"\"
    return random.randint(1, sides)
"""

Action = Callable[[], Awaitable[object]]


async def measure(action: Action, rounds: int) -> list[float]:
    """Return the sorted milliseconds of `rounds` calls, after one that does not count."""
    await action()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        await action()
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


async def bare() -> None:
    subprocess.run(["/bin/true"], check=True)


async def cold_bubblewrap() -> None:
    bwrap = shutil.which("bwrap")
    assert bwrap, "bubblewrap is not installed"
    flags = ["--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    subprocess.run([bwrap, *flags, "/bin/true"], check=True)


async def cancelled(box: Box, folder: Path) -> float:
    """Return the milliseconds from the wish to kill a job with daemons to nothing being left of it."""
    mark = folder / "started"
    mark.unlink(missing_ok=True)
    running = asyncio.create_task(box.run(Job("shell", "(setsid sleep 99 &); sleep 99 & touch started; sleep 99")))
    while not mark.exists():
        await asyncio.sleep(0.001)
    began = time.perf_counter()
    running.cancel()
    await asyncio.wait({running})
    return (time.perf_counter() - began) * 1000


async def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    rung = await probe()
    rows: list[tuple[str, list[float], float | None]] = []
    rows.append(("bare fork+exec", await measure(bare, rounds), None))
    if rung.name in {"A", "A-"}:
        rows.append(("cold bubblewrap, /bin/true", await measure(cold_bubblewrap, rounds), None))
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as plugins:
        folder = Path(name)

        async def cold(*, data: bool = False) -> None:
            async with Box("cold", folder, Policy(), rung) as box:
                await box.run(Job("shell", "true", data=data))

        rows.append(("cold box, first command", await measure(cold, max(rounds // 5, 3)), 60))
        rows.append(("cold box with data libraries", await measure(lambda: cold(data=True), 3), None))
        plugin = Path(plugins, "roll.py")
        plugin.write_text(PLUGIN)
        tool = ToolCall(str(plugin), "roll", {"sides": 20})
        async with Box("warm", folder, Policy(plugin_folders=(Path(plugins),)), rung) as box:
            jobs = [
                ("warm command", Job("shell", "true"), 4),
                ("warm Python", Job("python", "pass"), None),
                ("warm tool", Job("tool", tool=tool), None),
                ("warm Python, pandas imported", Job("python", "import pandas; pandas.DataFrame()", data=True), 8),
            ]
            for title, job, target in jobs:
                rows.append((title, await measure(lambda job=job: box.run(job), rounds), target))
            kills = sorted([await cancelled(box, folder) for _ in range(max(rounds // 5, 3))])
            rows.append(("kill to drained", kills, 200))
    base = rows[0][1][rounds // 2]
    print(f"rung {rung.name}; {rounds} rounds; target: median on a quiet machine")
    for title, taken, target in rows:
        middle, high = taken[len(taken) // 2], taken[int(len(taken) * 0.95)]
        aim = f"  (target {target:g})" if target else ""
        print(f"{title:32} {middle:8.2f} ms  p95 {high:8.2f}  {middle / base:6.1f}x bare{aim}")


if __name__ == "__main__":
    asyncio.run(main())
