"""The local engine: priority, order within a session, limits, cancellation."""

from __future__ import annotations

import asyncio

from agent.engine.local import LocalEngine


class Work:
    """Records what was worked on; each piece ends when it is let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.cancelled: list[int] = []

    async def __call__(self, run_id: int) -> None:
        self.begun.append(run_id)
        gate = self.gates.setdefault(run_id, asyncio.Event())
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(run_id)
            raise

    def let_go(self, run_id: int) -> None:
        self.gates.setdefault(run_id, asyncio.Event()).set()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_runs_of_one_session_are_worked_on_in_order_and_one_at_a_time():
    work, engine = Work(), LocalEngine()
    await engine.start(work)
    for run_id in (1, 2, 3):
        engine.submit(run_id, session_id="a", priority=run_id)
    await settle()
    assert work.begun == [1]
    for run_id in (1, 2, 3):
        work.let_go(run_id)
    await engine.idle()
    assert work.begun == [1, 2, 3]


async def test_a_higher_priority_goes_first_when_slots_are_short():
    work, engine = Work(), LocalEngine(runs_total=1)
    engine.submit(1, session_id="a", priority=1)
    engine.submit(2, session_id="b", priority=9)
    await engine.start(work)
    await settle()
    assert work.begun == [2]
    work.let_go(2)
    work.let_go(1)
    await engine.idle()
    assert work.begun == [2, 1]


async def test_one_person_cannot_take_every_slot():
    work, engine = Work(), LocalEngine(runs_total=3, runs_per_user=2)
    for run_id in (1, 2, 3):
        engine.submit(run_id, session_id=f"s{run_id}", user_id="greedy", priority=9)
    engine.submit(4, session_id="s4", user_id="modest", priority=1)
    await engine.start(work)
    await settle()
    assert work.begun == [1, 2, 4]
    for run_id in (1, 2, 3, 4):
        work.let_go(run_id)
    await engine.idle()
    assert work.begun == [1, 2, 4, 3]


async def test_cancelling_returns_when_the_work_has_ended_and_the_session_goes_on():
    work, engine = Work(), LocalEngine()
    await engine.start(work)
    engine.submit(1, session_id="a")
    engine.submit(2, session_id="a")
    await settle()
    assert await engine.cancel(1)
    assert work.cancelled == [1]
    work.let_go(2)
    await engine.idle()
    assert work.begun == [1, 2]


async def test_a_queued_run_that_is_cancelled_is_never_begun():
    work, engine = Work(), LocalEngine()
    await engine.start(work)
    for run_id in (1, 2, 3):
        engine.submit(run_id, session_id="a")
    await settle()
    assert not await engine.cancel(2)
    for run_id in (1, 2, 3):
        work.let_go(run_id)
    await engine.idle()
    assert work.begun == [1, 3]


async def test_a_run_submitted_while_it_is_worked_on_is_worked_on_once_more():
    work, engine = Work(), LocalEngine()
    await engine.start(work)
    engine.submit(1, session_id="a")
    await settle()
    engine.submit(1, session_id="a")
    engine.submit(1, session_id="a")
    work.let_go(1)
    await engine.idle()
    assert work.begun == [1, 1]


async def test_stopping_ends_all_work_and_begins_nothing_new():
    work, engine = Work(), LocalEngine()
    await engine.start(work)
    engine.submit(1, session_id="a")
    engine.submit(2, session_id="a")
    await settle()
    await engine.stop()
    assert work.begun == [1]
    assert work.cancelled == [1]


async def test_work_that_raises_does_not_hold_up_its_session():
    begun: list[int] = []

    async def work(run_id: int) -> None:
        begun.append(run_id)
        if run_id == 1:
            raise RuntimeError

    engine = LocalEngine()
    await engine.start(work)
    engine.submit(1, session_id="a")
    engine.submit(2, session_id="a")
    await engine.idle()
    assert begun == [1, 2]
