"""Whatever is asked of the journal, in whatever order and whatever batch, it agrees with a model of a few lines."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.domain.messages import Destination
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER
from agent.domain.run import Run, StepChange
from agent.domain.states import FINAL, TRANSITIONS, Status
from agent.errors import DirigentError, IllegalTransition, NotFound, StaleLease
from agent.store.sql import SqlStore

DEST = Destination("telegram", "1")
STEPS = ("a", "b", "c", "d")
one_change = st.tuples(
    st.sampled_from((*STEPS, "nobody")),
    st.sampled_from(list(Status)),
    st.sampled_from([0, 0, 0, 0, -1, 1]),  # how far the epoch is off
    st.booleans(),  # awaited?
)


class Journal(RuleBasedStateMachine):
    """A run with a few steps, changed in batches by right and by wrong requests, and restarted now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = 0.0
        self.store = SqlStore(Path(self.folder.name) / "journal.db", clock=lambda: self.clock)
        self.do(self.store.open())
        self.model: dict[str, Status] = {}
        self.outputs: dict[str, Any] = {}
        self.late: dict[int, type[Exception]] = {}
        self.epoch = 0
        self.counter = 0

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @initialize()
    def open_run(self) -> None:
        self.run_id = self.do(self.store.open_run(Run("s", "x", DEST))).id
        self.lease()
        self.do(self.store.add_steps(self.run_id, self.epoch, [PlanStep(id=name, tool="t") for name in STEPS], USER))
        self.model = dict.fromkeys(STEPS, Status.PENDING)

    @rule()
    def lease(self) -> None:
        self.clock += 100
        self.epoch = self.do(self.store.lease_run(self.run_id, "me", 60)).epoch

    @rule()
    def restart(self) -> None:
        self.do(self.store.close())
        self.store = SqlStore(Path(self.folder.name) / "journal.db", clock=lambda: self.clock)
        self.do(self.store.open())
        self.late = {}

    @rule(changes=st.lists(one_change, min_size=1, max_size=12))
    def mix(self, changes: list[tuple[str, Status, int, bool]]) -> None:
        self.change(changes)

    def change(self, changes: list[tuple[str, Status, int, bool]]) -> None:
        outcomes, expected = self.do(self.request(changes))
        assert outcomes == expected

    @rule(name=st.sampled_from(STEPS), life=st.lists(st.sampled_from(list(Status)), min_size=2, max_size=3))
    def live(self, name: str, life: list[Status]) -> None:
        self.change([(name, to, 0, True) for to in life])

    async def request(self, changes: list[tuple[str, Status, int, bool]]) -> tuple[list[Any], list[Any]]:
        calls = []
        expected = []
        for step_id, to, off, awaited in changes:
            self.counter += 1
            change = StepChange(self.run_id, step_id, to, self.epoch + off, output=self.counter)
            verdict = self.expect(change, awaited=awaited)
            calls.append(self.store.change_step(change) if awaited else self.soon(change))
            expected.append(verdict if awaited else None)
        # `gather` starts them in order in one turn of the loop: one batch.
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await self.store.get_value("everything before this is written")
        return [None if outcome is None else type(outcome) for outcome in outcomes], expected

    async def soon(self, change: StepChange) -> None:
        self.store.change_step_soon(change)

    def expect(self, change: StepChange, *, awaited: bool) -> type[Exception] | None:
        if awaited and change.epoch in self.late:
            return self.late.pop(change.epoch)
        verdict = self.judge(change)
        if verdict is None:
            self.model[change.step_id] = change.to
            self.outputs[change.step_id] = change.output
        elif not awaited:
            self.late.setdefault(change.epoch, verdict)
        return verdict

    def judge(self, change: StepChange) -> type[DirigentError] | None:
        if change.epoch != self.epoch:
            return StaleLease
        if change.step_id not in self.model:
            return NotFound
        return None if change.to in TRANSITIONS[self.model[change.step_id]] else IllegalTransition

    @rule(name=st.sampled_from(STEPS))
    def add_again(self, name: str) -> None:
        expected = self.late.pop(self.epoch, None)
        outcome = None
        try:
            self.do(self.store.add_steps(self.run_id, self.epoch, [PlanStep(id=name, tool="t")], USER))
        except DirigentError as error:
            outcome = type(error)
        assert outcome is expected

    @invariant()
    def the_journal_agrees_with_the_model(self) -> None:
        if not self.model:
            return
        records = self.do(self.store.get_steps(self.run_id))
        assert {record.step.id: record.status for record in records} == self.model
        assert {record.step.id: record.output for record in records if record.output} == self.outputs
        assert all((record.completed_at is not None) == (record.status in FINAL) for record in records)

    def teardown(self) -> None:
        self.do(self.store.close())
        self.loop.close()
        self.folder.cleanup()


class TestJournal(Journal.TestCase):
    settings = settings(
        max_examples=25,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
