"""Runs in this process: a heap by priority, one run of a session at a time, limits per process and per person."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from agent.engine.protocol import Work


@dataclass(slots=True)
class _Job:
    run_id: int
    session_id: str
    user_id: str
    priority: int
    again: bool = False


class LocalEngine:
    """Implements Engine with asyncio tasks. Its queue is rebuilt from the journal at start, so it keeps nothing."""

    def __init__(self, *, runs_total: int = 16, runs_per_user: int = 4) -> None:
        self._total = runs_total
        self._per_user = runs_per_user
        self._work: Work | None = None
        self._order = count()
        self._heap: list[tuple[int, int, _Job]] = []
        self._queued: dict[int, _Job] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._jobs: dict[int, _Job] = {}
        self._busy_sessions: set[str] = set()
        self._busy_users: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self, work: Work) -> None:
        """Begin; see Engine.start."""
        self._work = work
        self._pump()

    def submit(self, run_id: int, *, session_id: str, user_id: str = "", priority: int = 5) -> None:
        """Queue a run; see Engine.submit."""
        if run_id in self._jobs:
            self._jobs[run_id].again = True
            return
        if run_id in self._queued:
            return
        job = _Job(run_id, session_id, user_id, priority)
        self._queued[run_id] = job
        heapq.heappush(self._heap, (-priority, next(self._order), job))
        self._idle.clear()
        self._pump()

    def working_on(self, run_id: int) -> bool:
        """See Engine.working_on."""
        return run_id in self._tasks

    async def cancel(self, run_id: int) -> bool:
        """Cancel a run; see Engine.cancel."""
        self._queued.pop(run_id, None)
        task = self._tasks.get(run_id)
        if task is None:
            return False
        self._jobs[run_id].again = False
        task.cancel()
        await asyncio.wait([task])
        return True

    async def idle(self) -> None:
        """See Engine.idle."""
        await self._idle.wait()

    async def stop(self) -> None:
        """See Engine.stop."""
        self._work = None
        self._queued.clear()
        self._heap.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- starting what may start --------------------------------------------------------------------------------
    def _pump(self) -> None:
        if self._work is None:
            return
        held: list[tuple[int, int, _Job]] = []
        while self._heap and len(self._tasks) < self._total:
            entry = heapq.heappop(self._heap)
            job = entry[2]
            if self._queued.get(job.run_id) is not job:
                continue  # it was cancelled while it waited
            if self._must_wait(job):
                held.append(entry)
                continue
            del self._queued[job.run_id]
            self._start(job)
        for entry in held:
            heapq.heappush(self._heap, entry)
        if not self._tasks and not self._queued:
            self._idle.set()

    def _must_wait(self, job: _Job) -> bool:
        crowded = bool(job.user_id) and self._busy_users[job.user_id] >= self._per_user
        return job.session_id in self._busy_sessions or crowded

    def _start(self, job: _Job) -> None:
        self._busy_sessions.add(job.session_id)
        self._busy_users[job.user_id] += 1
        task = asyncio.create_task(self._carry_out(job), name=f"run-{job.run_id}")
        self._tasks[job.run_id] = task
        self._jobs[job.run_id] = job
        task.add_done_callback(lambda done: self._ended(job, done))

    async def _carry_out(self, job: _Job) -> None:
        work = self._work
        while work is not None:
            job.again = False
            await work(job.run_id)
            if not job.again:
                return

    def _ended(self, job: _Job, task: asyncio.Task[None]) -> None:
        del self._tasks[job.run_id]
        del self._jobs[job.run_id]
        self._busy_sessions.discard(job.session_id)
        self._busy_users[job.user_id] -= 1
        if not self._busy_users[job.user_id]:
            del self._busy_users[job.user_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("work on run {} ended with an error", job.run_id)
        if job.again and self._work is not None:
            self.submit(job.run_id, session_id=job.session_id, user_id=job.user_id, priority=job.priority)
        self._pump()
