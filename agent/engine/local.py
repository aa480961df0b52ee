"""Runs in this process: a heap by priority, one run of a session at a time, limits per process and per person."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
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
        self._lines: dict[str, deque[_Job]] = {}  # session → its jobs in order; the first is in the heap or at work
        self._crowded: dict[str, deque[_Job]] = {}  # person → jobs held back because that person has enough at work
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
        self._idle.clear()
        line = self._lines.setdefault(session_id, deque())
        line.append(job)
        if len(line) == 1:
            self._push(job)
        self._pump()

    async def cancel(self, run_id: int) -> bool:
        """Cancel a run; see Engine.cancel."""
        task = self._tasks.get(run_id)
        if task is None:
            waiting = self._queued.pop(run_id, None)
            if waiting is not None and self._lines[waiting.session_id][0] is not waiting:
                self._lines[waiting.session_id].remove(waiting)
            self._pump()
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
        self._lines = {job.session_id: deque([job]) for job in self._jobs.values()}
        self._crowded.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # --- starting what may start --------------------------------------------------------------------------------
    def _pump(self) -> None:
        if self._work is None:
            return
        while self._heap and len(self._tasks) < self._total:
            job = heapq.heappop(self._heap)[2]
            if self._queued.get(job.run_id) is not job:
                self._leave_line(job)  # it was cancelled while it waited
            elif job.user_id and self._busy_users[job.user_id] >= self._per_user:
                self._crowded.setdefault(job.user_id, deque()).append(job)
            else:
                del self._queued[job.run_id]
                self._start(job)
        if not self._tasks and not self._queued:
            self._idle.set()

    def _push(self, job: _Job) -> None:
        heapq.heappush(self._heap, (-job.priority, next(self._order), job))

    def _leave_line(self, job: _Job) -> None:
        """Let the next job of the session come forward."""
        line = self._lines[job.session_id]
        line.popleft()
        if line:
            self._push(line[0])
        else:
            del self._lines[job.session_id]

    def _start(self, job: _Job) -> None:
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
        self._leave_line(job)
        self._busy_users[job.user_id] -= 1
        if not self._busy_users[job.user_id]:
            del self._busy_users[job.user_id]
        for held in self._crowded.pop(job.user_id, ()):
            self._push(held)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("work on run {} ended with an error", job.run_id)
        if job.again and self._work is not None:
            self.submit(job.run_id, session_id=job.session_id, user_id=job.user_id, priority=job.priority)
        self._pump()
