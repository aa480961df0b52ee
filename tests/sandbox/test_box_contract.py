"""What every box promises, on every rung: how jobs end, what they see, what they leave."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import cgroups
from sandbox.api import Job, JobStatus, Limits, SandboxError, ToolCall
from sandbox.boxes import Box


async def test_a_program_prints_and_leaves_a_file(any_box: Box):
    result = await any_box.run(Job("python", "print(6 * 7)\nopen('made.txt', 'w').write('new')"))
    assert result.ok
    assert result.stdout.text == "42\n"
    assert [(c.path, c.change, c.size) for c in result.changes] == [("made.txt", "added", 3)]
    assert result.changes[0].sha256 == "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"


async def test_a_command_runs_in_the_workspace(any_box: Box, folder: Path):
    (folder / "given.txt").write_text("one\ntwo\n")
    result = await any_box.run(Job("shell", "wc -l < given.txt; rm given.txt; exit 3"))
    assert (result.status, result.code, result.stdout.text.strip()) == (JobStatus.EXIT, 3, "2")
    assert [(c.path, c.change) for c in result.changes] == [("given.txt", "deleted")]
    assert not result.ok


async def test_a_traceback_shows_the_programs_own_lines_only(any_box: Box):
    result = await any_box.run(Job("python", "def f():\n    return 1 / 0\n\nf()"))
    assert result.code == 1
    assert 'File "<program>", line 4' in result.stderr.text
    assert "return 1 / 0" in result.stderr.text
    assert "inside.py" not in result.stderr.text


async def test_standard_input_arrives(any_box: Box):
    program = await any_box.run(Job("python", "print(input() + input())", stdin="a\nb\n"))
    command = await any_box.run(Job("shell", "cat", stdin="äö"))
    assert (program.stdout.text, command.stdout.text) == ("ab\n", "äö")


async def test_standard_input_is_empty_when_none_is_given(any_box: Box):
    assert (await any_box.run(Job("shell", "cat; echo end"))).stdout.text == "end\n"


async def test_sys_exit_gives_the_exit_code(any_box: Box):
    assert (await any_box.run(Job("python", "import sys; sys.exit(4)"))).code == 4
    assert (await any_box.run(Job("python", "exit()"))).code == 0


async def test_a_signal_is_reported_as_one(any_box: Box):
    result = await any_box.run(Job("shell", "kill -SEGV $$"))
    assert (result.status, result.code) == (JobStatus.SIGNAL, 11)


async def test_a_timeout_ends_the_job_and_keeps_what_it_printed(any_box: Box):
    job = Job("python", "print('begun')\nwhile True: pass", limits=Limits(wall_s=2))
    result = await any_box.run(job)
    assert result.status is JobStatus.TIMEOUT
    assert result.stdout.text == "begun\n"
    assert result.usage.wall_s < 30


async def test_a_timeout_leaves_the_box_and_its_other_jobs_alone(any_box: Box):
    await any_box.run(Job("shell", "true"))
    [cell] = any_box._cells.values()
    slow = asyncio.create_task(any_box.run(Job("shell", "read x; echo late", stdin="go\n", limits=Limits(wall_s=20))))
    ended = await any_box.run(Job("shell", "sleep 60", limits=Limits(wall_s=0.2)))
    assert ended.status is JobStatus.TIMEOUT
    assert (await slow).stdout.text == "late\n"
    assert list(any_box._cells.values()) == [cell]


async def test_cpu_seconds_are_bounded(any_box: Box):
    result = await any_box.run(Job("python", "while True: pass", limits=Limits(cpu_s=1, wall_s=30)))
    assert result.status is JobStatus.TIMEOUT
    assert "CPU" in result.warnings[0]


async def test_too_much_memory_is_reported_as_such(any_box: Box):
    code = "held = []\nwhile True: held.append(bytearray(8 << 20))"
    result = await any_box.run(Job("python", code, limits=Limits(memory_mb=128, wall_s=30)))
    assert result.status is JobStatus.OOM


async def test_too_many_processes_are_reported_as_such(any_box: Box):
    code = "import os, time\nfor _ in range(60):\n    if os.fork() == 0: time.sleep(20)"
    result = await any_box.run(Job("python", code, limits=Limits(processes=20, wall_s=30)))
    assert result.status is JobStatus.PIDS


@pytest.fixture
def _bounded() -> Iterator[None]:
    """Should the sandbox fail its test, the machine must not go down with it."""
    groups = cgroups.hierarchy()
    if os.getuid() == 0 and (groups is None or groups.pids is None):
        pytest.skip("as root without a process control group nothing would stop a bomb that gets out (fine in CI)")
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    tasks = sum(1 for _ in Path("/proc").glob("[0-9]*/task/*"))
    most = tasks + 400
    resource.setrlimit(resource.RLIMIT_NPROC, (most if soft < 0 else min(most, soft), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))


@pytest.mark.usefixtures("_bounded")
async def test_a_fork_bomb_ends_with_its_job(any_box: Box):
    started = time.monotonic()
    job = Job("shell", "b() { b | b & }; b; sleep 30", limits=Limits(processes=30, wall_s=1))
    result = await any_box.run(job)
    assert result.status in {JobStatus.TIMEOUT, JobStatus.PIDS}
    assert time.monotonic() - started < 25
    assert (await any_box.run(Job("shell", "echo fine"))).stdout.text == "fine\n"


async def test_one_large_file_is_refused(any_box: Box):
    job = Job("python", "open('big', 'wb').write(bytes(3 << 20))", limits=Limits(file_mb=2))
    assert (await any_box.run(job)).status is JobStatus.DISK
    job = Job("shell", "head -c 3000000 /dev/zero > big2", limits=Limits(file_mb=2))
    assert (await any_box.run(job)).status is JobStatus.DISK


async def test_many_files_that_fill_the_disk_end_the_job(any_box: Box):
    code = "import itertools\nfor n in itertools.count(): open(f'f{n}', 'wb').write(bytes(1 << 20))"
    result = await any_box.run(Job("python", code, limits=Limits(disk_mb=8, wall_s=30)))
    assert result.status is JobStatus.DISK


async def test_long_output_keeps_its_ends_and_counts_the_middle(any_box: Box):
    job = Job("python", "print('A' + 'x' * 30_000 + 'Z', end='')", limits=Limits(output_bytes=1000))
    result = await any_box.run(job)
    assert result.ok
    assert result.stdout.head.startswith("Ax")
    assert result.stdout.tail.endswith("xZ")
    assert len(result.stdout.head) + len(result.stdout.tail) + result.stdout.dropped == 30_002


async def test_endless_output_ends_the_job(any_box: Box):
    result = await any_box.run(Job("shell", "yes", limits=Limits(output_bytes=1000, wall_s=30)))
    assert result.status is JobStatus.OUTPUT


async def test_two_jobs_run_at_once(any_box: Box, folder: Path):
    wait_for = (
        "import os,sys,time\nopen('{0}','w').close()\nwhile not os.path.exists('{1}'): time.sleep(0.01)\nprint('{0}')"
    )
    both = await asyncio.gather(
        any_box.run(Job("python", wait_for.format("a", "b"), limits=Limits(wall_s=10))),
        any_box.run(Job("python", wait_for.format("b", "a"), limits=Limits(wall_s=10))),
    )
    assert [result.stdout.text for result in both] == ["a\n", "b\n"]


async def test_random_numbers_differ_between_jobs(any_box: Box):
    job = Job("python", "import random; print(random.random())")
    assert (await any_box.run(job)).stdout.text != (await any_box.run(job)).stdout.text


async def test_a_crashed_box_is_replaced_by_the_next_job(any_box: Box, folder: Path):
    running = asyncio.create_task(any_box.run(Job("shell", "echo > here; sleep 60")))
    while not (folder / "here").exists():
        await asyncio.sleep(0.005)
    [cell] = any_box._cells.values()
    cell.kill()
    crashed = await running
    assert crashed.status is JobStatus.SIGNAL
    assert "sandbox itself ended" in crashed.warnings[0]
    assert (await any_box.run(Job("shell", "echo back"))).stdout.text == "back\n"


async def test_a_workspace_that_was_replaced_is_taken_up(any_box: Box, folder: Path):
    await any_box.run(Job("shell", "touch old"))
    shutil.rmtree(folder)
    result = await any_box.run(Job("shell", "ls; touch new"))
    assert result.stdout.text == ""
    assert [path.name for path in folder.iterdir()] == ["new"]


async def test_an_idle_box_ends_and_comes_back(any_box: Box):
    object.__setattr__(any_box._policy, "idle_s", 0.01)
    await any_box.run(Job("shell", "true"))
    [cell] = any_box._cells.values()
    while cell._outer >= 0:
        await asyncio.sleep(0.005)
    assert any_box._cells == {}
    assert (await any_box.run(Job("shell", "echo back"))).stdout.text == "back\n"


async def test_a_closed_box_says_so(any_box: Box):
    await any_box.close()
    with pytest.raises(SandboxError, match="closed"):
        await any_box.run(Job("shell", "true"))


async def test_a_tool_in_no_shown_folder_is_refused_by_name(any_box: Box):
    call = ToolCall("/elsewhere/thing.py", "f")
    with pytest.raises(SandboxError, match=r"/elsewhere/thing\.py") as caught:
        await any_box.run(Job("tool", tool=call))
    assert "plugin_folders" in caught.value.remedy
