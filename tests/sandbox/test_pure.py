"""Rung E: plain Python in a restricted interpreter; everything else is refused with the remedy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.api import Job, JobStatus, Limits, Policy, Rung, SandboxError, ToolCall
from sandbox.box import Box
from sandbox.held import descendants

E = Rung("E", "nothing safe is available", "Install bubblewrap: apt-get install bubblewrap")


@pytest.fixture
async def pure(folder: Path) -> AsyncIterator[Box]:
    async with Box("s", folder, Policy(), E) as box:
        yield box


async def test_a_program_is_computed(pure: Box):
    code = "def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)\nprint([fib(n) for n in range(10)])"
    result = await pure.run(Job("python", code))
    assert result.ok
    assert result.stdout.text == "[0, 1, 1, 2, 3, 5, 8, 13, 21, 34]\n"
    assert result.rung == "E"
    assert "apt-get install bubblewrap" in result.warnings[0]


async def test_the_python_tool_works_too(pure: Box):
    call = ToolCall("plugins.python", "python", {"code": "print('sum')\nsum(range(101))", "files": []})
    result = await pure.run(Job("tool", tool=call))
    assert (result.value, result.text) == (5050, "sum\n5050")
    failed = await pure.run(Job("tool", tool=ToolCall("plugins.python", "python", {"code": "import pandas"})))
    assert failed.failure is not None
    assert "pandas" in failed.failure["message"]
    assert "apt-get install bubblewrap" in failed.failure["hint"]


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "import os\nos.listdir('/')",
        "from pathlib import Path\nPath('/etc/passwd').read_text()",
        "import os\nos.system('true')",
        "import subprocess",
        "import socket",
        "import ctypes",
        "__import__('os').environ['HOME']",
        "().__class__.__base__.__subclasses__()",
        "(lambda: 0).__globals__",
        "eval('open('/etc/passwd')')",
        "import importlib",
    ],
)
async def test_nothing_outside_is_reached(pure: Box, code: str):
    result = await pure.run(Job("python", code))
    assert (result.status, result.code) == (JobStatus.EXIT, 1)
    assert "Error" in result.stderr.text


async def test_the_environment_is_empty(pure: Box, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN", "canary-4713")
    result = await pure.run(Job("python", "import os\nprint(os.environ)"))
    assert "canary-4713" not in result.stdout.text + result.stderr.text


async def test_time_and_memory_and_output_are_bounded(pure: Box):
    endless = await pure.run(Job("python", "while True: pass", limits=Limits(wall_s=0.3)))
    assert endless.status is JobStatus.TIMEOUT
    greedy = await pure.run(Job("python", "x = []\nwhile True: x.append('a' * 1_000_000)", limits=Limits(memory_mb=64)))
    assert greedy.status is JobStatus.OOM
    loud = await pure.run(Job("python", "print('x' * 30_000)", limits=Limits(output_bytes=1000)))
    assert loud.stdout.dropped == 29_001
    assert (await pure.run(Job("python", "print(1)"))).stdout.text == "1\n"


async def test_a_mistake_is_shown_with_its_line(pure: Box):
    result = await pure.run(Job("python", "x = 1\nx / 0"))
    assert "line 2" in result.stderr.text
    assert "ZeroDivisionError" in result.stderr.text
    assert "SyntaxError" in (await pure.run(Job("python", "x ="))).stderr.text


@pytest.mark.parametrize("job", [Job("shell", "true"), Job("tool", tool=ToolCall("plugins.files", "list_files"))])
async def test_everything_else_is_refused_with_the_remedy(pure: Box, job: Job):
    with pytest.raises(SandboxError) as caught:
        await pure.run(job)
    assert caught.value.remedy == E.remedy


async def test_a_cancelled_program_leaves_no_process(folder: Path):
    import os

    before = descendants(os.getpid())
    async with Box("s", folder, Policy(), E) as box:
        await box.run(Job("python", "1"))
        running = asyncio.create_task(box.run(Job("python", "while True: pass", limits=Limits(wall_s=600))))
        while descendants(os.getpid()) == before:
            await asyncio.sleep(0)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    async with asyncio.timeout(60):
        while descendants(os.getpid()) - before:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("said", "cost"),
    [(0.5, 0.5), (2, 2.0), (None, None), ("0.5", None), (-1, None), (True, None), (float("nan"), None)],
)
def test_a_tool_reports_money_or_nothing(said, cost):
    from sandbox.results import _dollars

    assert _dollars(said) == cost
