"""What a job takes without any folder showing it: deleted files, names without bytes, buffers in the kernel."""

from __future__ import annotations

import pytest

from sandbox.api import Job, JobStatus, Limits
from sandbox.boxes import Box

DELETED = """
import os, time
held = []
for n in range(40):
    held.append(os.open("f", os.O_RDWR | os.O_CREAT, 0o600))
    os.unlink("f")
    os.write(held[-1], bytes(1 << 20))
    {further}
print("all there", flush=True)
time.sleep(20)
"""


@pytest.mark.parametrize(
    ("name", "further"),
    [
        ("open", "pass"),
        ("mapped", "import mmap; held[-1:] = [mmap.mmap(held[-1], 1 << 20), os.close(held[-1])]"),
        ("in a process of its own", "os.fork() or time.sleep(20)"),
        ("unreadable", "__import__('ctypes').CDLL(None).prctl(4, 0, 0, 0, 0)"),
    ],
)
async def test_deleted_files_that_are_still_held_count(any_box: Box, name: str, further: str):
    """Bounded twice: 40 MB at most, whatever the box does."""
    result = await any_box.run(Job("python", DELETED.format(further=further), limits=Limits(disk_mb=8, wall_s=15)))
    assert result.status is JobStatus.DISK


async def test_empty_files_count(any_box: Box):
    code = "import time\nfor n in range(600): open(f'e{n}', 'w').close()\ntime.sleep(20)"
    result = await any_box.run(Job("python", code, limits=Limits(entries=300, wall_s=15)))
    assert result.status is JobStatus.DISK


async def test_folders_count(any_box: Box):
    result = await any_box.run(Job("shell", "mkdir -p $(seq 600)", limits=Limits(entries=300, wall_s=15)))
    assert result.status is JobStatus.DISK


async def test_sockets_and_pipes_are_bounded(any_box: Box):
    """Each holds a few hundred kilobytes of the kernel's memory, which no process is charged with."""
    code = (
        "import os, socket, time\nheld = []\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0:\n"
        "        held = [socket.socketpair() for _ in range(40)]\n        time.sleep(20)\n"
        "time.sleep(20)"
    )
    result = await any_box.run(Job("python", code, limits=Limits(channels=200, wall_s=15)))
    assert result.status is JobStatus.OOM
    assert "sockets" in result.warnings[0]


async def test_stopped_processes_end_with_their_job(any_box: Box, waiting):
    code = "import os, signal, time\nfor _ in range(5):\n    if os.fork() == 0:\n        os.kill(os.getpid(), signal.SIGSTOP)\nos.kill(os.getpid(), signal.SIGSTOP)"
    result = await any_box.run(Job("python", code, limits=Limits(wall_s=0.5)))
    assert result.status is JobStatus.TIMEOUT
    await waiting(any_box)  # nothing else is left
