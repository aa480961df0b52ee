"""The process that waits to become the next job: jobs cannot tell, cannot reach it, and do not depend on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import time
from collections.abc import Awaitable, Callable

from sandbox.api import Job, JobStatus, Limits
from sandbox.box import Box
from sandbox.held import descendants
from sandbox.worker import SPARE_S

Waiting = Callable[[Box], Awaitable[int]]


def below(box: Box) -> set[int]:
    """Return the processes that the init of the box has forked."""
    [cell] = box._cells.values()
    return descendants(cell.pid) - {cell.pid}


class Handle:
    """Holds a process and waits for its end."""

    def __init__(self, pid: int) -> None:
        self._handle = os.pidfd_open(pid)

    def wait(self) -> None:
        assert select.select([self._handle], [], [], 60)[0], "it goes on"

    def close(self) -> None:
        os.close(self._handle)


async def test_jobs_are_the_same_whether_or_not_one_was_forked_before(any_box: Box, waiting: Waiting):
    seen = [
        await any_box.run(Job("python", "import os; print(os.getpid(), os.getsid(0), flush=True)")) for _ in range(4)
    ]
    numbers = [tuple(map(int, found.stdout.text.split())) for found in seen]
    assert all(pid == session for pid, session in numbers)
    assert len(set(numbers)) == 4
    assert all(0 <= found.usage.wall_s < 30 for found in seen)
    assert await waiting(any_box)


async def test_one_that_was_killed_is_not_missed(any_box: Box, waiting: Waiting):
    for _ in range(5):
        assert (await any_box.run(Job("shell", "true"))).ok
        pid = await waiting(any_box)
        with contextlib.closing(Handle(pid)) as handle:
            os.kill(pid, signal.SIGKILL)
            handle.wait()
        result = await any_box.run(Job("shell", "echo fine"))
        assert (result.status, result.stdout.text) == (JobStatus.EXIT, "fine\n")


async def test_while_a_job_runs_there_is_none_that_it_could_reach(any_box: Box, waiting: Waiting):
    for _ in range(2):  # after the first there are libraries to be loaded, and a new one
        await any_box.run(Job("shell", "true"))
    ready = await waiting(any_box)
    async with any_box.talk(Job("shell", "echo up; read line", limits=Limits(wall_s=60))) as talk:
        assert await anext(aiter(talk)) == b"up\n"
        assert below(any_box) == {ready}  # it is the job by now
        assert (await any_box.run(Job("shell", "true"))).ok
        assert below(any_box) == {ready}


async def test_what_is_loaded_for_the_next_job_is_there_at_once(any_box: Box, waiting: Waiting):
    assert (await any_box.run(Job("shell", "true"))).ok
    await waiting(any_box)
    [cell] = any_box._cells.values()
    await cell.preload(("colorsys",))
    result = await any_box.run(Job("python", "import sys; print('colorsys' in sys.modules)"))
    assert result.stdout.text == "True\n"


async def test_it_ends_when_the_box_rests_and_comes_with_the_next_job(any_box: Box, waiting: Waiting):
    for _ in range(2):  # after the first there are libraries to be loaded, and a new one
        await any_box.run(Job("shell", "true"))
    began = time.monotonic()
    with contextlib.closing(Handle(await waiting(any_box))) as handle:
        await asyncio.to_thread(handle.wait)
    assert time.monotonic() - began > SPARE_S / 2
    async with asyncio.timeout(60):
        while below(any_box):  # its end is still to be noticed by the init
            await asyncio.sleep(0.01)
    assert (await any_box.run(Job("shell", "echo fine"))).stdout.text == "fine\n"
    assert await waiting(any_box)


async def test_it_ends_with_the_box(any_box: Box, waiting: Waiting):
    await any_box.run(Job("shell", "true"))
    with contextlib.closing(Handle(await waiting(any_box))) as handle:
        await any_box.close()
        handle.wait()
