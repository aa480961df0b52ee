"""Rung B: jobs run in a sidecar, a process of its own that is asked over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import remote, wire
from sandbox.api import (
    Connection,
    Job,
    JobStatus,
    Limits,
    Policy,
    Progress,
    SandboxError,
    SandboxGone,
    ToolCall,
    Written,
)
from sandbox.boxes import Boxes, open_sandbox, rung_of
from sandbox.session import Session

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    (tmp_path / "sessions").mkdir()
    return tmp_path / "sessions"


@contextlib.contextmanager
def sidecar(path: Path, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "sandbox.sidecar", "--socket", str(path), "--root", str(root)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(100) == 0


async def is_there(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.01)


@pytest.fixture
async def policy(tmp_path: Path, sessions: Path) -> AsyncIterator[Policy]:
    path = tmp_path / "sidecar.sock"
    with sidecar(path, sessions):
        await is_there(path)
        yield Policy(sidecar=path)


async def test_jobs_run_there_and_their_files_are_here(policy: Policy, sessions: Path):
    boxes = Boxes(policy)
    rung = await boxes.rung()
    assert (rung.name, rung.safe) == ("B", True)
    workspace = sessions / "one" / "workspace"
    result = await boxes.run("one", workspace, Job("shell", "echo out; echo err >&2; echo made > made.txt; exit 3"))
    assert (result.status, result.code, result.rung) == (JobStatus.EXIT, 3, "B")
    assert (result.stdout.text, result.stderr.text) == ("out\n", "err\n")
    assert [(c.path, c.change) for c in result.changes] == [("made.txt", "added")]
    assert (workspace / "made.txt").read_text() == "made\n"
    both = [boxes.run("one", workspace, Job("python", f"print({n})")) for n in range(4)]
    assert [r.stdout.text for r in await asyncio.gather(*both)] == ["0\n", "1\n", "2\n", "3\n"]
    await boxes.close()


async def test_tools_and_their_progress_come_through(policy: Policy, sessions: Path, tmp_path: Path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "p.py").write_text(
        '"""P."""\nfrom plugins.api import Context, tool\n@tool\ndef work(ctx: Context, n: int) -> dict:\n'
        '    """Work."""\n    ctx.progress("half", 1, 2)\n    return {"n": n, "key": ctx.secret("KEY")}\n'
    )
    given = Policy(sidecar=policy.sidecar, plugin_folders=(plugins,))
    call = ToolCall(str(plugins / "p.py"), "work", {"n": 2}, wants_context=True)
    async with await open_sandbox("s", sessions / "w", given) as box:
        seen = [item async for item in box.stream(Job("tool", tool=call, secrets={"KEY": "abc"}))]
    assert seen[0] == Progress("half", 1, 2)
    assert seen[-1].value == {"n": 2, "key": "abc"}


async def test_what_a_job_writes_and_reaches_is_told_while_it_runs(policy: Policy, sessions: Path):
    told: list[Connection] = []
    given = replace(policy, allow_hosts=("*:*",), on_connection=told.append)
    code = (
        "import urllib.request as r\ntry: r.urlopen('http://10.1.2.3:81/')\nexcept OSError: print('kept', flush=True)\n"
        "open('go').read(); print('on')"
    )
    (sessions / "w").mkdir()
    os.mkfifo(sessions / "w" / "go")
    async with await open_sandbox("s", sessions / "w", given) as box:
        seen = ""
        async for item in box.stream(Job("python", code, run="r-1", step="s1", limits=Limits(wall_s=60))):
            seen += item.text if isinstance(item, Written) else ""
            if seen == "kept\n" and isinstance(item, Written):
                assert [(c.host, c.port, c.network, c.allowed, c.run, c.step) for c in told] == [
                    ("10.1.2.3", 81, "private", False, "r-1", "s1")
                ]
                await asyncio.to_thread((sessions / "w" / "go").write_text, "")
    assert seen == "kept\non\n"


async def test_what_the_owner_has_set_holds_there(policy: Policy, sessions: Path, tmp_path: Path):
    (tmp_path / "shown.txt").write_text("shown")
    given = replace(policy, read_only=(tmp_path / "shown.txt", tmp_path / "missing"), disk_mb=8, users=0)
    async with await open_sandbox("s", sessions / "w", given) as box:
        read = await box.run(Job("python", f"print(open({str(tmp_path / 'shown.txt')!r}).read())"))
        assert read.stdout.text == "shown\n", read.stderr.text
        assert (await box.run(Job("shell", "id -u"))).stdout.text == "1000\n"
        full = await box.run(Job("shell", "for n in 1 2 3; do head -c 4000000 /dev/zero > $n; done; sleep 20"))
        assert full.status is JobStatus.DISK


async def test_the_boxes_of_an_agent_end_with_its_connection(policy: Policy, sessions: Path):
    box = await open_sandbox("s", sessions / "w", policy)
    assert (await box.run(Job("shell", "echo kept > /tmp/kept"))).ok
    await box._sidecar.close()
    assert not (await box.run(Job("shell", "cat /tmp/kept"))).ok
    await box.close()


async def test_cancelling_ends_the_job_there(policy: Policy, sessions: Path):
    async with await open_sandbox("s", sessions / "w", policy) as box:
        running = asyncio.create_task(box.run(Job("shell", "echo $$ > up; sleep 4712; echo > late")))
        await is_there(sessions / "w" / "up")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert b"4712" not in b"".join(_command_lines())
        assert (await box.run(Job("shell", "ls"))).stdout.text == "up\n"


async def test_an_agent_that_dies_leaves_no_job_there(policy: Policy, sessions: Path):
    box = await open_sandbox("s", sessions / "w", policy)
    running = asyncio.create_task(box.run(Job("shell", "echo > up; sleep 4713")))
    await is_there(sessions / "w" / "up")
    await box._sidecar.close()
    with pytest.raises(SandboxError, match="gone"):
        await running
    async with asyncio.timeout(60):
        while b"4713" in b"".join(_command_lines()):
            await asyncio.sleep(0.01)


def _command_lines() -> Iterator[bytes]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield entry.read_bytes()


async def test_a_workspace_elsewhere_is_refused(policy: Policy, tmp_path: Path, sessions: Path):
    for elsewhere in (tmp_path / "elsewhere", sessions / ".." / "elsewhere", sessions):
        async with await open_sandbox("s", elsewhere, policy) as box:
            with pytest.raises(SandboxError, match="not below") as caught:
                await box.run(Job("shell", "true"))
        assert "--root" in caught.value.remedy


async def test_limits_hold_there(policy: Policy, sessions: Path):
    async with await open_sandbox("s", sessions / "w", policy) as box:
        assert (await box.run(Job("shell", "sleep 60", limits=Limits(wall_s=0.3)))).status is JobStatus.TIMEOUT
        too_much = "held = []\nwhile True: held.append(bytearray(8 << 20))"
        assert (await box.run(Job("python", too_much, limits=Limits(memory_mb=128)))).status is JobStatus.OOM


async def test_without_its_sidecar_nothing_runs_less_safely(tmp_path: Path):
    missing = Policy(sidecar=tmp_path / "missing.sock")
    with pytest.raises(SandboxError, match=r"missing\.sock") as caught:
        await rung_of(missing)
    assert "python -m sandbox.sidecar" in caught.value.remedy
    async with await open_sandbox("s", tmp_path / "w", missing) as box:
        with pytest.raises(SandboxError, match="No sidecar answers"):
            await box.run(Job("shell", "true"))


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_sidecar_that_ends_and_comes_back_is_waited_for(tmp_path: Path, sessions: Path, number: int):
    path = tmp_path / "s.sock"
    command = [sys.executable, "-m", "sandbox.sidecar", "--socket", str(path), "--root", str(sessions)]
    first = subprocess.Popen(command, cwd=REPOSITORY)
    await is_there(path)
    box = await open_sandbox("s", sessions / "w", Policy(sidecar=path))
    running = asyncio.create_task(box.run(Job("shell", "echo > up; sleep 4714")))
    await is_there(sessions / "w" / "up")
    first.send_signal(number)
    await asyncio.to_thread(first.wait)
    with pytest.raises(SandboxGone, match="gone"):
        await running
    path.unlink(missing_ok=True)
    asked = asyncio.create_task(box.run(Job("shell", "echo back")))
    with sidecar(path, sessions):
        assert (await asked).stdout.text == "back\n"
        await box.close()


async def noticed(box: Session) -> None:
    """Wait until the box has seen that its sidecar is gone."""
    assert isinstance(box, remote.RemoteBox)
    async with asyncio.timeout(60):
        while box._sidecar.connected:
            await asyncio.sleep(0.01)


async def test_a_box_whose_sidecar_is_gone_is_closed_at_once(tmp_path: Path, sessions: Path):
    path = tmp_path / "s.sock"
    with sidecar(path, sessions):
        await is_there(path)
        box = await open_sandbox("s", sessions / "w", Policy(sidecar=path))
        await box.run(Job("shell", "true"))
    await noticed(box)
    async with asyncio.timeout(remote.HELLO_S / 2):
        await box.close()


async def test_one_that_stays_away_is_not_waited_for_without_end(
    tmp_path: Path, sessions: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "s.sock"
    with sidecar(path, sessions):
        await is_there(path)
        box = await open_sandbox("s", sessions / "w", Policy(sidecar=path))
        await box.run(Job("shell", "true"))
        monkeypatch.setattr(remote, "RETURN_S", 0.0)
    await noticed(box)
    with pytest.raises(SandboxError, match="No sidecar answers"):
        await box.run(Job("shell", "true"))
    await box.close()


async def test_the_socket_is_for_its_owner_and_group_only(policy: Policy):
    assert policy.sidecar is not None
    assert policy.sidecar.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02no",
        b"\x00\x00\x00\x02[]",
        struct.pack(">I", 13) + b'{"op": "run"}',
        b"\x00\x00",
    ],
)
async def test_what_is_no_message_ends_that_connection_only(policy: Policy, sessions: Path, raw: bytes):
    reader, writer = await asyncio.open_unix_connection(policy.sidecar)
    await wire.read(reader)
    writer.write(raw)
    writer.write_eof()
    assert await wire.read(reader) is None
    writer.close()
    async with await open_sandbox("s", sessions / "w", policy) as box:
        assert (await box.run(Job("shell", "true"))).ok


@pytest.mark.parametrize(
    "request_",
    [
        {"id": 1, "op": "run", "job": {"kind": "nonsense"}},
        {"id": 1, "op": "run", "job": 7},
        {"id": 1, "op": "fly"},
        {"id": 1, "op": "run", "job": {"kind": "tool"}},
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_by_itself(policy: Policy, sessions: Path, request_: dict):
    reader, writer = await asyncio.open_unix_connection(policy.sidecar)
    await wire.read(reader)
    body = json.dumps({"session": "s", "workspace": str(sessions / "w"), **request_}).encode()
    writer.write(struct.pack(">I", len(body)) + body)
    answer = await wire.read(reader)
    assert answer is not None
    assert answer["id"] == 1
    assert answer["refusal"]
    writer.close()


async def test_a_sidecar_that_lies_about_its_results_is_not_believed(tmp_path: Path):
    path = tmp_path / "liar.sock"

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(wire.message(hello=wire.VERSION, rung={"stance": "none"}))
        asked = await wire.read(reader)
        assert asked is not None
        writer.write(wire.message(id=asked["id"], result={"status": "splendid", "changes": 7}))
        await writer.drain()
        await wire.read(reader)
        writer.close()

    server = await asyncio.start_unix_server(lie, path)
    async with server, await open_sandbox("s", tmp_path / "w", Policy(sidecar=path)) as box:
        with pytest.raises(SandboxError, match="no JobResult"):
            await box.run(Job("shell", "true"))


def test_without_walls_of_its_own_a_sidecar_starts_only_when_told_to(tmp_path: Path):
    program = (
        "from sandbox import landlock, layout, sidecar\nlandlock.abi = lambda: 0\n"
        "layout.find_bubblewrap = lambda: None\nsidecar.main()"
    )
    command = [sys.executable, "-c", program, "--socket", str(tmp_path / "s"), "--root", str(tmp_path)]
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=200)
    assert answer.returncode == 1
    assert "--contained" in answer.stderr
    assert not (tmp_path / "s").exists()
