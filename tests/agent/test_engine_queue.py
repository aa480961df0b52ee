"""The queue against a naive model: exact order, fair to lines and persons, and quick when it is long."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.engine.local import LocalEngine
from agent.engine.queue import RunQueue

AGEING = 60.0
TOTAL, PER_USER = 3, 2


@dataclass
class Naive:
    """Looks at everything each time."""

    waiting: list[tuple[int, str, bool, str, int, float, int]] = field(default_factory=list)
    at_work: list[tuple[int, str, bool, str, int, float, int]] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)

    def pump(self) -> None:
        while len(self.at_work) < TOTAL:
            able = [job for job in self.waiting if self.may_begin(job)]
            if not able:
                return
            job = min(able, key=self.key)
            self.waiting.remove(job)
            self.at_work.append(job)
            self.begun.append(job[0])

    def may_begin(self, job) -> bool:
        _, line, in_order, user, *_ = job
        if any(other[1] == line for other in self.at_work):
            return False
        if user and sum(other[3] == user for other in self.at_work) >= PER_USER:
            return False
        return job == min((o for o in self.waiting if o[1] == line), key=self.age if in_order else self.key)

    @staticmethod
    def key(job) -> tuple[float, int]:
        return (job[5] - job[4] * AGEING, job[6])

    @staticmethod
    def age(job) -> tuple[float, int]:
        return (job[5], job[6])


runs = st.tuples(
    st.sampled_from(["session:a", "session:b", "project:x", "project:y", "project:z"]),
    st.sampled_from(["", "ann", "bob"]),
    st.integers(1, 10),
    st.integers(1, 600).map(float),
)
actions = st.one_of(
    runs, runs, st.sampled_from(["end", "cancel"]).flatmap(lambda w: st.tuples(st.just(w), st.floats(0, 1)))
)


@settings(deadline=None, max_examples=300)
@given(st.lists(actions, max_size=60))
def test_the_order_is_exactly_that_of_looking_at_everything(steps):
    naive, queue = Naive(), RunQueue(per_user=PER_USER, ageing_seconds=AGEING)
    begun, at_work = [], {}

    def pump() -> None:
        while len(at_work) < TOTAL and (job := queue.take()) is not None:
            at_work[job.run_id] = job
            begun.append(job.run_id)

    for number, step in enumerate(steps, start=1):
        if step[0] == "end":
            if naive.at_work:
                job = naive.at_work.pop(round(step[1] * (len(naive.at_work) - 1)))
                queue.release(at_work.pop(job[0]))
        elif step[0] == "cancel":
            if naive.waiting:
                job = naive.waiting.pop(round(step[1] * (len(naive.waiting) - 1)))
                assert queue.remove(job[0])
        else:
            line, user, priority, since = step
            in_order = line.startswith("session")
            naive.waiting.append((number, line, in_order, user, priority, since, number))
            queue.add(number, line, user, priority, since, in_order=in_order)
        naive.pump()
        pump()
        assert begun == naive.begun
        assert len(queue) == len(naive.waiting)


def order_of(queue: RunQueue) -> list[int]:
    taken = []
    while (job := queue.take()) is not None:
        taken.append(job.run_id)
        queue.release(job)
    return taken


def test_a_run_that_has_waited_long_enough_overtakes_a_higher_priority():
    queue = RunQueue(per_user=9, ageing_seconds=60)
    queue.add(1, "a", "", 1, 1000.0, in_order=True)
    queue.add(2, "b", "", 5, 1000.0 + 4 * 60 - 1, in_order=True)
    queue.add(3, "c", "", 5, 1000.0 + 4 * 60 + 1, in_order=True)

    assert order_of(queue) == [2, 1, 3]


def test_of_one_priority_the_older_run_comes_first_however_late_it_is_queued():
    queue = RunQueue(per_user=9, ageing_seconds=60)
    for run_id, since in ((1, 30.0), (2, 10.0), (3, 20.0)):
        queue.add(run_id, f"l{run_id}", "", 5, since, in_order=True)

    assert order_of(queue) == [2, 3, 1]


def test_in_a_projects_line_priority_counts_and_in_a_conversation_age():
    queue = RunQueue(per_user=9, ageing_seconds=60)
    for line, in_order, first in (("project:x", False, 10), ("session:s", True, 20)):
        queue.add(first, line, "", 1, 1000.0, in_order=in_order)
        queue.add(first + 1, line, "", 9, 1001.0, in_order=in_order)

    assert order_of(queue) == [11, 10, 20, 21]


def test_who_was_held_back_keeps_the_place():
    queue = RunQueue(per_user=1, ageing_seconds=60)
    for run_id in (1, 2, 3, 4):
        queue.add(run_id, f"l{run_id}", "ann", 5, float(run_id), in_order=True)
    first = queue.take()
    assert queue.take() is None  # 2, 3 and 4 stand aside
    queue.add(5, "l5", "ann", 5, 0.5, in_order=True)
    queue.add(6, "l6", "bob", 5, 9.0, in_order=True)
    assert queue.take().run_id == 6
    queue.release(first)

    assert order_of(queue) == [5, 2, 3, 4]


def test_ten_thousand_queued_runs_are_quick():
    queue = RunQueue(per_user=1, ageing_seconds=60)
    began = time.thread_time()
    for run_id in range(10_000):
        queue.add(run_id, f"line {run_id % 700}", f"user {run_id % 7}", run_id % 10, float(run_id), in_order=True)
    at_work = [queue.take() for _ in range(7)]
    ended = 0
    while at_work:
        queue.release(at_work.pop(0))
        ended += 1
        while (job := queue.take()) is not None:
            at_work.append(job)

    assert ended == 10_000
    assert time.thread_time() - began < 5


async def test_runs_of_one_project_do_not_overlap_whatever_their_sessions():
    engine, begun, let_go = LocalEngine(), [], asyncio.Event()

    async def work(run_id: int) -> None:
        begun.append(run_id)
        await let_go.wait()

    await engine.start(work)
    engine.submit(1, session_id="a", line="project:film")
    engine.submit(2, session_id="b", line="project:film")
    engine.submit(3, session_id="a")
    for _ in range(5):
        await asyncio.sleep(0)
    assert begun == [1, 3]
    let_go.set()
    await engine.idle()
    assert begun == [1, 3, 2]
