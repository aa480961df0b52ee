"""The order in which runs are taken up: by priority, older first, and a run that waits long enough overtakes any.

A run's key is `since - priority * ageing`: waiting `ageing` seconds counts as much as one priority. The key never
changes, so a heap holds the order. In the heap stands the first run of each line; whoever's turn it is while their
person has enough at work stands aside in a heap of that person's, and comes back with the same key.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count

Entry = tuple[float, int, "Job"]


@dataclass(slots=True, eq=False)
class Job:
    """A run that is queued or at work. `key` is its place among all, `place` that in its line: smaller comes first."""

    run_id: int
    line: str
    user_id: str
    key: float
    place: float
    order: int
    queued: bool = True
    again: bool = False


@dataclass(slots=True)
class _Line:
    """The runs of one line; `busy` while one of them is at work."""

    waiting: list[Entry] = field(default_factory=list)
    busy: bool = False

    def first(self) -> Job | None:
        """Return the run whose turn it is; those that were cancelled are dropped on the way."""
        while self.waiting and not self.waiting[0][2].queued:
            heapq.heappop(self.waiting)
        return self.waiting[0][2] if self.waiting else None


class RunQueue:
    """Runs that wait for their turn. Every operation costs O(log n), spread over all operations."""

    def __init__(self, *, per_user: int, ageing_seconds: float) -> None:
        self._per_user = per_user
        self._ageing = ageing_seconds
        self._order = count()
        self._jobs: dict[int, Job] = {}
        self._lines: dict[str, _Line] = {}
        self._heap: list[Entry] = []
        self._aside: dict[str, list[Entry]] = {}
        self._at_work: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, run_id: int) -> bool:
        return run_id in self._jobs

    def runs(self) -> set[int]:
        """Return the runs that wait."""
        return set(self._jobs)

    def add(self, run_id: int, line: str, user_id: str, priority: int, since: float, *, in_order: bool) -> None:
        """Queue a run. `in_order`: within its line only age counts, as in a conversation."""
        since = since or time.time()
        key = since - priority * self._ageing
        self.put_back(Job(run_id, line, user_id, key, since if in_order else key, next(self._order)))

    def put_back(self, job: Job) -> None:
        """Queue a run that was at work once more, at its old place."""
        job = replace(job, queued=True, again=False)  # a new one: the old one's entries stay void
        self._jobs[job.run_id] = job
        line = self._lines.setdefault(job.line, _Line())
        heapq.heappush(line.waiting, (job.place, job.order, job))
        self._come_forward(job.line)

    def remove(self, run_id: int) -> bool:
        """Take a run out of the queue; False when it is not in it."""
        job = self._jobs.pop(run_id, None)
        if job is None:
            return False
        job.queued = False
        self._come_forward(job.line)
        self._come_back(job.user_id)
        return True

    def clear(self) -> None:
        """Forget all that waits; what is at work keeps its line."""
        for job in self._jobs.values():
            job.queued = False
        self._jobs.clear()
        self._heap.clear()
        self._aside.clear()
        self._lines = {name: _Line(busy=True) for name, line in self._lines.items() if line.busy}

    def take(self) -> Job | None:
        """Return the run whose turn it is, which counts as at work until `release`; None when none may begin."""
        while self._heap:
            entry = heapq.heappop(self._heap)
            job = entry[2]
            if not self._is_next(job):
                self._come_back(job.user_id)  # its entry may have been the one that came back for that person
            elif self._has_enough(job.user_id):
                heapq.heappush(self._aside.setdefault(job.user_id, []), entry)
            else:
                self._begin(job)
                return job
        return None

    def release(self, job: Job) -> None:
        """Note that a run is not at work any more: its line and its person may go on."""
        self._at_work[job.user_id] -= 1
        if not self._at_work[job.user_id]:
            del self._at_work[job.user_id]
        line = self._lines.get(job.line)
        if line is not None:
            line.busy = False
            self._come_forward(job.line)
        self._come_back(job.user_id)

    # --- moving -------------------------------------------------------------------------------------------------
    def _begin(self, job: Job) -> None:
        del self._jobs[job.run_id]
        job.queued = False
        self._lines[job.line].busy = True
        self._at_work[job.user_id] += 1
        self._come_back(job.user_id)

    def _is_next(self, job: Job) -> bool:
        line = self._lines.get(job.line)
        return job.queued and line is not None and not line.busy and line.first() is job

    def _has_enough(self, user_id: str) -> bool:
        return bool(user_id) and self._at_work[user_id] >= self._per_user

    def _come_forward(self, name: str) -> None:
        """Put the first of a line into the heap; it may stand there twice, of which one is passed over."""
        line = self._lines.get(name)
        if line is None or line.busy:
            return
        first = line.first()
        if first is None:
            del self._lines[name]
        else:
            heapq.heappush(self._heap, (first.key, first.order, first))

    def _come_back(self, user_id: str) -> None:
        """Put a person's best run that stands aside into the heap again, if the person may have one more at work."""
        aside = self._aside.get(user_id)
        if aside is None or self._has_enough(user_id):
            return
        while aside:
            entry = heapq.heappop(aside)
            if self._is_next(entry[2]):
                heapq.heappush(self._heap, entry)
                break
        if not aside:
            del self._aside[user_id]
