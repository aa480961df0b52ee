"""Nothing is left running: after a job, a cancellation, a close, and the agent's own sudden death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

from sandbox.api import Job, JobStatus, Limits
from sandbox.boxes import Box, Boxes

REPOSITORY = Path(__file__).resolve().parents[2]
DAEMON = "(setsid sh -c 'sleep 4711 & sleep 4711' >/dev/null 2>&1 &) ; echo started > started"


def sleepers(folder: Path) -> list[int]:
    """Return the processes whose working directory is the workspace, as the host sees them."""
    inode = folder.stat().st_ino
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").stat().st_ino == inode:
                found.append(int(entry.name))
    return found


async def appears(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.005)


async def test_a_daemon_ends_with_its_job(any_box: Box, folder: Path, waiting):
    await any_box.run(Job("shell", "true"))
    await waiting(any_box)
    warm = set(sleepers(folder))
    result = await any_box.run(Job("shell", DAEMON))
    assert result.ok
    await waiting(any_box)
    assert set(sleepers(folder)) == warm


async def test_a_daemon_ends_with_its_job_while_another_job_goes_on(any_box: Box, folder: Path, waiting):
    os.mkfifo(folder / "go")
    await any_box.run(Job("shell", "true"))
    await waiting(any_box)
    warm = len(sleepers(folder))
    other = asyncio.create_task(
        any_box.run(Job("shell", "touch on; (read line < go; echo $line > done) & wait; cat done"))
    )
    await appears(folder / "on")
    await any_box.run(Job("shell", DAEMON))
    assert len(sleepers(folder)) <= warm + 3
    assert not [p for p in sleepers(folder) if b"4711" in Path(f"/proc/{p}/cmdline").read_bytes()]
    (folder / "go").write_text("still here\n")
    assert (await other).stdout.text == "still here\n"


async def test_a_cancelled_job_is_gone_at_once(any_box: Box, folder: Path, waiting):
    await any_box.run(Job("shell", "true"))
    await waiting(any_box)
    warm = set(sleepers(folder))
    running = asyncio.create_task(any_box.run(Job("shell", f"{DAEMON}; sleep 4711")))
    await appears(folder / "started")
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 30
    await waiting(any_box)
    assert set(sleepers(folder)) == warm
    assert (await any_box.run(Job("shell", "echo fine"))).ok


async def test_a_job_cancelled_before_it_began_leaves_nothing(any_box: Box, folder: Path, waiting):
    await any_box.run(Job("shell", "true"))
    await waiting(any_box)
    warm = set(sleepers(folder))
    for steps in range(6):
        running = asyncio.create_task(any_box.run(Job("shell", "sleep 4711")))
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert (await any_box.run(Job("shell", "echo fine"))).ok
    await waiting(any_box)
    assert set(sleepers(folder)) == warm


async def test_a_timeout_ends_what_ignores_every_polite_signal(any_box: Box, folder: Path):
    code = "import signal, time\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\ntime.sleep(60)"
    result = await any_box.run(Job("python", code, limits=Limits(wall_s=0.3)))
    assert result.status is JobStatus.TIMEOUT


async def test_closing_leaves_no_process(any_box: Box, folder: Path):
    running = asyncio.create_task(any_box.run(Job("shell", f"{DAEMON}; sleep 4711")))
    await appears(folder / "started")
    pids = sleepers(folder)
    assert pids
    await any_box.close()
    assert sleepers(folder) == []
    with contextlib.suppress(asyncio.CancelledError):
        assert (await running).status is JobStatus.SIGNAL


async def test_the_pool_keeps_one_box_per_session_and_closes_all(tmp_path: Path):
    boxes = Boxes()
    one, two = tmp_path / "one", tmp_path / "two"
    await boxes.run("one", one, Job("shell", "touch /tmp/kept"))
    assert (await boxes.run("one", one, Job("shell", "ls /tmp/kept"))).ok
    assert not (await boxes.run("two", two, Job("shell", "ls /tmp/kept"))).ok
    await boxes.close()
    assert sleepers(one) == sleepers(two) == []


@pytest.mark.crash
@pytest.mark.parametrize("rung", ["best", "C"])
async def test_killing_the_agent_leaves_nothing_running(tmp_path: Path, rung: str):
    folder = tmp_path / "workspace"
    program = dedent(f"""
        import asyncio
        from pathlib import Path
        from sandbox.api import Job, Policy, Rung
        from sandbox.boxes import Box
        from sandbox.canaries import probe
        async def main():
            rung = await probe() if {rung!r} == "best" else Rung("C", "Landlock")
            box = Box("crash", Path({str(folder)!r}), Policy(), rung)
            await box.run(Job("shell", {f"{DAEMON}; sleep 4711"!r}))
        asyncio.run(main())
    """)
    agent = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    await appears(folder / "started")
    async with asyncio.timeout(60):
        while len(sleepers(folder)) < 4:  # the init, the shell, and the daemons that are still on their way
            await asyncio.sleep(0.005)
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    async with asyncio.timeout(60):
        while sleepers(folder):
            await asyncio.sleep(0.005)


async def test_a_box_whose_closing_is_cancelled_leaves_no_process_behind(any_box: Box):
    await any_box.run(Job("shell", "true"))
    cells = list(any_box._cells.values())
    assert cells
    closing = asyncio.gather(*(asyncio.create_task(cell.end()) for cell in cells))
    await asyncio.sleep(0)
    closing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    assert all(cell._process.returncode is not None for cell in cells)
