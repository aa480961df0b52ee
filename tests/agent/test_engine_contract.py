"""The engine's port, on both engines: priority, order within a line, limits, once more, cancelling, stopping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from agent.engine.local import LocalEngine
from agent.engine.protocol import Engine
from agent.testing.postgres import PostgresServer

SECONDS = 60.0
Make = Callable[..., Engine]


class Work:
    """Records what was worked on; each piece ends when it is let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self._gates: dict[int, asyncio.Event] = {}
        self._changed = asyncio.Event()

    async def __call__(self, run_id: int) -> None:
        self.begun.append(run_id)
        self._changed.set()
        try:
            await self._gates.setdefault(run_id, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(run_id)
            raise

    def let_go(self, *run_ids: int) -> None:
        for run_id in run_ids:
            self._gates.setdefault(run_id, asyncio.Event()).set()

    async def has_begun(self, *run_ids: int) -> None:
        """Wait until as many have begun, and see that it was these, in this order."""
        async with asyncio.timeout(SECONDS):
            while len(self.begun) < len(run_ids):
                self._changed.clear()
                await self._changed.wait()
        assert self.begun == list(run_ids)


@pytest.fixture(params=["local", "distributed"])
async def make(request: pytest.FixtureRequest, server: PostgresServer | None) -> AsyncIterator[Make]:
    """Make engines; all of a test share one queue where there can be several. They are stopped in the end."""
    if request.param == "distributed" and server is None:
        pytest.skip("there is no PostgreSQL on this machine")
    url = server.new_database() if server is not None and request.param == "distributed" else ""
    async with AsyncExitStack() as ends:

        def made(**settings: Any) -> Engine:
            engine: Engine
            if request.param == "local":
                engine = LocalEngine(**settings)
            else:
                from agent.engine.distributed import DistributedEngine

                engine = DistributedEngine(url, works=True, drain_seconds=0.0, **settings)
            ends.push_async_callback(engine.stop)
            return engine

        yield made


async def at_work(engine: Any) -> tuple[Work, Any]:
    """Start an engine and have it work on run 1 of the session a."""
    work = Work()
    await engine.start(work)
    engine.submit(1, session_id="a")
    await work.has_begun(1)
    return work, engine


async def test_runs_of_one_session_are_worked_on_in_order_and_one_at_a_time(make: Make):
    work, engine = Work(), make()
    for run_id in (1, 2, 3):
        engine.submit(run_id, session_id="a", priority=run_id, since=float(run_id))
    await engine.start(work)
    await work.has_begun(1)
    work.let_go(1, 2, 3)
    await engine.idle()
    await work.has_begun(1, 2, 3)


async def test_a_higher_priority_goes_first_when_slots_are_short(make: Make):
    work, engine = await at_work(make(runs_total=1))
    engine.submit(2, session_id="b", priority=1)
    engine.submit(3, session_id="c", priority=9)
    await engine.known()
    work.let_go(1, 2, 3)
    await engine.idle()
    await work.has_begun(1, 3, 2)


async def test_a_run_that_has_waited_long_enough_overtakes_a_higher_priority(make: Make):
    work, engine = await at_work(make(runs_total=1, ageing_seconds=10.0))
    engine.submit(2, session_id="b", priority=9)
    engine.submit(3, session_id="c", priority=1, since=time.time() - 81)
    engine.submit(4, session_id="d", priority=1, since=time.time() - 79)
    await engine.known()
    work.let_go(1, 2, 3, 4)
    await engine.idle()
    await work.has_begun(1, 3, 2, 4)


async def test_within_a_project_priority_counts_and_one_is_at_work_at_a_time(make: Make):
    work, engine = Work(), make()
    await engine.start(work)
    engine.submit(1, session_id="a", line="project:p")
    await work.has_begun(1)
    engine.submit(2, session_id="b", line="project:p", priority=1)
    engine.submit(3, session_id="c", line="project:p", priority=9)
    engine.submit(4, session_id="d")
    await work.has_begun(1, 4)
    work.let_go(1, 2, 3, 4)
    await engine.idle()
    await work.has_begun(1, 4, 3, 2)


async def test_one_person_cannot_take_every_slot(make: Make):
    work, engine = Work(), make(runs_total=3, runs_per_user=2)
    for run_id in (1, 2, 3):
        engine.submit(run_id, session_id=f"s{run_id}", user_id="greedy", priority=9, since=time.time() - 9 + run_id)
    engine.submit(4, session_id="s4", user_id="modest", priority=1)
    await engine.start(work)
    await work.has_begun(1, 2, 4)
    work.let_go(1, 2, 3, 4)
    await engine.idle()
    await work.has_begun(1, 2, 4, 3)


async def test_cancelling_returns_when_the_work_has_ended_and_the_session_goes_on(make: Make):
    work, engine = Work(), make()
    await engine.start(work)
    engine.submit(1, session_id="a", since=1.0)
    engine.submit(2, session_id="a", since=2.0)
    await work.has_begun(1)
    assert await engine.cancel(1)
    assert work.cancelled == [1]
    work.let_go(2)
    await engine.idle()
    await work.has_begun(1, 2)


async def test_a_queued_run_that_is_cancelled_is_never_begun(make: Make):
    work, engine = Work(), make()
    await engine.start(work)
    for run_id in (1, 2, 3):
        engine.submit(run_id, session_id="a", since=float(run_id))
    await work.has_begun(1)
    assert not await engine.cancel(2)
    work.let_go(1, 2, 3)
    await engine.idle()
    await work.has_begun(1, 3)


async def test_a_run_submitted_while_it_is_worked_on_is_worked_on_once_more(make: Make):
    work, engine = await at_work(make())
    engine.submit(1, session_id="a")
    engine.submit(1, session_id="a")
    assert await engine.known() == {1}
    work.let_go(1)
    await engine.idle()
    await work.has_begun(1, 1)


async def test_cancelling_a_run_that_was_to_be_worked_on_once_more_ends_it(make: Make):
    work, engine = await at_work(make())
    engine.submit(1, session_id="a")
    assert await engine.cancel(1)
    await engine.idle()
    await work.has_begun(1)


async def test_stopping_ends_all_work_and_begins_nothing_new(make: Make):
    work, engine = Work(), make()
    await engine.start(work)
    engine.submit(1, session_id="a", since=1.0)
    engine.submit(2, session_id="a", since=2.0)
    await work.has_begun(1)
    await engine.stop()
    assert work.begun == [1]
    assert work.cancelled == [1]


async def test_work_that_raises_does_not_hold_up_its_session(make: Make):
    begun: list[int] = []

    async def work(run_id: int) -> None:
        begun.append(run_id)
        if run_id == 1:
            raise RuntimeError

    engine = make()
    await engine.start(work)
    engine.submit(1, session_id="a", since=1.0)
    engine.submit(2, session_id="a", since=2.0)
    await engine.idle()
    assert begun == [1, 2]


async def test_the_load_says_what_waits_and_what_is_at_work(make: Make):
    work, engine = Work(), make()
    await engine.start(work)
    engine.submit(1, session_id="a", since=1.0)
    engine.submit(2, session_id="a", since=2.0)
    await work.has_begun(1)
    await engine.known()
    load = await engine.load()
    assert (load.waiting, load.at_work) == (1, 1)
    work.let_go(1, 2)
    await engine.idle()
    assert (await engine.load()).at_work == 0


# --- what only many workers have ------------------------------------------------------------------------------------
Url = Callable[[], str]


@pytest.fixture
def new_url(server: PostgresServer | None) -> Url:
    if server is None:
        pytest.skip("there is no PostgreSQL on this machine")
    return server.new_database


async def waited(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.02)


async def test_what_one_process_submits_and_tells_another_works_on_and_hears(new_url: Url):
    from agent.engine.distributed import DistributedEngine

    url, work, heard = new_url(), Work(), []
    async with AsyncExitStack() as ends:
        desk, worker = DistributedEngine(url), DistributedEngine(url, works=True, drain_seconds=0.0)
        for engine in (desk, worker):
            ends.push_async_callback(engine.stop)
            await engine.start(work, hears=lambda what, run_id: heard.append((what, run_id)))
        desk.submit(1, session_id="a")
        await work.has_begun(1)
        assert [(one.slots, one.at_work) for one in (await desk.load()).workers] == [(16, 1)]
        async with asyncio.timeout(SECONDS):
            while ("look", 7) not in heard:
                desk.tell("look", 7)
                await asyncio.sleep(0.05)
        assert await desk.cancel(1)
        assert work.cancelled == [1]


async def test_what_is_submitted_for_later_holds_up_nobody_and_outlives_the_process(new_url: Url):
    from agent.engine.distributed import DistributedEngine

    url, work = new_url(), Work()
    first = DistributedEngine(url)
    await first.start(work)
    first.submit(1, session_id="a", since=1.0, at=time.time() + 6.0)
    first.submit(2, session_id="a", since=2.0)
    await first.stop()
    worker = DistributedEngine(url, works=True, drain_seconds=0.0)
    await worker.start(work)
    await work.has_begun(2)
    work.let_go(1, 2)
    await work.has_begun(2, 1)
    await worker.stop()


async def test_what_is_due_while_the_database_fails_is_worked_on_all_the_same(
    new_url: Url, monkeypatch: pytest.MonkeyPatch
):
    from agent.engine.distributed import DistributedEngine

    work, engine = Work(), DistributedEngine(new_url(), works=True, drain_seconds=0.0)
    queue, troubles = engine._defer, [ConnectionError("gone"), RuntimeError("not back yet")]

    async def queued(job: dict[str, Any]) -> None:
        if troubles:
            raise troubles.pop()
        await queue(job)

    monkeypatch.setattr(engine, "_defer", queued)
    await engine.start(work)
    engine.submit(1, session_id="a", at=time.time() + 2.0)
    await work.has_begun(1)
    assert troubles == []
    work.let_go(1)
    await engine.idle()
    await engine.stop()


async def test_a_stop_lets_work_go_on_for_a_while_and_then_leaves_it_to_others(new_url: Url):
    from agent.engine.distributed import DistributedEngine

    url, work, other = new_url(), Work(), Work()
    leaving, staying = (DistributedEngine(url, works=True, drain_seconds=600.0) for _ in range(2))
    await leaving.start(work)
    for run_id in (1, 2):
        leaving.submit(run_id, session_id=f"s{run_id}", since=float(run_id))
    await work.has_begun(1, 2)
    await staying.start(other)
    ends = asyncio.create_task(leaving.stop())
    work.let_go(1)
    await waited(lambda: len(leaving._jobs.held) == 1)
    assert not ends.done()
    leaving.hurry()
    await ends
    assert work.cancelled == [2]
    await other.has_begun(2)
    other.let_go(2)
    await staying.idle()
    await staying.stop()
    assert other.begun == [2]


async def test_a_dead_workers_lease_ends_before_its_run_is_taken_over(new_url: Url, monkeypatch: pytest.MonkeyPatch):
    from agent.engine import distributed

    url, work, seen = new_url(), Work(), []
    dead = distributed.DistributedEngine(url, works=True, drain_seconds=0.0)
    await dead.start(work)
    dead.submit(1, session_id="a")
    dead.submit(2, session_id="a")
    await work.has_begun(1)

    async def silent(_worker_id: int) -> None:
        """Say nothing any more."""

    beat = dead._jobs.update_heartbeat
    monkeypatch.setattr(dead._jobs, "update_heartbeat", silent)
    dead._jobs.draining = True

    async def taken_over(run_id: int) -> None:
        seen.append(f"begun {run_id}")

    async def abandoned(run_id: int) -> None:
        seen.append(f"abandoned {run_id}")

    lives = distributed.DistributedEngine(url, works=True, drain_seconds=0.0, dead_seconds=6.0)
    await lives.start(taken_over, abandoned=abandoned)
    await waited(lambda: "begun 2" in seen)
    assert seen == ["abandoned 1", "begun 1", "begun 2"]

    await lives.idle()
    await beat(1)  # it wakes up, and learns that the run is another's
    await waited(lambda: work.cancelled == [1])
    for engine in (lives, dead):
        await engine.stop()


async def test_a_job_that_nobody_works_on_though_its_worker_lives_is_given_back(new_url: Url):
    from agent.engine.distributed import DistributedEngine

    work, engine = await at_work(DistributedEngine(new_url(), works=True, drain_seconds=0.0))
    lost = engine._jobs.held.pop(1)
    for _ in range(2):
        await engine._jobs.update_heartbeat(1)
    await work.has_begun(1, 1)
    lost.task.cancel()
    work.let_go(1)
    await engine.idle()
    await engine.stop()


async def test_after_an_absence_of_ones_own_nobody_is_taken_for_dead_at_once(new_url: Url):
    from agent.engine.distributed import DistributedEngine

    url, work, seen = new_url(), Work(), []
    engine, other = DistributedEngine(url, works=True, drain_seconds=0.0), DistributedEngine(url)

    async def abandoned(run_id: int) -> None:
        seen.append(run_id)

    await engine.start(work)
    await other.start(work, abandoned=abandoned)
    engine.submit(1, session_id="a")
    await work.has_begun(1)
    silent = "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '60 seconds'"
    other._dead = 0.5  # the server, too, has not been there for longer than that
    other._looked = time.time() - 60
    await other._connector.execute_query_async(silent)
    await other._rescue()
    assert seen == [], "the database was away for everybody"
    async with asyncio.timeout(SECONDS):
        while not seen:
            await other._connector.execute_query_async(silent)
            await other._rescue()
            await asyncio.sleep(0.05)
    for one in (other, engine):
        await one.stop()
