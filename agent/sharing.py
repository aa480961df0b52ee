"""Runs that several processes share: what these tell one another, and how a run passes from one to the next.

A person's word is journalled where it comes in. Where the run is at work in another process, that one is told to look
at the journal; should it miss that, it looks when it is connected again, and the run is worked on once more anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.states import FINAL, Status
from agent.engine.owner import is_gone
from agent.engine.protocol import ALL
from agent.errors import DirigentError
from agent.execution.pausing import KIND
from agent.execution.people import CHANGE
from agent.execution.resting import only_waits
from agent.leases import MOST_DEATHS, Leases
from agent.spending import Spending, woken
from agent.store.tidying import tidy_daily
from agent.texts import mark, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.domain.messages import Bot
    from agent.domain.run import Run
    from agent.engine.protocol import Engine
    from agent.execution.live import LivePlan
    from agent.execution.scheduler import StepScheduler
    from agent.versions.versions import Versions

LOOK, ENDED, PUBLISHED, BUSY, REST, ASKED = "look", "ended", "published", "busy", "rest", "asked"
EXPIRY_GRACE = 0.05
PROJECT_SECONDS = 2.0
WATCH_SECONDS = 5.0
SWEEP_SECONDS = 30.0
PATIENCE_SECONDS = 10.0  # that a run waits until its person is told that no worker is there
RESTARTED = mark("↻ I was restarted; going on with step {number} of {total}.")
AGAIN = mark("↻ I was restarted; going on.")
NOBODY = mark("⏳ No worker is running, so this waits. `dirigent worker` starts one.")


def details_key(run_id: int) -> str:
    """Return the name of the value that says whether a run's plan is shown with its details."""
    return f"run:{run_id}:details"


def wishes_key(run_id: int) -> str:
    """Return the name of the value that says which wishes the present plan of a run has taken up."""
    return f"run:{run_id}:wishes"


