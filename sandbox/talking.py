"""A job that is spoken with while it runs: bytes to its standard input, bytes from its standard output.

`Conversation` is what the caller holds (`sandbox.api.Talk`); a `Line` is its way to the job: pipes here (`Pipes`), the
sidecar's socket elsewhere (`sandbox.relay`). Both ways hold back who is faster than the other: nothing piles up.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from sandbox.api import Job, JobResult, JobStatus, SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

HELD_BYTES = 1 << 18
GRACE_S = 2.0


def deaf() -> SandboxError:
    """Return the error for whoever speaks to a job that hears nothing."""
    return SandboxError("The job in the sandbox reads no more: it has ended, or closed its input.")


def checked(job: Job) -> Job:
    """Return a job that can be spoken with; raise ValueError for another."""
    if job.kind == "tool" or job.stdin:
        raise ValueError("only commands and programs are spoken with, and `send` is how they get their input")
    return job


class Line(Protocol):
    """The way to a running job."""

    async def write(self, data: bytes) -> None:
        """Bring data to its input; raise SandboxError when nothing there reads any more."""

    def finish(self) -> None:
        """Close its input."""

    def took(self, count: int, held: int) -> None:
        """Hear that `count` bytes of its output were taken and `held` still wait."""

    def strike(self) -> None:
        """Kill the job."""


class Conversation:
    """The caller's end. `running` is the task that runs the job, which calls `begin` and `hear`."""

    def __init__(self) -> None:
        self.held = 0
        self._chunks: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._sending = asyncio.Lock()
        self._line: Line | None = None
        self._running: asyncio.Task[JobResult] | None = None

    # -- whoever runs the job ----------------------------------------------------------------------------------------

    def begin(self, line: Line) -> None:
        """The job has started."""
        self._line = line
        self._news.set()

    def hear(self, data: bytes) -> None:
        """The job has written `data`."""
        self._chunks.append(data)
        self.held += len(data)
        self._news.set()

    # -- whoever speaks with it --------------------------------------------------------------------------------------

    async def begun(self, running: asyncio.Task[JobResult]) -> Self:
        """Wait until the job has started; raise SandboxError when it was refused."""
        self._running = running
        running.add_done_callback(lambda _: self._news.set())
        await self._news.wait()
        if self._line is None:
            found = await running
            raise SandboxError(found.stderr.text if found.status is JobStatus.REFUSED else "The job did not start.")
        return self

    async def send(self, data: bytes) -> None:
        """Write to the job's input, whole and in the order of the calls; waits while the job does not read.

        Raises SandboxError once it has ended. A call that is cancelled may have written a part.
        """
        async with self._sending:
            if self._line is None or self._over:
                raise deaf()
            await self._line.write(data)

    def finish(self) -> None:
        """Close the job's input."""
        if self._line is not None:
            self._line.finish()

    def strike(self) -> None:
        """Kill the job; its result is then CANCELLED."""
        if self._line is not None:
            self._line.strike()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._over:
                self._outcome()
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        data = self._chunks.popleft()
        self.held -= len(data)
        if self._line is not None:
            self._line.took(len(data), self.held)
        return data

    async def end(self) -> JobResult:
        """Close the job's input, wait a moment, kill it if it still runs; return its result. Twice is harmless."""
        assert self._running is not None
        if not self._over:
            self.finish()
            await asyncio.wait({self._running}, timeout=GRACE_S)
        if not self._over:
            self.strike()
            await asyncio.wait({self._running})
        return self._outcome()

    @property
    def _over(self) -> bool:
        return self._running is not None and self._running.done()

    def _outcome(self) -> JobResult:
        assert self._running is not None
        if self._running.cancelled():
            raise SandboxError("The job in the sandbox was cancelled.")
        return self._running.result()


class _Output(Protocol):
    def hold(self) -> None: ...

    def go_on(self) -> None: ...


class Pipes:
    """The line to a job on this machine: a pipe to its input, and the reins of the one from its output."""

    def __init__(self, output: _Output, strike: Callable[[], None]) -> None:
        self.source, self._write = os.pipe()  # the job's end waits, ours does not
        os.set_blocking(self._write, False)
        self._output = output
        self.strike = strike
        self._room: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        """Write all of it. Raises SandboxError when nobody reads any more."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._write, left) :]
            except BlockingIOError:
                await self._wait()
            except OSError:
                raise deaf() from None

    async def _wait(self) -> None:
        """Wait until there is room in the pipe, or nobody reads it any more."""
        loop = asyncio.get_running_loop()
        self._room = loop.create_future()
        loop.add_writer(self._write, self._wake)
        try:
            await self._room
        finally:
            self._room = None
            if self._write >= 0:
                loop.remove_writer(self._write)

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def finish(self) -> None:
        """Close the input; whoever is writing hears of it."""
        if self._write >= 0:
            asyncio.get_running_loop().remove_writer(self._write)
            os.close(self._write)
            self._write = -1
            self._wake()

    def took(self, count: int, held: int) -> None:  # noqa: ARG002 - the sidecar's line wants the first
        """Let the job write on when there is room again."""
        if held < HELD_BYTES:
            self._output.go_on()

    def close(self) -> None:
        """Close what is open. Twice is harmless."""
        self.finish()
        if self.source >= 0:
            os.close(self.source)
            self.source = -1

    def handed_over(self) -> int:
        """Give the job's end away, to be closed by whoever takes it."""
        source, self.source = self.source, -1
        return source
