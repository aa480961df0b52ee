"""What every kind of box has in common: it is a context manager, and a run can be followed as it goes."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from sandbox.api import SandboxError
from sandbox.talking import Conversation, checked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sandbox.api import Job, JobResult, Progress, Rung, Written


class Session(ABC):
    """A session's sandbox (`sandbox.api.Sandbox`). Several jobs may run at once."""

    rung: Rung

    @abstractmethod
    async def run(
        self,
        job: Job,
        on_progress: Callable[[Progress], None] | None = None,
        on_output: Callable[[Written], None] | None = None,
        talk: Conversation | None = None,
    ) -> JobResult:
        """Run a job to its end; its progress goes to `on_progress`, what it writes to `on_output` as it comes.

        With `talk` it is spoken with: its input comes from there, and its output goes there. Raises SandboxError.
        """

    @abstractmethod
    async def warm(self, *, data: bool = False) -> None:
        """Start what the first job will need before it comes."""

    @abstractmethod
    async def close(self) -> None:
        """Kill all that is left and free the box. Closing twice is harmless."""

    async def stream(self, job: Job) -> AsyncIterator[Progress | Written | JobResult]:
        """Run a job and yield its progress and what it writes, as it comes; the last item is the result."""
        queue: asyncio.Queue[Progress | Written | None] = asyncio.Queue()
        running = asyncio.create_task(self.run(job, queue.put_nowait, queue.put_nowait))
        running.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (item := await queue.get()) is not None:
                yield item
            yield await running
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await running

    @contextlib.asynccontextmanager
    async def talk(self, job: Job, on_output: Callable[[Written], None] | None = None) -> AsyncIterator[Conversation]:
        """Start a job and speak with it (`sandbox.api.Sandbox.talk`). Leaving with an error kills it at once."""
        conversation = Conversation()
        running = asyncio.create_task(self.run(checked(job), None, on_output, conversation))
        try:
            yield await conversation.begun(running)
            with contextlib.suppress(SandboxError):  # of a box that broke is told by `end` and by iterating
                await conversation.end()
        finally:
            running.cancel()
            await asyncio.wait({running})
            if not running.cancelled():
                running.exception()  # seen

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
