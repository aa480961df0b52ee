"""The scheduler: eager starts, streaming plans, limits, skipping, waiting, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.plan import OnFailure, PlanStep
from agent.execution.scheduler import Outcome, Slots, StepScheduler, stream_of


def a(name: str, *needs: str, **fields: object) -> PlanStep:
    return PlanStep(id=name, tool="t", depends_on=needs, **fields)


class Carrier:
    """Carries steps when the test lets them go; records what began and ended, and how many ran together."""

    def __init__(self, *, gated: bool = False, fail: tuple[str, ...] = (), ask: tuple[str, ...] = ()) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.most = 0
        self._gated = gated
        self._fail = fail
        self.ask = set(ask)
        self._gates: dict[str, asyncio.Event] = {}

    async def __call__(self, step: PlanStep) -> ExecutorResponse:
        self.began.append(step.id)
        self.most = max(self.most, len(self.began) - len(self.ended))
        try:
            if self._gated:
                await self._gates.setdefault(step.id, asyncio.Event()).wait()
            else:
                await asyncio.sleep(0)
        finally:
            self.ended.append(step.id)
        if step.id in self.ask:
            return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT)
        status = ResponseStatus.ERROR if step.id in self._fail else ResponseStatus.OK
        return ExecutorResponse(step.id, status, error="failed" if step.id in self._fail else "")

    def let_go(self, *names: str) -> None:
        for name in names:
            self._gates.setdefault(name, asyncio.Event()).set()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def statuses(outcome: Outcome) -> dict[str, str]:
    return {name: response.status.value for name, response in outcome.responses.items()}


async def test_a_step_starts_when_its_own_dependencies_are_done_not_level_by_level():
    carrier = Carrier(gated=True)
    run = asyncio.create_task(StepScheduler(carrier).run(stream_of([a("slow"), a("fast"), a("after", "fast")])))
    await settle()
    carrier.let_go("fast")
    await settle()
    assert carrier.began == ["slow", "fast", "after"]
    assert carrier.ended == ["fast"]
    carrier.let_go("slow", "after")
    assert len((await run).responses) == 3


async def test_an_effect_free_step_starts_while_the_plan_still_streams():
    carrier = Carrier()
    more = asyncio.Event()

    async def plan() -> AsyncIterator[PlanStep]:
        yield a("pure")
        yield a("effect")
        await more.wait()
        yield a("last")

    scheduler = StepScheduler(carrier, starts_early=lambda step: step.id != "effect")
    run = asyncio.create_task(scheduler.run(plan()))
    await settle()
    assert carrier.ended == ["pure"]
    more.set()
    await run
    assert set(carrier.ended) == {"pure", "effect", "last"}


async def test_limits_of_run_session_and_process_hold_together():
    process = Slots(3)
    session = Slots(2, process)
    carriers = [Carrier(), Carrier()]
    runs = [
        StepScheduler(carrier, slots=Slots(8, session)).run(stream_of([a(f"s{n}") for n in range(20)]))
        for carrier in carriers
    ]
    outcomes = await asyncio.gather(*runs)
    assert all(len(outcome.responses) == 20 for outcome in outcomes)
    assert all(carrier.most <= 2 for carrier in carriers)
    assert process._free == 3


async def test_a_step_that_is_not_parallelizable_runs_alone():
    carrier = Carrier(gated=True)
    plan = [a("x"), a("alone", parallelizable=False), a("y")]
    run = asyncio.create_task(StepScheduler(carrier).run(stream_of(plan)))
    await settle()
    assert carrier.began == ["x"]
    carrier.let_go("x")
    await settle()
    assert carrier.began == ["x", "alone"]
    carrier.let_go("alone", "y")
    await run
    assert carrier.began == ["x", "alone", "y"]


async def test_dependents_of_a_failed_step_are_skipped_with_the_reason():
    carrier = Carrier(fail=("b",))
    plan = [a("a"), a("b", on_failure=OnFailure.CONTINUE), a("c", "b"), a("d", "c"), a("e", "a")]
    outcome = await StepScheduler(carrier).run(stream_of(plan))
    assert statuses(outcome) == {"a": "ok", "b": "error", "c": "blocked", "d": "blocked", "e": "ok"}
    assert "'b'" in outcome.responses["c"].error
    assert not outcome.replan_because
    assert not outcome.stopped_because


async def test_on_failure_stop_starts_nothing_more():
    carrier = Carrier(fail=("b",))
    plan = [a("b", on_failure=OnFailure.STOP), a("later", "x"), a("x", "b2"), a("b2", parallelizable=False)]
    outcome = await StepScheduler(carrier, slots=Slots(1)).run(stream_of(plan))
    assert carrier.began == ["b"]
    assert outcome.stopped_because.startswith("b:")


async def test_after_a_failure_that_needs_a_new_plan_only_effect_free_work_goes_on():
    carrier = Carrier(fail=("b",))
    plan = [a("b"), a("pure"), a("effect")]
    scheduler = StepScheduler(carrier, slots=Slots(1), starts_early=lambda step: step.id != "effect")
    outcome = await scheduler.run(stream_of(plan))
    assert carrier.began == ["b", "pure"]
    assert outcome.replan_because.startswith("b:")


async def test_a_waiting_step_does_not_hold_up_the_rest_and_goes_on_when_woken():
    carrier = Carrier(gated=True, ask=("q",))
    scheduler = StepScheduler(carrier)
    run = asyncio.create_task(scheduler.run(stream_of([a("q"), a("other"), a("after", "q")])))
    carrier.let_go("q")
    await settle()
    assert set(scheduler.outcome.waiting) == {"q"}
    carrier.ask.clear()
    assert scheduler.wake("q")
    carrier.let_go("other", "after")
    outcome = await run
    assert statuses(outcome) == {"q": "ok", "other": "ok", "after": "ok"}
    assert carrier.began.count("q") == 2


async def test_a_run_that_only_waits_ends_and_says_for_what():
    outcome = await StepScheduler(Carrier(ask=("q",))).run(stream_of([a("q"), a("after", "q")]))
    assert set(outcome.waiting) == {"q"}
    assert outcome.responses == {}


async def test_finished_steps_are_seeded_and_never_run_again():
    carrier = Carrier()
    scheduler = StepScheduler(carrier)
    scheduler.seed({"a": ExecutorResponse("a", ResponseStatus.OK), "f": ExecutorResponse("f", ResponseStatus.ERROR)})
    outcome = await scheduler.run(stream_of([a("a"), a("b", "a"), a("f"), a("g", "f")]))
    assert carrier.began == ["b"]
    assert statuses(outcome)["g"] == "blocked"


async def test_cancelling_the_run_cancels_every_step_at_once():
    carrier = Carrier(gated=True)
    run = asyncio.create_task(StepScheduler(carrier).run(stream_of([a("x"), a("y")])))
    await settle()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert sorted(carrier.ended) == ["x", "y"]


async def test_an_error_of_the_journal_ends_the_run_and_its_steps():
    gate = Carrier(gated=True)

    async def carry(step: PlanStep) -> ExecutorResponse:
        if step.id == "bad":
            raise RuntimeError("the journal is gone")
        return await gate(step)

    with pytest.raises(RuntimeError, match="journal"):
        await StepScheduler(carry).run(stream_of([a("x"), a("bad")]))
    assert gate.began == gate.ended


async def test_an_error_of_the_plan_stream_cancels_what_runs():
    carrier = Carrier(gated=True)

    async def plan() -> AsyncIterator[PlanStep]:
        yield a("x")
        await asyncio.sleep(0)
        raise ValueError("rubbish")

    with pytest.raises(ValueError, match="rubbish"):
        await StepScheduler(carrier).run(plan())
    assert carrier.began == carrier.ended


async def test_a_dependency_that_never_comes_is_named():
    outcome = await StepScheduler(Carrier()).run(stream_of([a("x", "ghost")]))
    assert statuses(outcome) == {"x": "blocked"}
    assert "'ghost'" in outcome.responses["x"].error


@settings(max_examples=60, deadline=None)
@given(st.data())
async def test_any_plan_runs_each_step_once_after_its_dependencies(data: st.DataObject):
    size = data.draw(st.integers(1, 25))
    plan = [
        a(f"s{n}", *{f"s{m}" for m in data.draw(st.lists(st.integers(0, n - 1), max_size=4))} if n else set())
        for n in range(size)
    ]
    carrier = Carrier()
    shuffled = data.draw(st.permutations(plan))
    outcome = await StepScheduler(carrier, slots=Slots(data.draw(st.integers(1, 5)))).run(stream_of(shuffled))
    assert sorted(carrier.began) == sorted(step.id for step in plan)
    assert len(outcome.responses) == size
    began = {name: position for position, name in enumerate(carrier.began)}
    ended = {name: position for position, name in enumerate(carrier.ended)}
    for step in plan:
        assert all(began[need] < began[step.id] and need in ended for need in step.depends_on)


# --- changing the plan while it is carried out -------------------------------------------------------------------------
def cancelled(name: str) -> ExecutorResponse:
    return ExecutorResponse(name, ResponseStatus.CANCELLED)


async def test_while_the_plan_is_changed_what_runs_goes_on_and_nothing_starts():
    carrier = Carrier(gated=True)
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def changes() -> AsyncGenerator[PlanStep]:
        inside.set()
        await go_on.wait()
        await scheduler.drop("third", cancelled("third"))
        yield a("fourth", "second")

    scheduler = StepScheduler(carrier, changes=changes)
    work = asyncio.create_task(scheduler.run(stream_of([a("first"), a("second", "first"), a("third", "first")])))
    await settle()
    scheduler.want_change()
    await inside.wait()
    carrier.let_go("first")
    await settle()
    assert carrier.began == ["first"]
    go_on.set()
    carrier.let_go("second", "fourth")
    outcome = await work
    assert carrier.began == ["first", "second", "fourth"]
    assert outcome.responses["third"].status is ResponseStatus.CANCELLED


async def test_a_running_step_that_is_dropped_is_cut_off_and_what_needs_it_is_skipped():
    carrier = Carrier(gated=True)

    async def changes() -> AsyncGenerator[PlanStep]:
        assert await scheduler.drop("long", cancelled("long"))
        assert not await scheduler.drop("long", cancelled("long"))
        yield a("instead")

    scheduler = StepScheduler(carrier, changes=changes)
    work = asyncio.create_task(scheduler.run(stream_of([a("long"), a("after", "long")])))
    await settle()
    scheduler.want_change()
    carrier.let_go("instead")
    outcome = await work
    assert carrier.began == ["long", "instead"]
    assert outcome.responses["after"].status is ResponseStatus.BLOCKED


async def test_after_a_failure_that_needs_a_new_plan_the_wish_is_left_to_that_plan():
    asked = []

    async def changes() -> AsyncGenerator[PlanStep]:
        asked.append(1)
        yield a("never")

    scheduler = StepScheduler(Carrier(fail=("bad",)), changes=changes)
    scheduler._on_change = lambda _step, response: scheduler.want_change() if response else None
    outcome = await asyncio.wait_for(scheduler.run(stream_of([a("bad"), a("good")])), 60)
    assert outcome.replan_because
    assert asked == []
