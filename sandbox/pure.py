"""Rung E: plain Python in a restricted interpreter (pydantic-monty), where nothing can wall off a real one.

The interpreter knows no files, no network, no processes and no libraries but its own; it runs in a worker process with
limits on time and memory. Commands, and programs that need more, are refused with the exact remedy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sandbox import values
from sandbox.api import Job, JobResult, JobStatus, JobUsage, Rung, SandboxError
from sandbox.capture import Capture

if TYPE_CHECKING:
    from pydantic_monty import AsyncMonty

    from sandbox.talking import Conversation

WORKERS, PROGRAMS = 2, 100
GRACE_S = 2.0
_PYTHON_TOOL = ("plugins.python", "python")


def program_of(job: Job) -> str | None:
    """Return the Python that a job consists of; None for jobs of another kind."""
    if job.kind == "python":
        return job.code
    if job.tool is not None and (job.tool.source, job.tool.function) == _PYTHON_TOOL:
        code = job.tool.arguments.get("code")
        return code if isinstance(code, str) else None
    return None


class Interpreters:
    """Processes of the interpreter, `most` at once, each replaced after so many `programs`."""

    def __init__(self, most: int, programs: int) -> None:
        self._most, self._programs = most, programs
        self._pool: AsyncMonty | None = None
        self._held = contextlib.AsyncExitStack()
        self._lock = asyncio.Lock()

    async def ready(self) -> AsyncMonty:
        """Return what gives them out; they start with the first program. Raises ImportError without the library."""
        async with self._lock:
            if self._pool is None:
                from pydantic_monty import AsyncMonty

                self._pool = await self._held.enter_async_context(
                    AsyncMonty(min_processes=0, max_processes=self._most, max_checkouts_per_worker=self._programs)
                )
            return self._pool

    async def close(self) -> None:
        """End them; the next program starts others. Closing twice is harmless."""
        async with self._lock:
            self._pool = None
            await self._held.aclose()


class Pure:
    """Runs programs in the restricted interpreter; `close` ends its processes."""

    def __init__(self, rung: Rung) -> None:
        self._rung = rung
        self._interpreters = Interpreters(WORKERS, PROGRAMS)

    async def run(self, job: Job, talk: Conversation | None = None) -> JobResult:
        """Run a program to its end. Raises SandboxError for any other job, or a talk with one, with the remedy."""
        code = program_of(job)
        if code is None or talk is not None:
            what = f"run a {job.kind} job" if talk is None else "run what is spoken with"
            raise SandboxError(f"Nothing on this machine can safely {what}.", remedy=self._rung.remedy)
        try:
            pool = await self._interpreters.ready()
        except ImportError:
            said = "Nothing on this machine can safely run a program."
            raise SandboxError(said, remedy=self._rung.remedy) from None
        out, err = Capture(job.limits.output_bytes), Capture(job.limits.output_bytes)

        def printed(stream: str, text: str) -> None:
            (err if stream == "stderr" else out).feed(text.encode(errors="replace"))

        began = time.monotonic()
        value, problem = None, None
        try:
            async with asyncio.timeout(job.limits.wall_s + GRACE_S):
                value = await _feed(pool, job, code, printed)
        except Exception as error:
            problem = error
        status, said = _ending(problem)
        err.feed(said.encode(errors="replace"))
        used = JobUsage(wall_s=time.monotonic() - began)
        found = JobResult(
            status=status,
            code=int(problem is not None),
            stdout=out.result(),
            stderr=err.result(),
            usage=used,
            rung=self._rung.name,
            warnings=(f"Sandbox rung E: only plain Python runs here. {self._rung.remedy}",),
        )
        return found if job.kind == "python" else _of_tool(found, value)

    async def close(self) -> None:
        """End the processes. Closing twice is harmless."""
        await self._interpreters.close()


async def _feed(pool: AsyncMonty, job: Job, code: str, printed: Any) -> Any:
    limits = job.limits
    bounds: Any = {
        "max_memory": limits.memory_mb << 20,
        "max_feed_duration_secs": min(limits.wall_s, float(limits.cpu_s)),
        "max_total_sleep_secs": limits.wall_s,
    }
    async with pool.checkout(script_name="<program>", limits=bounds) as session:
        inputs: dict[str, Any] | None = {"files": []} if job.kind == "tool" else None
        return await session.feed_run(code, inputs=inputs, print_callback=printed)


def _ending(problem: Exception | None) -> tuple[JobStatus, str]:
    """Return how a program ended and what goes to its error output."""
    if problem is None:
        return JobStatus.EXIT, ""
    from pydantic_monty import MontyCrashedError, MontyRuntimeError, MontySyntaxError

    if isinstance(problem, MontyCrashedError):
        return (JobStatus.TIMEOUT if problem.timed_out else JobStatus.SIGNAL), str(problem)
    if isinstance(problem, (MontyRuntimeError, MontySyntaxError)):
        said = str(problem)
        if said.startswith("TimeoutError: feed time limit"):
            return JobStatus.TIMEOUT, said
        if said.startswith("MemoryError: memory limit"):
            return JobStatus.OOM, said
        return JobStatus.EXIT, f"{problem.display()}\n"
    if isinstance(problem, TimeoutError):
        return JobStatus.TIMEOUT, "It took too long."
    raise problem


def _of_tool(found: JobResult, value: Any) -> JobResult:
    if not found.ok:
        message = found.stderr.text.strip() or f"The program ended with {found.status}."
        hint = f"Only plain Python runs here. {found.warnings[0]}"
        return replace(found, failure={"type": "ToolFailure", "message": message, "hint": hint, "traceback": ""})
    printed = found.stdout.text
    shown = "" if value is None else value if isinstance(value, str) else repr(value)
    text = "\n".join(part for part in (printed.rstrip(), shown) if part)
    return replace(found, value=printed if value is None else values.plain(value), text=text)
