"""The pool of boxes: what is given back and when, and that hundreds of sessions leave nothing behind."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sandbox import boxes as module
from sandbox import canaries
from sandbox.api import Job, JobStatus, Policy, Rung
from sandbox.box import Box
from sandbox.boxes import Boxes
from sandbox.canaries import probe
from sandbox.held import descendants
from sandbox.pressure import short_of_memory
from sandbox.temporary import Temporary, clear_away

REPOSITORY = Path(__file__).resolve().parents[2]
PLENTY = "MemTotal: 8000000 kB\nMemFree: 10 kB\nMemAvailable: 4000000 kB\n"
LITTLE = "MemTotal: 8000000 kB\nMemFree: 10 kB\nMemAvailable: 200000 kB\n"
CALM = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n"
STALLED = "some avg10=33.10 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n"


@pytest.mark.parametrize(
    ("meminfo", "pressure", "short"),
    [(PLENTY, CALM, False), (LITTLE, CALM, True), (PLENTY, STALLED, True), (PLENTY, None, False), (None, None, False)],
)
def test_shortness_of_memory_is_seen(tmp_path: Path, meminfo: str | None, pressure: str | None, short: bool):
    files = tmp_path / "meminfo", tmp_path / "memory"
    for file, text in zip(files, (meminfo, pressure), strict=True):
        if text is not None:
            file.write_text(text)
    assert short_of_memory(*files) is short


def warm(boxes: Boxes) -> list[str]:
    return [key[0] for key, box in boxes._boxes.items() if isinstance(box, Box) and box.warm_processes]


async def test_no_more_processes_stay_warm_than_the_policy_allows(tmp_path: Path):
    boxes = Boxes(Policy(warm_processes=2))
    for name in ("a", "b", "c", "d"):
        assert (await boxes.run(name, tmp_path / name, Job("shell", "true"))).ok
    boxes._look_again()
    assert warm(boxes) == ["c", "d"]
    assert (await boxes.run("a", tmp_path / "a", Job("shell", "echo again"))).stdout.text == "again\n"
    await boxes.close()


async def test_when_memory_is_short_the_idle_ones_go_and_the_busy_stay(tmp_path: Path, monkeypatch):
    boxes = Boxes()
    await boxes.run("idle", tmp_path / "idle", Job("shell", "true"))
    (tmp_path / "busy").mkdir()
    os.mkfifo(tmp_path / "busy" / "go")
    busy = asyncio.create_task(boxes.run("busy", tmp_path / "busy", Job("shell", "touch up; read x < go; echo $x")))
    while not (tmp_path / "busy" / "up").exists():
        await asyncio.sleep(0.005)
    monkeypatch.setattr(module, "short_of_memory", lambda: True)
    boxes._look_again()
    assert warm(boxes) == ["busy"]
    (tmp_path / "busy" / "go").write_text("on\n")
    assert (await busy).stdout.text == "on\n"
    await boxes.close()
    assert boxes._tidying is None


async def test_a_wedged_box_is_found_out_and_replaced(any_box: Box, monkeypatch: pytest.MonkeyPatch):
    """Stopped, it would keep the next job until its time is up."""
    await any_box.run(Job("shell", "true"))
    [cell] = any_box._cells.values()
    os.kill(cell.pid, signal.SIGSTOP)
    monkeypatch.setattr("sandbox.box.ASK_AFTER_S", -1.0)
    monkeypatch.setattr("sandbox.cell.PING_S", 0.2)
    assert (await any_box.run(Job("shell", "echo fine"))).stdout.text == "fine\n"
    assert any_box._cells[False] is not cell


async def test_a_box_that_has_rested_is_asked_and_used(any_box: Box, monkeypatch: pytest.MonkeyPatch):
    await any_box.run(Job("shell", "true"))
    [cell] = any_box._cells.values()
    monkeypatch.setattr("sandbox.box.ASK_AFTER_S", -1.0)
    results = await asyncio.gather(*(any_box.run(Job("shell", f"echo {n}")) for n in range(4)))
    assert [r.stdout.text for r in results] == ["0\n", "1\n", "2\n", "3\n"]
    assert any_box._cells[False] is cell


@pytest.mark.crash
async def test_what_a_killed_process_left_is_cleared_away_and_what_is_in_use_is_not(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = (
        "import sys, os, tempfile; tempfile.tempdir = sys.argv[1]\nfrom sandbox.temporary import Temporary\n"
        "t = Temporary('box-'); (t.path / 'x').symlink_to('/etc'); d = os.open(t.path, os.O_RDONLY)\n"
        "for _ in range(1500):\n"
        "    os.mkdir('d', dir_fd=d); n = os.open('d', os.O_RDONLY, dir_fd=d); os.close(d); d = n\n"
        "print('made', flush=True); sys.stdin.read()\n"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert killed.stdout is not None
    assert await asyncio.to_thread(killed.stdout.readline) == b"made\n"
    mine = Temporary("canary-")
    (tmp_path / "dirigent-other").mkdir()
    (tmp_path / "dirigent-box-link").symlink_to("/etc")
    assert clear_away() == 0
    killed.kill()
    killed.communicate()
    assert clear_away() == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["dirigent-box-link", "dirigent-other", mine.path.name]
    )
    mine.close()
    assert not mine.path.exists()


async def test_a_probe_clears_away_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "dirigent-canary-4711-abc").mkdir()
    monkeypatch.setattr(canaries, "_found", {})
    await probe()
    assert list(tmp_path.iterdir()) == []


def _mounts() -> int:
    return Path("/proc/self/mountinfo").read_text().count("\n")


def _cgroups() -> set[str]:
    return {str(path) for path in Path("/sys/fs/cgroup").glob(f"*/**/dirigent-{os.getpid()}/*") if path.is_dir()}


@pytest.mark.parametrize("name", ["best", "C"])
@pytest.mark.timeout(600)
async def test_five_hundred_sessions_leave_nothing_behind(tmp_path: Path, name: str):
    """No process, no mount, no descriptor, no folder, no control group. 25 at a time are open."""
    rung = await probe() if name == "best" else Rung("C", "Landlock")

    async def one(number: int) -> None:
        async with Box(f"s{number}", tmp_path / f"w{number % 50}", Policy(), rung) as box:
            job = Job("shell", "(setsid sleep 4711 >/dev/null 2>&1 &); sleep 4711 & echo $0")
            assert (await box.run(job)).status is JobStatus.EXIT

    await asyncio.gather(*(one(n) for n in range(10)))
    gc.collect()
    before = (
        _mounts(),
        {path.name for path in Path("/proc/self/fd").iterdir()},
        _folders(),
        _cgroups(),
        descendants(os.getpid()),
    )
    for start in range(0, 500, 25):
        await asyncio.gather(*(one(n) for n in range(start, start + 25)))
    gc.collect()
    after = (
        _mounts(),
        {path.name for path in Path("/proc/self/fd").iterdir()},
        _folders(),
        _cgroups(),
        descendants(os.getpid()),
    )
    assert after == before
    assert len(asyncio.all_tasks()) == 1


def _folders() -> set[str]:
    """Return the folders of boxes that are locked by us, so that other test processes do not disturb."""
    return {path.name for path in Path(tempfile.gettempdir()).glob(f"dirigent-box-{os.getpid()}-*")}


def test_the_lock_of_a_folder_ends_with_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Temporary("box-") as path:
        descriptor = os.open(path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    assert not path.exists()
