"""What a sandboxed job costs, next to a bare process and a cold bubblewrap in the same run.

    python -m tests.benchmarks.sandbox_jobs [ROUNDS]

Prints the median and the 95th percentile in milliseconds, and the ratio to a bare fork+exec of /bin/true; then the
memory of an idle session (proportional set size of its processes), and what the egress proxy carries. Targets are for a
quiet machine with two cores; a loaded one has three times as long. Exits with 1 when a target is missed by that much.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox.api import Job, Policy, Rung, ToolCall
from sandbox.boxes import Box
from sandbox.canaries import probe
from sandbox.held import descendants
from sandbox.worker import SPARE_S

PLUGIN = """
import random
from plugins.api import tool

@tool
def roll(sides: int = 6) -> int:
    \"\"\"Roll a die.\"\"\"
    return random.randint(1, sides)
"""

Action = Callable[[], Awaitable[object]]


PAUSE_S = 0.2  # after which the kernel takes longer to move a process into a control group


async def measure(action: Action, rounds: int, pause: float = 0.0) -> list[float]:
    """Return the sorted milliseconds of `rounds` calls, each after a pause, and after one that does not count."""
    await action()
    taken = []
    for _ in range(rounds):
        await asyncio.sleep(pause)
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


def resident(box: Box) -> float:
    """Return the mebibytes of a box's processes, those that several share divided among them."""
    total = 0
    for cell in box._cells.values():
        for pid in descendants(cell.pid):
            found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) if found else 0
    return total / 1024


async def idle_memory(rung: Rung) -> list[tuple[str, float, float]]:
    """Return what one of five idle sessions takes, in mebibytes: plain, and with the data libraries."""
    rows = []
    for title, data, target in (("idle session", False, 10.0), ("idle session with pandas", True, 60.0)):
        with tempfile.TemporaryDirectory() as name:
            boxes = [Box(f"m{n}", Path(name, str(n)), Policy(), rung) for n in range(5)]
            code = "import pandas" if data else "pass"
            for box in boxes:
                await box.run(Job("python", code, data=data))
            await asyncio.sleep(SPARE_S + 2)
            rows.append((title, sum(map(resident, boxes)) / len(boxes), target))
            for box in boxes:
                await box.close()
    return rows


async def carried(rung: Rung) -> float:
    """Return how many mebibytes a second a job downloads through the proxy, from a server of this process."""
    size = 64 << 20

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 20):
            writer.write(bytes(1 << 20))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    host = f"localhost:{port}"
    code = (
        "import os, time, urllib.request as r\nos.environ['no_proxy'] = os.environ['NO_PROXY'] = ''\n"
        f"b = time.monotonic(); f = r.urlopen('http://{host}/')\nwhile f.read(1 << 20): pass\nprint(time.monotonic() - b)"
    )
    with tempfile.TemporaryDirectory() as name:
        async with server, Box("net", Path(name), Policy(allow_hosts=(host,), private_hosts=(host,)), rung) as box:
            result = await box.run(Job("python", code))
    return (size >> 20) / float(result.stdout.text)


async def main() -> int:
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
            paused = await measure(lambda: box.run(jobs[0][1]), max(rounds // 5, 3), PAUSE_S)
            rows.append(("warm command after a pause", paused, 4))
            host = "example.org:443"
            net = Job("python", "pass", net=(host,))
            rows.append(("warm Python with a network", await measure(lambda: box.run(net), rounds), None))
            kills = sorted([await cancelled(box, folder) for _ in range(max(rounds // 5, 3))])
            rows.append(("kill to drained", kills, 200))
    memory, speed = await idle_memory(rung), await carried(rung)
    return report(rung, rounds, rows, memory, speed)


def report(
    rung: Rung,
    rounds: int,
    rows: list[tuple[str, list[float], float | None]],
    memory: list[tuple[str, float, float]],
    speed: float,
) -> int:
    """Print it all; return 1 when a target is missed."""
    missed = False
    base = rows[0][1][rounds // 2]
    print(f"rung {rung.name}; {rounds} rounds; target: median on a quiet machine")
    for title, taken, target in rows:
        middle, high = taken[len(taken) // 2], taken[int(len(taken) * 0.95)]
        aim = f"  (target {target:g})" if target else ""
        missed |= bool(target) and middle > 3 * (target or 0)
        print(f"{title:32} {middle:8.2f} ms  p95 {high:8.2f}  {middle / base:6.1f}x bare{aim}")
    for title, taken_mb, most in memory:
        missed |= taken_mb > most
        print(f"{title:32} {taken_mb:8.2f} MB  (target {most:g})")
    print(f"{'download through the proxy':32} {speed:8.0f} MB/s")
    return int(missed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
