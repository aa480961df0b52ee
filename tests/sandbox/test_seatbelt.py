"""Rung D: the profile as text, and the runner with a stand-in for sandbox-exec, which only starts the program."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox import seatbelt
from sandbox.api import Job, JobStatus, Limits, Policy, Progress, Rung, ToolCall
from sandbox.boxes import box_of
from sandbox.session import Session

D = Rung("D", "sandbox-exec")


def test_the_profile_denies_all_but_what_it_names():
    text = seatbelt.profile(["/opt/python"], ["/Users/ada/w", "/tmp/t"])
    lines = text.splitlines()
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert lines[-2:] == ["(deny file-write-setugid)", "(deny network*)"]
    assert '(allow file-read* file-write* (subpath "/Users/ada/w") (subpath "/tmp/t"))' in lines
    assert [line for line in lines if "file-write*" in line and "allow" in line] == [
        '(allow file-read* file-write* (subpath "/Users/ada/w") (subpath "/tmp/t"))'
    ]
    assert '(subpath "/opt/python")' in text
    assert '/Users/ada"' not in text
    assert "mach-lookup" not in text
    assert text.count("(") == text.count(")")


def test_a_path_cannot_end_its_string():
    text = seatbelt.profile([], ['/w") (allow default) ("', "/back\\slash"])
    assert '(subpath "/w\\") (allow default) (\\"")' in text
    assert '(subpath "/back\\\\slash")' in text


def test_it_is_chosen_on_macos_only(monkeypatch: pytest.MonkeyPatch):
    assert seatbelt.available() is (sys.platform == "darwin")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PATH", "/nowhere")
    assert not seatbelt.available()


@pytest.fixture
async def box(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Session]:
    program = tmp_path / "bin" / "sandbox-exec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ntest "$1" = -p || exit 99\necho "$2" > {tmp_path}/profile\nshift 2\nexec "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(seatbelt, "PROGRAM", str(program))
    async with box_of("s", folder, Policy(plugin_folders=(tmp_path / "plugins",)), D) as opened:
        yield opened


async def test_programs_and_commands_run_and_their_files_are_found(box: Session, tmp_path: Path, folder: Path):
    program = await box.run(Job("python", "print(input())\nopen('made', 'w').write('x')", stdin="hello\n"))
    assert (program.status, program.stdout.text, program.rung) == (JobStatus.EXIT, "hello\n", "D")
    assert [(c.path, c.change) for c in program.changes] == [("made", "added")]
    command = await box.run(Job("shell", "cat made; echo err >&2; exit 4"))
    assert (command.code, command.stdout.text, command.stderr.text) == (4, "x", "err\n")
    assert f'(subpath "{folder}")' in (tmp_path / "profile").read_text()


async def test_tools_report_and_return(box: Session, tmp_path: Path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "p.py").write_text(
        '"""P."""\nfrom plugins.api import Context, tool\n@tool\ndef work(ctx: Context, n: int) -> int:\n'
        '    """Work."""\n    ctx.progress("half")\n    return n + 1\n'
    )
    call = ToolCall(str(tmp_path / "plugins" / "p.py"), "work", {"n": 1}, wants_context=True)
    seen = [item async for item in box.stream(Job("tool", tool=call))]
    assert seen[0] == Progress("half", None, None)
    assert seen[-1].value == 2


async def test_limits_hold_and_daemons_end(box: Session):
    slow = await box.run(Job("shell", "sleep 4715 & sleep 4715", limits=Limits(wall_s=0.3)))
    assert slow.status is JobStatus.TIMEOUT
    loud = await box.run(Job("shell", "yes", limits=Limits(output_bytes=1000)))
    assert loud.status is JobStatus.OUTPUT
    large = await box.run(Job("python", "open('b', 'wb').write(bytes(9 << 20))", limits=Limits(file_mb=2)))
    assert large.status is JobStatus.DISK
    assert (await box.run(Job("shell", "pgrep -f 'sleep 471[5]' | wc -l"))).stdout.text.strip() == "0"


async def test_a_cancelled_job_ends(box: Session, folder: Path):
    running = asyncio.create_task(box.run(Job("shell", "echo > up; sleep 60")))
    while not (folder / "up").exists():
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await box.run(Job("shell", "echo fine"))).stdout.text == "fine\n"


async def test_the_network_is_off(box: Session):
    result = await box.run(Job("shell", "true", net=("a.test:443",)))
    assert result.status is JobStatus.REFUSED


async def test_a_job_is_spoken_with(box: Session):
    async with box.talk(Job("shell", "read line; echo $line; exec cat", limits=Limits(wall_s=60))) as talk:
        await talk.send(b"hello\n")
        assert await anext(aiter(talk)) == b"hello\n"
        await talk.send(b"end")
        assert (await talk.end()).stdout.text == "hello\nend"
