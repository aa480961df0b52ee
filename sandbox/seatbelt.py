"""Rung D: macOS, where `sandbox-exec` puts a profile on a process. Each job is one of its own; none stays warm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import layout, orders, results
from sandbox.running import Running
from sandbox.session import Session
from sandbox.temporary import Temporary
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.api import Job, JobResult, Policy, Progress, Rung, Written
    from sandbox.talking import Conversation

PROGRAM = "sandbox-exec"
LOOK_EVERY_S = 0.1
# What every program on macOS needs before its first line runs.
_SYSTEM = (
    *("/System", "/Library/Frameworks", "/usr", "/bin", "/sbin", "/dev", "/private/etc/ssl", "/private/etc/localtime"),
    *("/private/var/db/timezone", "/private/var/db/dyld", "/opt/homebrew", "/Library/Developer/CommandLineTools"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/dtracehelper")


def available() -> bool:
    """Tell whether this is a system that has it."""
    return sys.platform == "darwin" and shutil.which(PROGRAM) is not None


def profile(readable: Iterable[str], writable: Iterable[str]) -> str:
    """Return the profile: nothing but reading what is named, writing where it is named, and processes of its own.

    Paths must be real ones: the kernel compares them after links are resolved.
    """
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork)",
        "(allow process-exec)",
        "(allow signal (target same-sandbox))",
        "(allow sysctl-read)",
        "(allow file-read-metadata)",
        '(allow file-read* (literal "/"))',
        f"(allow file-read* {_paths('subpath', (*_SYSTEM, *readable))})",
        f"(allow file-read* file-write* {_paths('subpath', writable)})",
        f"(allow file-read* file-write-data {_paths('literal', _DEVICES)})",
        "(deny file-write-setugid)",
        "(deny network*)",
    ]
    return "\n".join(lines) + "\n"


def _paths(kind: str, paths: Iterable[str]) -> str:
    return " ".join(f"({kind} {_quoted(path)})" for path in dict.fromkeys(paths))


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


class SeatbeltBox(Session):
    """A session's box on macOS."""

    def __init__(self, workspace: Path, policy: Policy, rung: Rung) -> None:
        self.rung = rung
        self._policy = policy
        self._workspace = Workspace(workspace.absolute())
        self._temporary = Temporary("box-")
        self._running: set[int] = set()

    async def warm(self, *, data: bool = False) -> None:
        """Nothing stays warm here."""

    async def close(self) -> None:
        """Kill what still runs and remove the temporary files. Closing twice is harmless."""
        for group in self._running:
            _end(group)
        self._workspace.close()
        self._temporary.close()

    async def run(
        self,
        job: Job,
        on_progress: Callable[[Progress], None] | None = None,
        on_output: Callable[[Written], None] | None = None,
        talk: Conversation | None = None,
    ) -> JobResult:
        """Run a job to its end. Raises SandboxError when its plugin is in no folder that is shown."""
        if job.net:
            return results.refused("This needs the network, which is off in the sandbox of macOS.", self.rung)
        launch = layout.cold(self._workspace.root, self._temporary.path, self._policy)
        before = await asyncio.to_thread(self._workspace.snapshot)
        struck: list[str] = []
        running = Running(job.limits, struck.append, on_progress, on_output, talk)
        began = time.monotonic()
        outcome = running.outcome
        try:
            outcome.status = await self._process(job, launch, running, struck)
        finally:
            running.finish()
        outcome.cause, outcome.wall = next(iter(struck), ""), time.monotonic() - began
        after = await asyncio.to_thread(self._workspace.snapshot)
        changes = await asyncio.to_thread(self._workspace.diff, before, after)
        over = after.used > before.used + (job.limits.disk_mb << 20)
        return results.result(job, outcome, None, changes, self.rung, over_disk=over, complete=after.complete)

    async def _process(self, job: Job, launch: layout.Launch, running: Running, struck: list[str]) -> int:
        """Start the process, wait for it within its time, end what it leaves; return its status as from wait()."""
        with contextlib.ExitStack() as opened, tempfile.TemporaryFile() as request:
            stdin = _input(running, job.stdin.encode())
            opened.callback(os.close, stdin)
            request.write(orders.order(job, launch, {}, grouped=True))
            request.seek(0)
            events = running.pipes["events"].write
            settings = {**launch.settings, "request": request.fileno(), "events": events}
            process = await asyncio.create_subprocess_exec(
                *self._command(launch, settings),
                stdin=stdin,
                stdout=running.pipes["out"].write,
                stderr=running.pipes["err"].write,
                pass_fds=(request.fileno(), events),
                env=dict(launch.env),
                cwd=launch.workdir,
                start_new_session=True,
            )
        self._running.add(process.pid)
        for pipe in running.pipes.values():
            pipe.handed_over()
        running.began()
        ended = asyncio.create_task(process.wait())
        deadline = time.monotonic() + job.limits.wall_s
        try:
            while not ended.done() and not struck:
                await asyncio.wait({ended}, timeout=LOOK_EVERY_S)
                if not ended.done() and time.monotonic() > deadline:
                    struck.append("timeout")
        finally:
            _end(process.pid)
            self._running.discard(process.pid)
            code = await ended
        return -code if code < 0 else code << 8

    def _command(self, launch: layout.Launch, settings: dict[str, object]) -> list[str]:
        real = [os.path.realpath(path) for path in launch.settings["readable"]]
        writable = [os.path.realpath(path) for path in launch.settings["writable"]]
        return [PROGRAM, "-p", profile(real, writable), *launch.argv, json.dumps(settings)]


def _input(running: Running, stdin: bytes) -> int:
    """Return a descriptor of what the job is to read; the caller closes it."""
    if (source := running.source(b"")) >= 0:
        return source
    with tempfile.TemporaryFile() as file:
        file.write(stdin)
        file.seek(0)
        return os.dup(file.fileno())


def _end(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
