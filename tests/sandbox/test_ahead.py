"""The groups of the next job: joined before there is one, that job's alone, and never a way around its ceilings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from sandbox import cgroups
from sandbox.ahead import Ahead
from sandbox.api import Job, JobStatus, Limits
from sandbox.box import Box
from sandbox.cgroups import JobGroup
from sandbox.held import descendants

Waiting = Callable[[Box], Awaitable[int]]


@pytest.fixture(autouse=True)
def _grouped() -> None:
    if cgroups.hierarchy() is None:
        pytest.skip("no control group can be made here (fine in CI)")


def ahead(box: Box) -> Ahead:
    [cell] = box._cells.values()
    return cell.ahead


def group(box: Box) -> JobGroup:
    found = ahead(box)._group
    assert found is not None
    return found


def members(found: JobGroup) -> list[list[int]]:
    """Return who is in each of a job's groups."""
    places = sorted({place for place in (found.memory, found.pids) if place is not None})
    return [list(map(int, (place / "cgroup.procs").read_text().split())) for place in places]


def made() -> set[Path]:
    where = cgroups.hierarchy()
    assert where is not None
    return {place for parent in (where.memory, where.pids) if parent for place in parent.glob("*/")}


async def joined(box: Box, waiting: Waiting) -> tuple[JobGroup, int]:
    """Wait until a process waits in the groups of the next job; return both."""
    async with asyncio.timeout(60):
        pid = await waiting(box)
        while ahead(box)._group is None or any(pid not in found for found in members(group(box))):
            pid = await waiting(box)
            await asyncio.sleep(0.002)
    return group(box), pid


@pytest.fixture
async def ready(any_box: Box, waiting: Waiting) -> tuple[JobGroup, int]:
    for _ in range(2):  # after the first there are libraries to be loaded, and a new one
        assert (await any_box.run(Job("shell", "true"))).ok
    return await joined(any_box, waiting)


@contextlib.asynccontextmanager
async def running(box: Box, limits: Limits) -> AsyncIterator[int]:
    """Give the pid of a job that runs."""
    [cell] = box._cells.values()
    async with box.talk(Job("shell", "echo up; read line", limits=limits)) as talk:
        assert await anext(aiter(talk)) == b"up\n"
        [pid] = descendants(cell.pid) - {cell.pid}
        yield pid


async def killed(pid: int) -> None:
    handle = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert (await asyncio.to_thread(select.select, [handle], [], [], 60))[0], "it goes on"
    finally:
        os.close(handle)


LIMITS = Limits(wall_s=60, memory_mb=123, processes=17)


def ceilings(found: JobGroup) -> tuple[int, int | None]:
    assert found.memory is not None
    memory = "memory.limit_in_bytes" if found.version == 1 else "memory.max"
    return (
        int((found.memory / memory).read_text()) >> 20,
        int((found.pids / "pids.max").read_text()) if found.pids else None,
    )


async def test_a_job_is_in_its_groups_before_it_begins(any_box: Box, ready: tuple[JobGroup, int]):
    groups, pid = ready
    async with running(any_box, LIMITS) as job:
        assert job == pid
        assert all(found == [pid] for found in members(groups))
        assert ceilings(groups) in {(123, 17), (123, None)}
        assert ahead(any_box)._group is None
    assert not {groups.memory, groups.pids} & made()


async def test_what_one_job_took_is_not_counted_to_the_next(any_box: Box, ready: tuple[JobGroup, int]):
    code = "x = bytearray(150 << 20)"
    assert (await any_box.run(Job("python", code, limits=Limits(memory_mb=300)))).usage.peak_rss >= 150 << 20
    small = await any_box.run(Job("shell", "true", limits=Limits(memory_mb=64)))
    assert small.status is JobStatus.EXIT
    assert small.usage.peak_rss < 64 << 20


async def test_one_that_joined_and_was_killed_leaves_the_groups_to_the_job(any_box: Box, ready: tuple[JobGroup, int]):
    groups, pid = ready
    await killed(pid)
    async with running(any_box, LIMITS) as job:
        assert all(found == [job] for found in members(groups))
        assert ceilings(groups)[0] == 123


async def test_a_job_leaves_groups_that_are_not_its_own(any_box: Box, ready: tuple[JobGroup, int]):
    """Should the ceilings not be taken there, it gets others: what waited must not stay where none are."""
    groups, pid = ready
    ahead(any_box)._group = other = cgroups.fresh()
    assert other is not None
    async with running(any_box, LIMITS) as job:
        assert job == pid
        assert all(found == [pid] for found in members(other))
        assert not any(members(groups))
    groups.remove()
    assert not {groups.memory, groups.pids} & made()


async def test_groups_that_are_gone_are_made_anew(any_box: Box, ready: tuple[JobGroup, int], waiting: Waiting):
    groups, pid = ready
    await killed(pid)
    groups.remove()
    code = "b = [bytearray(1 << 20) for _ in range(200)]"
    job = Job("python", code, limits=Limits(memory_mb=64, wall_s=60))
    assert (await any_box.run(job)).status is JobStatus.OOM
    assert (await joined(any_box, waiting))[0].number > groups.number


async def test_a_box_that_ends_takes_them_along(any_box: Box, ready: tuple[JobGroup, int]):
    groups, _ = ready
    assert {groups.memory, groups.pids} - {None} <= made()
    await any_box.close()
    assert not {groups.memory, groups.pids} & made()


async def test_groups_that_somebody_was_still_in_are_taken_away_with_the_next():
    held = cgroups.fresh()
    assert held is not None
    sleeper = await asyncio.create_subprocess_exec("sleep", "4711")
    for entrance in held.entrances().values():
        os.write(entrance, str(sleeper.pid).encode())
        os.close(entrance)
    held.remove()
    assert {held.memory, held.pids} - {None} <= made()
    sleeper.kill()
    await sleeper.wait()
    after = cgroups.fresh()
    assert after is not None
    assert not {held.memory, held.pids} & made()
    after.remove()
