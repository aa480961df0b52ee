"""A job in a sidecar is spoken with over the socket that all requests share, and neither end can flood the other."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import relay, wire
from sandbox.api import Job, JobStatus, Limits, Policy, SandboxError, Talk
from sandbox.boxes import Boxes

REPOSITORY = Path(__file__).resolve().parents[2]
LONG = Limits(wall_s=120)


@pytest.fixture
async def boxes(tmp_path: Path) -> AsyncIterator[Boxes]:
    (tmp_path / "sessions").mkdir()
    path = tmp_path / "s.sock"
    command = [sys.executable, "-m", "sandbox.sidecar", "--socket", str(path), "--root", str(tmp_path / "sessions")]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.01)
    pool = Boxes(Policy(sidecar=path))
    yield pool
    await pool.close()
    process.terminate()
    assert process.wait(100) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions" / "w"


async def rest(talk: Talk) -> bytes:
    return b"".join([data async for data in talk])


def running(mark: str) -> bool:
    found = b""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += entry.read_bytes()
    return mark.encode() in found


async def test_questions_and_answers_go_through(boxes: Boxes, folder: Path):
    code = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)\nprint('bye')"
    async with boxes.talk("s", folder, Job("python", code, limits=LONG)) as talk:
        for word in (b"one", b"two"):
            await talk.send(word + b"\n")
            assert await anext(aiter(talk)) == word[::-1] + b"\n"
        talk.finish()
        assert await rest(talk) == b"bye\n"
        result = await talk.end()
    assert (result.status, result.code, result.rung) == (JobStatus.EXIT, 0, "B")


async def test_megabytes_go_both_ways_whole_while_other_jobs_run(boxes: Boxes, folder: Path):
    sent = bytes(range(256)) * 10_000
    async with boxes.talk("s", folder, Job("shell", "exec cat", limits=LONG)) as talk:

        async def speak() -> None:
            await talk.send(sent)
            talk.finish()

        speaking = asyncio.create_task(speak())
        assert (await boxes.run("s", folder, Job("shell", "echo beside"))).stdout.text == "beside\n"
        assert await rest(talk) == sent
        await speaking


async def test_what_nobody_reads_and_who_never_reads_hold_up_nobody_else(boxes: Boxes, folder: Path):
    async with (
        boxes.talk("s", folder, Job("shell", "exec yes", limits=LONG)) as flood,
        boxes.talk("s", folder, Job("shell", "sleep 4741", limits=LONG)) as silent,
    ):
        speaking = asyncio.create_task(silent.send(bytes(8 << 20)))
        while flood.held <= relay.WINDOW - relay.PIECE:  # the next piece has no room
            await asyncio.sleep(0.01)
        assert (await boxes.run("s", folder, Job("shell", "sleep 0.3; echo beside"))).stdout.text == "beside\n"
        assert flood.held <= relay.WINDOW
        assert not speaking.done()
        ended = await asyncio.gather(flood.end(), silent.end())
        with pytest.raises(SandboxError, match="reads no more"):
            await speaking
    assert [found.status for found in ended] == [JobStatus.CANCELLED] * 2
    assert not running("4741")


async def test_who_closes_its_input_is_heard_to_its_end(boxes: Boxes, folder: Path):
    code = "exec <&-; echo deaf; until [ -e go ]; do sleep 0.02; done; echo end"
    async with boxes.talk("s", folder, Job("shell", code, limits=LONG)) as talk:
        assert await anext(aiter(talk)) == b"deaf\n"
        with pytest.raises(SandboxError, match="closed its input"):
            await talk.send(bytes(16 << 20))  # what was on its way already is not told of
        (folder / "go").touch()
        assert await rest(talk) == b"end\n"


async def test_cancelling_kills_it_there(boxes: Boxes, folder: Path):
    up = asyncio.Event()

    async def speak() -> None:
        async with boxes.talk("s", folder, Job("shell", "echo up; sleep 4742", limits=LONG)) as talk:
            await anext(aiter(talk))
            up.set()
            await rest(talk)

    speaking = asyncio.create_task(speak())
    await up.wait()
    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await speaking
    assert not running("4742")


async def test_a_refusal_comes_with_its_remedy(boxes: Boxes, tmp_path: Path):
    with pytest.raises(SandboxError, match="not below") as caught:
        async with boxes.talk("s", tmp_path / "elsewhere", Job("shell", "cat")):
            pytest.fail("it began")
    assert "--root" in caught.value.remedy


async def test_a_connection_that_breaks_is_told_to_who_speaks(boxes: Boxes, folder: Path):
    async with boxes.talk("s", folder, Job("shell", "echo up; sleep 4743", limits=LONG)) as talk:
        assert await anext(aiter(talk)) == b"up\n"
        assert boxes._sidecar is not None
        await boxes._sidecar.close()
        with pytest.raises(SandboxError, match="gone"):
            await rest(talk)
        with pytest.raises(SandboxError):
            await talk.send(b"x")
    async with asyncio.timeout(60):
        while running("4743"):
            await asyncio.sleep(0.01)


class Said:
    """Collects the messages of one end."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def __call__(self, **fields: Any) -> None:
        self.all.append(fields)


@pytest.mark.parametrize(
    "odd",
    [
        {"heard": "no base64!"},
        {"heard": relay._text(bytes(relay.WINDOW + 1))},
        {"room": 1},
        {"room": -1},
        {"room": "many"},
    ],
)
async def test_a_sidecar_that_breaks_the_rules_is_not_believed(odd: dict[str, Any]):
    line = relay.Line(relay.Conversation(), Said())
    with pytest.raises(wire.Broken):
        line.hear(odd)


@pytest.mark.parametrize(
    "odd",
    [
        {"op": "input", "data": "no base64!"},
        {"op": "input", "data": relay._text(bytes(relay.WINDOW + 1))},
        {"op": "room", "count": 1},
        {"op": "dance"},
    ],
)
async def test_an_agent_that_breaks_the_rules_is_not_believed(odd: dict[str, Any]):
    with pytest.raises(wire.Broken):
        relay.Relay(Said()).take(odd)
