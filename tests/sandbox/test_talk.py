"""A job that is spoken with while it runs, on every rung of this machine: what it can do, and what it cannot do to us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.api import Job, JobStatus, Limits, Policy, Rung, SandboxError, Talk, Written
from sandbox.boxes import Box, Boxes
from sandbox.talking import HELD_BYTES

LONG = Limits(wall_s=120)
MARK = str(10_000_000 + os.getpid())  # seconds to sleep, by which the processes of this worker's tests are found
ECHO = "import sys\nfor line in sys.stdin: sys.stdout.write(line.upper()); sys.stdout.flush()\nprint('bye')"


async def heard(talk: Talk, count: int) -> bytes:
    """Return the next `count` bytes."""
    got = b""
    async for data in talk:
        got += data
        if len(got) >= count:
            break
    return got


async def rest(talk: Talk) -> bytes:
    return b"".join([data async for data in talk])


def running(mark: str) -> bool:
    found = b""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += entry.read_bytes()
    return mark.encode() in found


async def test_each_answer_comes_before_the_next_question(any_box: Box):
    async with any_box.talk(Job("python", ECHO, limits=LONG)) as talk:
        for word in (b"one\n", b"two\n", b"three\n"):
            await talk.send(word)
            assert await heard(talk, len(word)) == word.upper()
        result = await talk.end()
        assert await rest(talk) == b"bye\n"
    assert (result.status, result.code) == (JobStatus.EXIT, 0)
    assert result.stdout.text == "ONE\nTWO\nTHREE\nbye\n"


async def test_closing_its_input_lets_it_run_on(any_box: Box):
    async with any_box.talk(Job("shell", "sort; echo done", limits=LONG)) as talk:
        await talk.send(b"b\na\n")
        talk.finish()
        assert await rest(talk) == b"a\nb\ndone\n"
        with pytest.raises(SandboxError, match="reads no more"):
            await talk.send(b"more")


async def test_a_program_can_be_spoken_with_too_and_its_errors_are_told(any_box: Box):
    told: list[Written] = []
    code = "import sys\nprint(input()[::-1], flush=True)\nprint('oops', file=sys.stderr)"
    async with any_box.talk(Job("python", code, limits=LONG), told.append) as talk:
        await talk.send(b"abc\n")
        assert await rest(talk) == b"cba\n"
        assert (await talk.end()).stderr.text == "oops\n"
    assert "".join(piece.text for piece in told if piece.stream == "stderr") == "oops\n"


async def test_nothing_is_left_out_or_changed_in_either_direction(any_box: Box):
    """Far more than the pipes and the queue hold, with every byte there is."""
    sent = bytes(range(256)) * 20_000
    async with any_box.talk(Job("shell", "exec cat", limits=replace(LONG, output_bytes=1000))) as talk:

        async def speak() -> None:
            await talk.send(sent)
            talk.finish()

        speaking = asyncio.create_task(speak())
        assert await rest(talk) == sent
        await speaking


async def test_a_flood_waits_until_it_is_read(any_box: Box):
    """Nobody reads: what it has written stays what the queue and one pipe hold, and it is not ended for it."""
    code = "yes & echo $! > pid; touch up; wait"
    async with any_box.talk(Job("shell", code, limits=replace(LONG, output_bytes=1000))) as talk:
        while talk.held < HELD_BYTES:
            await asyncio.sleep(0.01)
        before = talk.held
        other = await any_box.run(Job("shell", "ls up; sleep 0.3"))
        assert other.stdout.text == "up\n"
        assert talk.held == before < 2 * HELD_BYTES
        for _ in range(100):
            assert await anext(aiter(talk))
        result = await talk.end()
    assert result.status is JobStatus.CANCELLED
    assert result.stdout.text.startswith("y\ny\n")


async def test_who_never_reads_holds_up_only_who_speaks(any_box: Box):
    async with any_box.talk(Job("shell", f"sleep {MARK}", limits=LONG)) as talk:
        speaking = asyncio.create_task(talk.send(bytes(50 << 20)))
        assert (await any_box.run(Job("shell", "echo fine"))).stdout.text == "fine\n"
        assert not speaking.done()
        result = await talk.end()
        with pytest.raises(SandboxError, match="reads no more"):
            await speaking
    assert result.status is JobStatus.CANCELLED
    assert not running(MARK)


async def test_who_closes_its_output_is_still_spoken_with(any_box: Box):
    async with any_box.talk(Job("shell", "exec >&-; read line; echo $line > said", limits=LONG)) as talk:
        await talk.send(b"hello\n")
        assert await rest(talk) == b""
        result = await talk.end()
    assert result.status is JobStatus.EXIT
    assert [(c.path, c.size) for c in result.changes] == [("said", 6)]


async def test_who_closes_its_input_is_heard_to_its_end(any_box: Box):
    async with any_box.talk(
        Job("shell", "exec <&-; echo deaf; until [ -e go ]; do sleep 0.02; done; echo end")
    ) as talk:
        assert await heard(talk, 5) == b"deaf\n"
        with pytest.raises(SandboxError, match="closed its input"):
            await talk.send(b"hello\n")
        assert (await any_box.run(Job("shell", "touch go"))).ok
        assert await rest(talk) == b"end\n"


async def test_daemons_that_hold_its_pipes_end_with_it(any_box: Box):
    code = f"(setsid setsid sleep {MARK} &) ; echo up; read line"
    async with any_box.talk(Job("shell", code, limits=LONG)) as talk:
        assert await heard(talk, 3) == b"up\n"
        await talk.send(b"\n")
        assert await rest(talk) == b""  # ends although a daemon had the pipe
        assert (await talk.end()).status is JobStatus.EXIT
    assert not running(MARK)


async def test_who_does_not_want_to_end_is_killed(any_box: Box):
    code = f"trap '' TERM HUP INT; echo up; while :; do sleep {MARK}; done"
    async with any_box.talk(Job("shell", code, limits=LONG)) as talk:
        assert await heard(talk, 3) == b"up\n"
    assert (await talk.end()).status is JobStatus.CANCELLED
    assert not running(MARK)


async def test_its_time_bounds_its_life(any_box: Box):
    async with any_box.talk(Job("shell", f"echo up; exec sleep {MARK}", limits=Limits(wall_s=1.0))) as talk:
        assert await rest(talk) == b"up\n"
        assert (await talk.end()).status is JobStatus.TIMEOUT
        with pytest.raises(SandboxError, match="has ended"):
            await talk.send(b"x")
    assert not running(MARK)


async def test_its_memory_is_bounded(any_box: Box):
    code = "held = []\nwhile True: held.append(bytearray(8 << 20))"
    async with any_box.talk(Job("python", code, limits=replace(LONG, memory_mb=128))) as talk:
        assert await rest(talk) == b""
        assert (await talk.end()).status is JobStatus.OOM


async def test_an_error_of_who_speaks_kills_it_at_once(any_box: Box):
    async def speak() -> None:
        async with any_box.talk(Job("shell", f"echo up; sleep {MARK}", limits=LONG)) as talk:
            await heard(talk, 3)
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        await speak()
    assert not running(MARK)
    assert not any(cell.busy for cell in any_box._cells.values())


async def test_cancelling_who_speaks_kills_it(any_box: Box):
    up = asyncio.Event()

    async def speak() -> None:
        async with any_box.talk(Job("shell", f"echo up; sleep {MARK}", limits=LONG)) as talk:
            await heard(talk, 3)
            up.set()
            await rest(talk)

    speaking = asyncio.create_task(speak())
    await up.wait()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    assert not running(MARK)


async def test_a_box_that_breaks_ends_the_talk(any_box: Box):
    async with any_box.talk(Job("shell", f"echo up; sleep {MARK}", limits=LONG)) as talk:
        assert await heard(talk, 3) == b"up\n"
        any_box._cells[False].kill()
        assert await rest(talk) == b""
        assert (await talk.end()).status is JobStatus.SIGNAL
    async with asyncio.timeout(60):
        while running(MARK):
            await asyncio.sleep(0.01)


async def test_fifty_talks_leave_no_descriptor(any_box: Box):
    await any_box.run(Job("shell", "true"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        async with any_box.talk(Job("shell", "exec cat", limits=LONG)) as talk:
            await talk.send(b"x")
            assert await heard(talk, 1) == b"x"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_secrets_are_its_own(any_box: Box):
    job = Job("shell", "echo $KEY; read line", secrets={"KEY": "abc"}, limits=LONG)
    async with any_box.talk(job) as talk:
        assert await heard(talk, 4) == b"abc\n"
        other = await any_box.run(Job("shell", "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c abc"))
    assert other.stdout.text == "0\n"


async def test_several_are_spoken_with_at_once_in_a_pools_box_that_stays(tmp_path: Path):
    boxes = Boxes(Policy(warm_processes=0))
    folder = tmp_path / "w"
    async with (
        boxes.talk("s", folder, Job("python", ECHO, limits=LONG)) as one,
        boxes.talk("s", folder, Job("python", ECHO, limits=LONG)) as two,
    ):
        await one.send(b"a\n")
        await two.send(b"b\n")
        boxes._tidy(short=True)
        assert (await heard(one, 2), await heard(two, 2)) == (b"A\n", b"B\n")
        assert boxes.opened() == 1
    await boxes.close()


async def test_a_job_that_is_refused_says_why(folder: Path):
    async with Box("s", folder, Policy(), Rung("E", "nothing", "Install bubblewrap.")) as box:
        for job in (Job("shell", "cat"), Job("python", "print(1)")):
            with pytest.raises(SandboxError, match="Nothing on this machine") as caught:
                async with box.talk(job):
                    pytest.fail("it began")
            assert caught.value.remedy == "Install bubblewrap."


async def test_a_full_workspace_and_a_tool_are_refused(any_box: Box, folder: Path):
    (folder / "big").write_bytes(bytes(2 << 20))
    any_box._policy = Policy(disk_mb=1)
    with pytest.raises(SandboxError, match="full"):
        async with any_box.talk(Job("shell", "cat")):
            pytest.fail("it began")
    for job in (Job("tool"), Job("shell", "cat", stdin="x")):
        with pytest.raises(ValueError, match="spoken with"):
            async with any_box.talk(job):
                pytest.fail("it began")


SPEAKER = """
import asyncio, sys
from pathlib import Path
from sandbox.api import Job, Limits, Policy
from sandbox.boxes import Boxes
async def main():
    async with Boxes().talk("s", Path(sys.argv[1]), Job("shell", "echo up; sleep %s" % sys.argv[2], limits=Limits(wall_s=120))) as talk:
        async for data in talk: print(data.decode(), flush=True)
asyncio.run(main())
"""


@pytest.mark.crash
def test_a_host_that_vanishes_takes_it_along(folder: Path):
    root = Path(__file__).resolve().parents[2]
    host = subprocess.Popen([sys.executable, "-c", SPEAKER, str(folder), MARK], cwd=root, stdout=subprocess.PIPE)
    assert host.stdout is not None
    assert host.stdout.readline() == b"up\n"
    inside: list[int] = []
    while not inside:  # it has said so, and is about to become what it runs
        inside = [int(found.name) for found in Path("/proc").glob("[0-9]*") if _is(found, f"sleep\0{MARK}".encode())]
    handles = [os.pidfd_open(pid) for pid in inside]
    host.send_signal(signal.SIGKILL)
    host.wait()
    host.stdout.close()
    for handle in handles:
        found, _, _ = select.select([handle], [], [], 60)
        assert found, "it outlived its host"
        os.close(handle)


def _is(process: Path, command: bytes) -> bool:
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes().startswith(command)
    return False
