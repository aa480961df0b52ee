"""The way to a server that runs in a session's sandbox."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agent.mcp.cleaning import cleaned
from agent.mcp.fault import Fault
from agent.mcp.streams import LinesIn, LinesOut, Streams
from sandbox.api import Job, JobStatus, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import AppConfig
    from agent.config.mcp import McpServer
    from agent.domain.session import Session
    from sandbox.api import JobResult
    from sandbox.boxes import Boxes

LIFE_SECONDS = 12 * 3600.0
CPU_SECONDS = 3600
SAID = 400
LOGGED = 1 << 18  # what is kept of a log on stderr; the sandbox takes 64 times as much for a flood


def job_of(config: AppConfig, settings: McpServer, secrets: Mapping[str, str]) -> Job:
    """Return the job that a server is. It says first in which folder it runs, on a line of its own."""
    box = config.sandbox
    command = shlex.join(settings.command)
    env = {name: os.environ[name] for name in settings.env if name in os.environ}
    return Job(
        kind="shell",
        code=f'pwd && export npm_config_cache="$TMPDIR/.npm" && exec {command}',  # not among the session's files
        env=env,
        net=settings.network,
        secrets=secrets,
        limits=Limits(
            wall_s=LIFE_SECONDS, cpu_s=CPU_SECONDS, memory_mb=box.memory_mb, disk_mb=box.disk_mb, output_bytes=LOGGED
        ),
    )


@asynccontextmanager
async def inside(boxes: Boxes, session: Session, job: Job, fault: Fault) -> AsyncIterator[Streams]:
    """Start a server and yield the streams to and from it; leaving ends it. Raises SandboxError when it can't start."""
    async with boxes.talk(session.id, session.workspace, job) as talk:
        incoming = LinesIn(talk, fault)
        with contextlib.suppress(StopAsyncIteration):  # it has ended; the first question is told how
            fault.inside = (await incoming.line()).decode("utf-8", "replace").strip()
        try:
            yield incoming, LinesOut(talk)
        finally:
            ended = await talk.end()
            fault.said = cleaned(ended.stderr.text[-SAID * 4 :], SAID * 4)[-SAID:].strip()
            fault.why = fault.why or _ending(ended, fault.said)


def _ending(ended: JobResult, said: str) -> str:
    """Return how a server came to its end, in words; "" when it was we who ended it."""
    if ended.status is JobStatus.CANCELLED:
        return ""
    if ended.status not in {JobStatus.EXIT, JobStatus.SIGNAL} and ended.warnings:
        return ended.warnings[0][:1].lower() + ended.warnings[0][1:].rstrip(".")
    how = f"signal {ended.code}" if ended.status is JobStatus.SIGNAL else f"exit code {ended.code}"
    return f"it ended with {said or f'{how} and said nothing'}"
