"""Rung D: the profile as text, and the runner with a stand-in for sandbox-exec, which only starts the program."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

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


def read(text: str) -> list[Any]:
    """Read a profile strictly, as lists, names and `strings`; raise ValueError for anything else."""
    tokens = re.findall(r'"(?:[^"\\\n]|\\["\\])*"|[()]|[a-z*-]+[a-z0-9*-]*|[0-9]+|[^\s]', text)
    forms: list[Any] = []
    open_forms = [forms]
    for token in tokens:
        if token == "(":
            open_forms[-1].append([])
            open_forms.append(open_forms[-1][-1])
        elif token == ")":
            open_forms.pop()
            if not open_forms:
                raise ValueError("a bracket too many")
        elif re.fullmatch(r'[a-z*0-9-]+|".*"', token):
            open_forms[-1].append(token)
        else:
            raise ValueError(f"{token!r} belongs nowhere")
    if len(open_forms) != 1 or any(not isinstance(form, list) for form in forms):
        raise ValueError("a bracket too few, or words outside any")
    return forms


def test_the_whole_profile_says_exactly_this():
    """The profile cannot be tried here. So it is read strictly, each rule is of a known form, and all are listed."""
    forms = read(seatbelt.profile(["/opt/python"], ["/Users/ada/w"]))
    assert forms[:2] == [["version", "1"], ["deny", "default"]]
    rules = {(form[0], *(word for word in form[1:] if isinstance(word, str))): form for form in forms[2:]}
    assert list(rules) == [
        ("allow", "process-fork"),
        ("allow", "process-exec"),
        ("allow", "signal"),
        ("allow", "sysctl-read"),
        ("allow", "file-read-metadata"),
        ("allow", "file-read*"),
        ("allow", "file-read*", "file-write*"),
        ("allow", "file-read*", "file-write-data"),
        ("deny", "file-write-setugid"),
        ("deny", "network*"),
    ]
    filters = [part for form in forms[2:] for part in form[1:] if isinstance(part, list)]
    assert {part[0] for part in filters} == {"target", "literal", "subpath"}
    assert all(part == ["target", "same-sandbox"] or part[1].startswith('"/') for part in filters)
    written = [part[1] for part in rules["allow", "file-read*", "file-write*"][3:]]
    assert written == ['"/Users/ada/w"']
    shown = {part[1] for form in forms if form[1] == "file-read*" and len(form) > 2 for part in form[2:] if part != []}
    assert not {
        place for place in shown if str(place).startswith(('"/Users/ada"', '"/Users"', '"/private/var/folders'))
    }
    assert len(forms) == 13  # of reading there are two: the root itself, and what is named


@pytest.mark.parametrize("text", ["(a", "a)", "(a))", 'x (a "b)', "(a 'b')"])
def test_the_strict_reading_refuses_what_is_no_profile(text: str):
    with pytest.raises(ValueError, match=r"bracket|belongs"):
        read(text)


def test_a_path_cannot_end_its_string():
    hostile = ['/w") (allow default) ("', "/back\\slash", "/(allow default)"]
    forms = read(seatbelt.profile([], hostile))
    assert ["allow", "default"] not in forms
    assert len(forms) == 13
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
