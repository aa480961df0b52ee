"""Hands out steps: each starts when its own dependencies are done and a slot is free, while the plan still streams.

The scheduler knows nothing of tools, models or the journal: it is given `carry`, which takes one step through and
returns its response. What it decides: order, parallelism, skipping, and whether the run ends, waits or is
planned anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.plan import OnFailure, PlanStep
from agent.execution.graph import ReadySet, skipped_response

# A denied or skipped step is not worth a new plan: the person, or an earlier failure, has decided already.
WORTH_REPLANNING = frozenset({ResponseStatus.ERROR, ResponseStatus.TIMEOUT})

Carry = Callable[[PlanStep], Awaitable[ExecutorResponse]]
Changes = Callable[[], AsyncGenerator[PlanStep]]


async def no_changes() -> AsyncGenerator[PlanStep]:
    """Yield nothing: the plan stays as it is."""
    nothing: tuple[PlanStep, ...] = ()
    for step in nothing:
        yield step


class Slots:
    """A limit on how many steps run at once, within a wider limit: run, within session, within process."""

    def __init__(self, limit: int, wider: Slots | None = None) -> None:
        self._free = limit
        self._wider = wider
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self) -> bool:
        """Take a slot here and in every wider limit; False when one of them is full."""
        if self._free <= 0 or (self._wider is not None and not self._wider.take()):
            return False
        self._free -= 1
        return True

    def give(self) -> None:
        """Give the slot back and wake whoever waits for one."""
        self._free += 1
        if self._wider is not None:
            self._wider.give()
        waiting, self._waiting = self._waiting, deque()
        for wake in waiting:
            wake()

    def call_when_free(self, wake: Callable[[], None]) -> None:
        """Have `wake` called once, when a slot is given back here or further out."""
        if wake not in self._waiting:
            self._waiting.append(wake)
        if self._wider is not None:
            self._wider.call_when_free(wake)


@dataclass(slots=True)
class Outcome:
    """How far the plan was carried out: every response, the steps that wait for a person, and what must happen next.

    `trouble` says in words why there is no (further) plan.
    """

    responses: dict[str, ExecutorResponse] = field(default_factory=dict)
    waiting: dict[str, ExecutorResponse] = field(default_factory=dict)
    replan_because: str = ""
    stopped_because: str = ""
    trouble: str = ""


class StepScheduler:
    """Carries out one plan, which may still be arriving.

    `starts_early(step)` says whether a step may start before the plan is complete (it has no effects).
    `on_change(step, response)` is told of every start (None) and end, for the live plan. `changes()` is called after
    `want_change`: while nothing new starts and what runs goes on, it drops steps and yields further ones.
    """

    def __init__(
        self,
        carry: Carry,
        *,
        slots: Slots | None = None,
        starts_early: Callable[[PlanStep], bool] = lambda _: True,
        on_change: Callable[[PlanStep, ExecutorResponse | None], None] = lambda _step, _response: None,
        changes: Changes = no_changes,
    ) -> None:
        self._carry = carry
        self._changes = changes
        self._changing = self._in_change = False
        self._slots = slots or Slots(1_000_000)
        self._starts_early = starts_early
        self._on_change = on_change
        self._graph = ReadySet()
        self._ready: deque[PlanStep] = deque()
        self._held: list[PlanStep] = []
        self._running: dict[asyncio.Task[None], PlanStep] = {}
        self._exclusive = False
        self._complete = False
        self._error: BaseException | None = None
        self._idle = asyncio.Event()
        self.outcome = Outcome()

    def seed(self, responses: dict[str, ExecutorResponse]) -> None:
        """Take over results of steps that are finished already; they never run again."""
        for step_id, response in responses.items():
            self.outcome.responses[step_id] = response
            (self._graph.ok if _runs_on(response) else self._graph.failed).add(step_id)

    async def run(self, steps: AsyncIterable[PlanStep]) -> Outcome:
        """Carry out the steps; returns when nothing runs and nothing can start. Cancelling it cancels every step."""
        try:
            async for step in steps:
                if self._error is not None:
                    break
                self.add(step)
            await self._to_the_end()
        except BaseException:
            await self._cancel_all()
            raise
        if self._error is not None:
            await self._cancel_all()
            raise self._error
        self._give_up_on_stuck()
        return self.outcome

    async def _to_the_end(self) -> None:
        """Carry on until nothing runs and nothing can start, with the plan changed whenever that is wanted."""
        while True:
            if self._may_change():
                await self._change()
            self._changing = False
            self._plan_is_complete()
            await self._until_idle()
            if not self._may_change():
                return

    def want_change(self) -> None:
        """Start nothing more until the plan has been changed; what runs goes on."""
        self._changing = True
        self._idle.set()

    def _may_change(self) -> bool:
        """Say whether the plan is to be changed now; after a failure that ends it, the next plan takes the wish up."""
        ends = self._error is not None or self.outcome.stopped_because or self.outcome.replan_because
        return self._changing and not ends

    async def _change(self) -> None:
        self._complete = False
        self._in_change = True
        async with contextlib.aclosing(self._changes()) as steps:
            async for step in steps:
                self.add(step)
        self._in_change = False
        self._idle.clear()

    async def drop(self, step_id: str, response: ExecutorResponse) -> bool:
        """End a step that is not finished with this response, cutting it off if it runs; False when it is finished."""
        running = [task for task, step in self._running.items() if step.id == step_id]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        step = self._graph.steps.get(step_id)
        if step is None or step_id in self.outcome.responses:
            return False
        self.outcome.waiting.pop(step_id, None)
        self._ready = deque(one for one in self._ready if one.id != step_id)
        self._held = [one for one in self._held if one.id != step_id]
        self._settle(step, response)
        return True

    @property
    def starting(self) -> bool:
        """Whether a step is ready and about to start."""
        return bool(self._ready)

    def is_running(self, step_id: str) -> bool:
        """Say whether a step is being worked on at this moment."""
        return any(step.id == step_id for step in self._running.values())

    def add(self, step: PlanStep) -> None:
        """Add a step. One that is finished or there already is ignored."""
        if step.id in self.outcome.responses or step.id in self._graph.steps:
            return
        ready, skipped = self._graph.add(step)
        self._skipped(skipped)
        self._enqueue(ready)
        self._pump()

    def wake(self, step_id: str) -> bool:
        """Carry a waiting step through again, because the person has answered; False when it does not wait here."""
        if step_id not in self.outcome.waiting:
            return False
        del self.outcome.waiting[step_id]
        self._ready.append(self._graph.steps[step_id])
        self._pump()
        return True

    # --- starting -----------------------------------------------------------------------------------------------
    def _enqueue(self, ready: list[PlanStep]) -> None:
        for step in ready:
            if self._complete or self._starts_early(step):
                self._ready.append(step)
            else:
                self._held.append(step)

    def _plan_is_complete(self) -> None:
        self._complete = True
        self._ready.extend(self._held)
        self._held.clear()
        self._pump()

    def _may_start(self, step: PlanStep) -> bool:
        if self._exclusive or (not step.parallelizable and self._running):
            return False
        return self._slots.take()

    def _pump(self) -> None:
        """Start what may start. After a failure that needs a new plan only effect-free work goes on."""
        while self._ready and self._error is None and not (self._in_change or self._may_change()):
            step = self._ready[0]
            if self.outcome.stopped_because or (self.outcome.replan_because and not self._starts_early(step)):
                self._ready.popleft()
                continue
            if not self._may_start(step):
                if not self._exclusive and (step.parallelizable or not self._running):
                    self._slots.call_when_free(self._pump)
                break
            self._ready.popleft()
            self._start(step)
        self._look_idle()

    def _start(self, step: PlanStep) -> None:
        self._idle.clear()
        self._exclusive = not step.parallelizable
        self._on_change(step, None)
        task = asyncio.create_task(self._take_through(step))
        self._running[task] = step
        task.add_done_callback(self._ended)

    async def _take_through(self, step: PlanStep) -> None:
        response = await self._carry(step)
        self._settle(step, response)

    def _ended(self, task: asyncio.Task[None]) -> None:
        step = self._running.pop(task)
        self._slots.give()
        if not step.parallelizable:
            self._exclusive = False
        if not task.cancelled() and task.exception() is not None and self._error is None:
            self._error = task.exception()
        self._pump()

    # --- results ------------------------------------------------------------------------------------------------
    def _settle(self, step: PlanStep, response: ExecutorResponse) -> None:
        if response.children:
            self._grow(step, response.children)
            return
        self._on_change(step, response)
        if response.status is ResponseStatus.NEEDS_INPUT:
            self.outcome.waiting[step.id] = response
            return
        self.outcome.responses[step.id] = response
        if _runs_on(response):
            self._enqueue(self._graph.succeed(step.id))
            self._enqueue(self._graph.ended(step.id))
            return
        self._enqueue(self._graph.ended(step.id))
        self._skipped(self._graph.fail(step.id))
        reason = f"{step.id}: {response.error or response.status}"
        if step.on_failure is OnFailure.STOP or response.stops:
            self.outcome.stopped_because = self.outcome.stopped_because or reason
        elif step.on_failure is OnFailure.REPLAN and response.status in WORTH_REPLANNING:
            self.outcome.replan_because = self.outcome.replan_because or reason

    def _grow(self, step: PlanStep, children: Iterable[PlanStep]) -> None:
        """Add the steps that this one turned into, and carry it on when they have ended."""
        wanted = list(children)
        for child in wanted:
            if child.id not in self._graph.steps:
                self.add(child)
        self._enqueue(self._graph.add_again(step, [child.id for child in wanted]))

    def _skipped(self, skipped: list[ExecutorResponse]) -> None:
        for response in skipped:
            self.outcome.responses[response.step_id] = response
            step = self._graph.steps.get(response.step_id)
            if step is not None:
                self._on_change(step, response)
            self._enqueue(self._graph.ended(response.step_id))

    def _give_up_on_stuck(self) -> None:
        for step in self._graph.stuck:
            lost = [need for need in step.depends_on if need not in self._graph.steps and need not in self._graph.ok]
            if lost and not self.outcome.stopped_because and not self.outcome.replan_because:
                self._skipped([skipped_response(step.id, lost[0])])

    # --- ending -------------------------------------------------------------------------------------------------
    def _look_idle(self) -> None:
        if self._error is not None or not (self._running or self._ready):
            self._idle.set()

    async def _until_idle(self) -> None:
        """Wait until nothing runs and nothing can start, there was an error, or the plan is to be changed."""
        while True:
            self._look_idle()
            await self._idle.wait()
            if not self._running or self._error is not None or self._may_change():
                return
            self._idle.clear()  # a waiting step was woken in the last moment

    async def _cancel_all(self) -> None:
        self._ready.clear()
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


def _runs_on(response: ExecutorResponse) -> bool:
    """Return whether dependents run after this: it succeeded, or its condition left it out."""
    return response.success or response.status is ResponseStatus.SKIPPED


async def stream_of(steps: Iterable[PlanStep]) -> AsyncIterator[PlanStep]:
    """Return a finished plan as the stream that the scheduler reads."""
    for step in steps:
        yield step