class Sharing(Spending, Leases, ABC):
    """The part of a run's life that is spread over processes, and over their lives."""

    _engine: Engine
    _owner: str
    _bot: Bot
    versions: Versions
    _live: dict[int, StepScheduler]
    _shown: dict[int, LivePlan]
    _asked_for_changes: set[int]
    _finished: dict[int, asyncio.Event]
    _open_questions: set[str]
    _expiries: dict[int, asyncio.TimerHandle]
    when_finished: list[Callable[[int], None]]
    when_published: list[Callable[[], None]]

    @abstractmethod
    def submit(self, run: Run, *, at: float = 0.0) -> None:
        """Have a run worked on (again)."""

    @abstractmethod
    def _bot_of(self, run: Run) -> Bot:
        """Return how a run speaks."""

    # --- taken up again -----------------------------------------------------------------------------------------
    async def resume(self, channel: str = "") -> None:
        """Take up the runs of a channel ("" for all) that the journal says are unfinished.

        A run whose worker died is taken over at once; one that another living process works on is left to it.
        """
        known = await self._engine.known() if self._engine.elsewhere else set()
        for run in await self._store.unfinished_runs():
            if channel and run.dest.channel != channel:
                continue
            self._open_questions |= {q.id for q in await self._store.questions_of(run.id) if q.answer is None}
            if run.id in known:
                continue
            if await only_waits(self._store, run):
                await self._wake_on_expiry(run)
                continue
            if not self._engine.elsewhere:
                await self._take_up(run)
            self.submit(run)

    async def _take_up(self, run: Run) -> None:
        """Say that a run goes on that nobody has: it was let go at the end of a process, or its worker is gone."""
        if run.lease_owner:
            if not is_gone(run.lease_owner):
                return
            await self._store.release_run(run.id, run.epoch)
        await self._tell_restarted(run)

    async def _tell_restarted(self, run: Run) -> None:
        """Say once that a run goes on after a restart, and where; after the next restart the same message says it."""
        records = await self._store.get_steps(run.id)
        places = [place for place, record in enumerate(records, start=1) if record.status not in FINAL]
        if run.quiet or run.status is not Status.RUNNING or not records:
            return
        if (await self._deaths_by_now(run))[1] >= MOST_DEATHS:  # it is set aside, which is told instead
            return
        language, number = run.dest.language, min(places, default=len(records))
        text = (
            say(language, RESTARTED, number=number, total=len(records)) if run.plan_complete else say(language, AGAIN)
        )
        await self._tell_once(run, "restarted", text)

    async def _tell_once(self, run: Run, name: str, text: str) -> None:
        key = f"run:{run.id}:{name}"
        told = OutboundMessage(
            run.dest, MessageKind.NOTICE, key, {"text": text}, session_id=run.session_id, run_id=run.id
        )
        await self._bot.post(told)

    async def _abandoned(self, run_id: int) -> None:
        """Take a run from a worker that is gone: whatever that one still writes is refused."""
        run = await self._store.get_run(run_id)
        if run.lease_owner and run.status not in FINAL:
            await self._store.take_away(run_id)
            await self._tell_restarted(run)

    async def _let_go(self, run: Run) -> None:
        """Give a run's lease back: this process was told to stop, and the next one need not know that it is gone."""
        with contextlib.suppress(DirigentError):
            await self._store.release_run(run.id, run.epoch)

    async def _wake_on_expiry(self, run: Run) -> None:
        """Have the run worked on when its next approval expires, which is a denial; a timer, not a task, waits."""
        ends = [a.expires_at for a in await self._store.approvals_of(run.id) if a.decision is None and a.expires_at]
        self._forget_expiry(run.id)
        if ends:
            self._submit_at(run, max(time.time(), min(ends)) + EXPIRY_GRACE)

    async def _come_back(self, run_id: int, *, interrupted: bool) -> None:
        """Have a run worked on later that another process has, or that only waits for its project.

        One that was `interrupted` here may have ended all the same, which nobody was told then.
        """
        run = await self._store.get_run(run_id)
        if interrupted and run.status in FINAL:
            self._tell_finished(run_id)
        if run.status not in FINAL:
            self._forget_expiry(run_id)
            self._submit_at(run, self._free_at(run))

    def _free_at(self, run: Run) -> float:
        """Return when it is worth trying again to have a run that somebody has, or whose project is taken."""
        soon = time.time() + PROJECT_SECONDS
        theirs = run.lease_owner not in {"", self._owner} and not self._engine.elsewhere
        return max(soon, run.lease_until) if theirs else soon  # who cannot be seen from here may be dead

    def _submit_at(self, run: Run, at: float) -> None:
        if self._engine.elsewhere:  # this process may be gone by then
            self.submit(run, at=at)
            return
        pause = max(0.0, at - time.time())
        self._expiries[run.id] = asyncio.get_running_loop().call_later(pause, self.submit, run)

    def _forget_expiry(self, run_id: int) -> None:
        timer = self._expiries.pop(run_id, None)
        if timer is not None:
            timer.cancel()

    # --- telling and hearing --------------------------------------------------------------------------------------
    def _go_on(self, run: Run, step_id: str) -> None:
        scheduler = self._live.get(run.id)
        if scheduler is None or not scheduler.wake(step_id):
            self._look_elsewhere(run)

    def _look_elsewhere(self, run: Run) -> None:
        """Have a run worked on, and whoever works on it now look at what was said."""
        self.submit(run)
        self._engine.tell(LOOK, run.id)

    def _show_busy(self, run: Run, *, on: bool) -> None:
        """Show or stop showing in the chat that work is going on, wherever its channel is."""
        self._bot_of(run).busy(run.dest, on=on)
        self._engine.tell(BUSY if on else REST, run.id)

    def _tell_published(self) -> None:
        self._publish()
        self._engine.tell(PUBLISHED)

    def _publish(self) -> None:
        for listener in self.when_published:
            listener()

    def _tell_finished(self, run_id: int) -> None:
        self._has_ended(run_id)
        self._engine.tell(ENDED, run_id)

    def _has_ended(self, run_id: int) -> None:
        if run_id in self._finished:
            self._finished[run_id].set()
        for listener in self.when_finished:
            listener(run_id)

    def _heard(self, what: str, run_id: int) -> None:
        """Take in what another process has told; see Engine.start."""
        if what == ENDED:
            self._has_ended(run_id)
        elif what == LOOK and run_id in self._live:
            self._in_background(self._look_again(run_id))
        elif what == PUBLISHED:
            self._publish()
        elif what in {BUSY, REST}:
            self._in_background(self._pass_on_busy(run_id, on=what == BUSY))
        elif what == ASKED:
            self._in_background(self._note_questions(run_id))
        elif what == ALL:
            self._in_background(self._look_around())

    async def _look_again(self, run_id: int) -> None:
        """Let the steps of a run at work here go on whose word has come, and take up what is to be different."""
        asked, approvals = await asyncio.gather(self._store.questions_of(run_id), self._store.approvals_of(run_id))
        shown = self._shown.get(run_id)
        if shown is not None:
            shown.unfold(details=await self._store.get_value(details_key(run_id)) == "1")
        scheduler = self._live.get(run_id)
        if scheduler is None:
            return
        answered = [question for question in asked if question.answer is not None]
        taken_up = json.loads(await self._store.get_value(wishes_key(run_id)) or "[]")
        if any(question.kind == CHANGE and question.id not in taken_up for question in answered):
            scheduler.want_change()
        said = {question.id for question in answered} | {one.id for one in approvals if one.decision is not None}
        for step_id, response in list(scheduler.outcome.waiting.items()):
            if said & {response.question_id, response.approval_id}:
                scheduler.wake(step_id)
        if not any(question.kind == KIND and question.answer is None for question in asked):
            for question in answered:
                woken(scheduler, question)

    async def _pass_on_busy(self, run_id: int, *, on: bool) -> None:
        run = await self._store.get_run(run_id)
        self._bot_of(run).busy(run.dest, on=on)

    async def _note_questions(self, run_id: int) -> None:
        self._open_questions |= {q.id for q in await self._store.questions_of(run_id) if q.answer is None}

    async def _look_around(self) -> None:
        """Look at everything that somebody may have told meanwhile."""
        try:
            for run_id in list(self._live):
                await self._look_again(run_id)
            for run_id in list(self._finished):
                if (await self._store.get_run(run_id)).status in FINAL:
                    self._has_ended(run_id)
        except DirigentError as error:  # it is done again soon
            self._log.warning("What other processes have done can't be looked at: {}", error)
        self._publish()

    async def said_of_workers(self) -> str:
        """Say how many workers there are and how much there is to do; "" where this process does it all itself."""
        if not self._engine.elsewhere:
            return ""
        load = await self._engine.load()
        return f"Workers: {len(load.workers)} alive, {load.at_work} requests at work, {load.waiting} waiting"

    # --- the one at the desk --------------------------------------------------------------------------------------
    async def keep_house(self) -> None:
        """Do what exactly one of several processes has to do, until cancelled: tidy up, and miss runs and workers."""
        await self.versions.finish_interrupted(self.sessions.open)
        tidying = tidy_daily(self._store, self._config.limits.keep_days, self.versions.forget_older)
        async with asyncio.TaskGroup() as group:
            group.create_task(tidying)
            group.create_task(self.keep_watch())

    async def keep_watch(self) -> None:
        """Look for runs that nobody has, and for workers, until cancelled; several may do it."""
        told: set[int] = set()
        looked = 0.0
        while True:
            try:
                load = await self._engine.load()
                if not load.workers and load.waiting:
                    await self._tell_nobody(told)
                if time.monotonic() - looked > SWEEP_SECONDS:
                    await self._sweep()
                    looked = time.monotonic()
            except Exception as error:
                self._log.warning("Runs without a worker can't be looked for: {!r}", error)
            await asyncio.sleep(WATCH_SECONDS)

    async def _sweep(self) -> None:
        """Submit runs that wait for nobody and that no process has: whoever was to do it has died before."""
        known = await self._engine.known()
        now = time.time()
        for run in await self._store.unfinished_runs():
            lost = run.id not in known and run.lease_until < now and run.created_at < now - WATCH_SECONDS
            if lost and not await only_waits(self._store, run):
                self.submit(run)

    async def _tell_nobody(self, told: set[int]) -> None:
        """Say to those who wait that no worker is there."""
        for run in await self._store.unfinished_runs():
            waits = run.status is not Status.WAITING_APPROVAL and time.time() - run.created_at > PATIENCE_SECONDS
            if waits and run.id not in told and not run.quiet:
                told.add(run.id)
                await self._tell_once(run, "nobody", say(run.dest.language, NOBODY))
