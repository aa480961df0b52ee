"""Runs in this process: a fair queue, one run of a line at a time, limits per process and per person."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loguru import logger

from agent.engine.protocol import Load
from agent.engine.queue import RunQueue

if TYPE_CHECKING:
    from agent.engine.protocol import Hears, Work
    from agent.engine.queue import Job


class LocalEngine:
    """Implements Engine with asyncio tasks. Its queue is rebuilt from the journal at start, so it keeps nothing."""

    elsewhere = False

    def __init__(self, *, runs_total: int = 16, runs_per_user: int = 4, ageing_seconds: float = 60.0) -> None:
        self._total = runs_total
        self._work: Work | None = None
        self._queue = RunQueue(per_user=runs_per_user, ageing_seconds=ageing_seconds)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._jobs: dict[int, Job] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self, work: Work, *, hears: Hears | None = None, abandoned: Work | None = None) -> None:  # noqa: ARG002
        """Begin; see Engine.start. There is nobody else to hear of, or to take over from."""
        self._work = work
        self._pump()

    def submit(
        self,
        run_id: int,
        *,
        session_id: str,
        user_id: str = "",
        priority: int = 5,
        line: str = "",
        since: float = 0.0,
        at: float = 0.0,  # noqa: ARG002  # nothing here outlives the process
    ) -> None:
        """Queue a run; see Engine.submit."""
        if run_id in self._jobs:
            self._jobs[run_id].again = True
            return
        if run_id in self._queue:
            return
        self._queue.add(run_id, line or f"session:{session_id}", user_id, priority, since, in_order=not line)
        self._idle.clear()
        self._pump()

    async def cancel(self, run_id: int) -> bool:
        """Cancel a run; see Engine.cancel."""
        task = self._tasks.get(run_id)
        if task is None:
            self._queue.remove(run_id)
            self._pump()
            return False
        self._jobs[run_id].again = False
        task.cancel()
        await asyncio.wait([task])
        return True

    def tell(self, what: str, run_id: int = 0) -> None:
        """Tell nobody: there are no others."""

    async def known(self) -> set[int]:
        """See Engine.known."""
        return {*self._jobs, *self._queue.runs()}

    async def load(self) -> Load:
        """See Engine.load."""
        return Load(len(self._queue), len(self._jobs))

    async def idle(self) -> None:
        """See Engine.idle."""
        await self._idle.wait()

    async def stop(self) -> None:
        """See Engine.stop."""
        self._work = None
        self._queue.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def hurry(self) -> None:
        """See Engine.hurry: nothing is waited for."""

    # --- starting what may start --------------------------------------------------------------------------------
    def _pump(self) -> None:
        if self._work is None:
            return
        while len(self._tasks) < self._total:
            job = self._queue.take()
            if job is None:
                break
            self._start(job)
        if not self._tasks and not self._queue:
            self._idle.set()

    def _start(self, job: Job) -> None:
        task = asyncio.create_task(self._carry_out(job), name=f"run-{job.run_id}")
        self._tasks[job.run_id] = task
        self._jobs[job.run_id] = job
        task.add_done_callback(lambda done: self._ended(job, done))

    async def _carry_out(self, job: Job) -> None:
        work = self._work
        while work is not None:
            job.again = False
            await work(job.run_id)
            if not job.again:
                return

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        del self._tasks[job.run_id]
        del self._jobs[job.run_id]
        self._queue.release(job)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("work on run {} ended with an error", job.run_id)
        if job.again and self._work is not None:  # asked for in the last moment
            self._queue.put_back(job)
        self._pump()
