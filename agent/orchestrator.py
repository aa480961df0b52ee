"""The story of one message: session and memory, a plan that streams, steps that run, questions, the answer.

Read `run` and `_story` from top to bottom. Every stage is in a room below; this file only says what follows what, and
that whatever is said to the person is first in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import traceback
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from agent import tracing
from agent.composer import compose_final_answer, drafts_of
from agent.domain.messages import Destination
from agent.domain.plan import PlanStep
from agent.domain.provenance import MEMORY, NOTHING, Provenance
from agent.domain.run import Run
from agent.domain.session import session_id_of
from agent.domain.states import FINAL, Status
from agent.errors import DirigentError, LimitReached, ModelError, OverBudget, PlanError, StaleLease, reference_id
from agent.execution import in_private, pictures, scene
from agent.execution.graph import (
    _apply_step_result,
    _is_success_status,
    _next_batch,
    _order_steps_safely,
    _seed_completed_sets,
)
from agent.execution.in_private import told_in_group
from agent.execution.live import LivePlan
from agent.execution.people import CHANGE, wishes
from agent.execution.posting import LastMessages, put_aside
from agent.execution.replies import said_of_reply
from agent.execution.scheduler import Outcome, Slots, StepScheduler
from agent.execution.together import EDIT
from agent.leases import INTERRUPTIONS, LEASE_SECONDS, MOST_FAULTS, SetAside, pause_after
from agent.logs import correlated
from agent.planning.offline import OfflinePlanner
from agent.planning.planner import Planner, plan_steps
from agent.planning.request import Answering, Direct, Dropped, Loading, Note, Planned, PlanRequest, Titled
from agent.policy.own_rules import permitted, rules_of, told_planner
from agent.policy.words import said_of_files
from agent.single_step import TASK_KEY, SingleStep
from agent.skills.noted import loaded_for, note_loading
from agent.texts import mark, say
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from agent.execution.context import RunContext

__all__ = [
    "OrchestratorRunner",
    "_apply_step_result",
    "_is_success_status",
    "_next_batch",
    "_order_steps_safely",
    "_seed_completed_sets",
    "compose_final_answer",
    "plan_steps",
]

FILES_LISTED = 40
FILE_NAME_CHARS = 120  # a name is text of whoever made the file; a planner reads names, not letters
USING = mark("Using the skill {name}.")
NOT_ABOUT_THE_TASK = {"recovery", "budget", CHANGE, EDIT}  # questions whose answers tell the planner nothing


class OrchestratorRunner(SingleStep):
    """Carries runs from a person's message to the answer. One for the whole process; runs live in the journal."""

    # --- the story --------------------------------------------------------------------------------------------------
    async def run(
        self,
        session: Any,
        user_text: str,
        bot: Any,
        context: Any,  # noqa: ARG002  # part of the specified call
        dest: Mapping[str, Any] | Destination,
    ) -> str:
        """Plan and carry out one request and return the final answer.

        `session` has an `id` (a Session, any object or dictionary with one, or the id itself); `dest` holds at least
        `chat_id`. `bot` is where messages go: None means that they are only journalled. `context` is not used. Errors
        are logged and told in the answer, never raised. While the run waits for a person, this waits too; the run
        itself survives a restart.
        """
        await self.start()
        place = Destination.of(dest)
        opened = await self.open_run(session_id_of(session, place), user_text, place)
        if bot is not None:
            self._bots[opened.id] = bot
        finished = self._finished.setdefault(opened.id, asyncio.Event())
        self.submit(opened)
        try:
            await finished.wait()
        finally:
            self._finished.pop(opened.id, None)
            self._bots.pop(opened.id, None)
        return (await self._store.get_run(opened.id)).answer

    async def _work(self, run_id: int) -> None:
        """Work on a run until it is finished or waits for a person: what the engine calls.

        A journal that fails only interrupts it: when that can be read and written again, it goes on from there.
        """
        taken = 0
        for faults in count():
            try:
                run = await self._store.lease_run(run_id, self._owner, LEASE_SECONDS)
                if run is None:
                    await self._come_back(run_id, interrupted=bool(taken))
                    return
                taken += 1
                with correlated(run.corr_id, is_run=True):
                    await self._work_on(run, interrupted=1 < taken <= MOST_FAULTS)
            except INTERRUPTIONS as error:
                self._log.warning("the work on run {} is interrupted: {}", run_id, error)
            else:
                return
            await asyncio.sleep(pause_after(faults))

    async def _work_on(self, run: Run, *, interrupted: bool) -> None:
        try:
            async with self._leased(run, interrupted=interrupted):
                told: dict[str, str | int] = {"dirigent.run.ref": run.ref, "dirigent.run.epoch": run.epoch}
                with tracing.begin("work on run", told, of=run.corr_id):
                    await self._story(run)
        except asyncio.CancelledError:
            await self._let_go(run)
            raise
        except INTERRUPTIONS:
            raise
        except StaleLease:
            self._log.warning("run {} was taken over by another worker", run.id)
        except DirigentError as error:
            await self._fail(run, error.message, error.hint, aside=isinstance(error, SetAside))
        except Exception:
            ref = reference_id()
            self._log.error("{} run {} failed:\n{}", ref, run.id, traceback.format_exc())
            await self._fail(run, f"Something in Dirigent failed ({ref}).", "The log has the details; try again.")
        finally:
            self.sessions.let_go(run.id)
            self._show_busy(run, on=False)

    async def _story(self, run: Run) -> None:
        bot = self._bot_of(run)
        self._show_busy(run, on=not run.quiet)
        ctx = await self._begin(run, bot)
        live = self._shown[run.id] = await self._live_plan(ctx)
        try:
            async with asyncio.timeout(self._config.limits.seconds):
                outcome = await self._plan_and_execute(ctx, live)
                while not outcome.waiting or outcome.stopped_because:
                    if await self._answer(ctx, live, outcome):
                        await self._hand_on(ctx)
                        return
                    outcome = await self._plan_and_execute(ctx, live)
                await self._wait_for_person(ctx, live)
        except OverBudget as refused:
            if await self._asks_for_money(ctx, refused) is None:
                raise
            await self._wait_for_person(ctx, live)
        except TimeoutError:
            used, setting = self._config.limits.seconds, "limits.seconds"
            raise LimitReached("seconds of work in one run", value=used, used=used, setting=setting) from None
        finally:
            self._shown.pop(run.id, None)
            await live.stop()

    async def _plan_and_execute(self, ctx: RunContext, live: LivePlan) -> Outcome:
        """Plan, carry out, and plan anew while results call for it and the limit allows it."""
        if (held_up := self._held_up(ctx)) is not None:
            return held_up
        while True:
            ctx.summary = self._progress_context(ctx)
            stopped = scene.failure_that_stops(ctx)  # the journal is asked: this may be a later drive of the run
            try:
                outcome = Outcome(stopped_because=stopped) if stopped else await self._execute(ctx, live)
            except (ModelError, PlanError, LimitReached) as error:
                if (asking := await self._asks_for_money(ctx, error)) is not None:
                    return asking
                if not any(result.success for result in ctx.results.values()):
                    raise
                return Outcome(stopped_because=error.message, trouble=str(error))  # what there is, is the answer
            if await self._open_wishes(ctx) and not outcome.stopped_because:
                continue  # said in the last moment: the same plan is taken up again, with the wish
            if outcome.waiting or outcome.stopped_because:
                return outcome
            because = await scene.failure_worth_replanning(self._store, ctx)
            if not because or ctx.llm is None or self._planned_too_often(ctx):
                return replace(outcome, replan_because=because)
            if circles := scene.going_in_circles(ctx):
                return replace(outcome, replan_because=because, trouble=circles)
            live.say(f"Planning anew, because {because}")
            await scene.prepare_new_plan(self._store, ctx)
            await self._change(ctx, replans=ctx.run.replans + 1, plan_complete=False)

    async def _execute(self, ctx: RunContext, live: LivePlan) -> Outcome:
        if ctx.run.given and not (ctx.run.plan_complete or ctx.run.replans):
            await self._take_given_plan(ctx, live)
        scheduler = StepScheduler(
            lambda step: self._dispatcher.take_through(ctx, step),
            slots=Slots(self._config.limits.steps_per_run, self._slots_of(ctx.session.id)),
            starts_early=lambda step: not self._dispatcher.has_effect(step, ctx),
            on_change=lambda step, response: self._step_changed(ctx, live, step, response),
            changes=lambda: self._changes(ctx, live, scheduler),
        )
        scheduler.seed({step_id: result for step_id, result in ctx.results.items() if ctx.status[step_id] in FINAL})
        self._live[ctx.run.id] = scheduler
        ctx.gathering.starting = lambda: scheduler.starting
        if await self._open_wishes(ctx):
            scheduler.want_change()
        try:
            async with contextlib.aclosing(self._steps(ctx, live)) as steps:
                return await scheduler.run(steps)
        finally:
            del self._live[ctx.run.id]

    async def _steps(self, ctx: RunContext, live: LivePlan) -> AsyncGenerator[PlanStep]:
        """Yield the journalled steps, then those that the planner adds, each journalled before it is yielded.

        On a replan the old plan's steps that have not begun are held back until the new plan names them again.
        """
        replanning = bool(ctx.run.replans) and not ctx.run.plan_complete
        for record in list(ctx.records.values()):
            if not replanning or ctx.status[record.step.id] is not Status.PENDING:
                yield record.step
        if ctx.run.plan_complete:
            return
        async with contextlib.aclosing(self._new_steps(ctx, live, replanning=replanning)) as steps:
            async for step in steps:
                yield step

    async def _new_steps(self, ctx: RunContext, live: LivePlan, *, replanning: bool) -> AsyncGenerator[PlanStep]:
        """Yield the steps that the planner adds or names again; cancel those of the old plan that it does not name."""
        named: set[str] = set()
        async for planned in self._planned(ctx, live, replanning=replanning):
            step = planned.step
            named.add(step.id)
            if not planned.kept:
                await self._store.add_steps(ctx.run.id, ctx.run.epoch, [step], planned.control)
                ctx.status[step.id] = Status.PENDING
                ctx.control[step.id] = planned.control
                self._expect(ctx, step)
            live.add(step)
            yield step
        if replanning:
            for gone in await scene.cancel_replaced(self._store, ctx, named):
                live.add(gone, Status.CANCELLED, "replaced")
        ctx.records = {record.step.id: record for record in await self._store.get_steps(ctx.run.id)}
        await self._change(ctx, plan_complete=True)
        if ctx.heard:
            await self._taken_up(ctx, ctx.heard)

    async def _planned(self, ctx: RunContext, live: LivePlan, *, replanning: bool) -> AsyncGenerator[Planned]:
        """Ask the planner, with a model or without, and pass on its steps; what else it says goes to the chat."""
        request = await self._plan_request(ctx, replanning=replanning)
        show = drafts_of(LastMessages(ctx.bot), self._place(ctx), ctx.session, ctx.run.id)
        if ctx.llm is not None:
            events = Planner(ctx.llm, self._catalogue, self._config.llm).stream(request)
        else:
            events = OfflinePlanner(self._catalogue).stream(request)
        planning = tracing.begin(
            "plan", {"dirigent.replanning": replanning, "dirigent.with_model": ctx.llm is not None}
        )
        async with contextlib.aclosing(tracing.within(planning, events)) as told:
            async for event in told:
                if isinstance(event, Planned):
                    yield event
                elif isinstance(event, Titled):
                    live.title = event.title
                    await self._change(ctx, title=event.title)
                elif isinstance(event, Dropped):
                    ctx.dropped = (*ctx.dropped, *event.step_ids)
                elif isinstance(event, Note):
                    live.say(event.text)
                elif isinstance(event, Loading):
                    await note_loading(self._store, ctx.run, event.skill)
                    live.say(say(ctx.run.dest.language, USING, name=event.skill.name))
                elif isinstance(event, Answering):
                    live.hush()
                    await show(event.text)
                elif isinstance(event, Direct):
                    ctx.direct_answer = event.text
                    await self._change(ctx, answer=event.text)

    async def _plan_request(self, ctx: RunContext, *, replanning: bool) -> PlanRequest:
        records, asked = await asyncio.gather(self._store.get_steps(ctx.run.id), self._store.questions_of(ctx.run.id))
        known = await self._session_data(ctx.session)
        wanted = wishes(asked) if replanning else []
        ctx.heard = tuple(wish.id for wish in wanted)
        if replanning:  # a person may have sent a file meanwhile
            await self.sessions.fetch(ctx.session, patience=math.inf)
        with Workspace(ctx.session.workspace) as workspace:
            names = [name for name in workspace.list_files() if len(name) <= FILE_NAME_CHARS]
        seen, looked_at = await pictures.of_request(self._store, self._toolbox, ctx)
        memory = await self.sessions.memory(ctx.session).context()
        tools, rules = self._catalogue.tools(ctx.session.profile), await rules_of(self._store)
        loaded = await loaded_for(self._store, ctx.run, self.skills, ctx.session.profile)
        read = [
            *(skill.label for skill in loaded),
            ctx.plan_control,
            self._history_label(known, TASK_KEY),
            looked_at,
            MEMORY if memory else NOTHING,
        ]
        return PlanRequest(
            user_text=ctx.run.request,
            tools=permitted(tools, rules),
            context=self._build_orchestrator_context(known, TASK_KEY)
            + await said_of_reply(self._store, ctx.run)
            + told_planner(tools, rules),
            memory=memory,
            files=tuple(names[:FILES_LISTED]),
            progress=tuple(records) if replanning else (),
            reason=await scene.failure_worth_replanning(self._store, ctx) if replanning else "",
            answers=tuple(
                (q.text, q.answer) for q in asked if q.answer is not None and q.kind not in NOT_ABOUT_THE_TASK
            ),
            wishes=tuple(str(wish.answer) for wish in wanted),
            planned=() if replanning else tuple(record.step for record in records),
            language=ctx.session.language,
            told_in=ctx.run.dest.language,
            now=time.strftime("%A %Y-%m-%d %H:%M %Z"),
            limits=self._config.limits,
            control=Provenance.union([*read, said_of_files(names, ctx.file_labels, ctx.run.request)]),
            pictures=seen,
            model=ctx.session.model,
            words=ctx.plan_control,
            skills=tuple(await asyncio.to_thread(self.skills.usable, ctx.session.profile)),
            loaded=loaded,
        )

    async def _answer(self, ctx: RunContext, live: LivePlan, outcome: Outcome) -> bool:
        """Write the answer and end the run: status, answer and last messages in one transaction.

        False, with nothing ended, when somebody has meanwhile wanted something different.
        """
        because = outcome.stopped_because or outcome.replan_because or scene.nothing_done(ctx)
        status = Status.FAILED if because else Status.COMPLETED
        last, place = LastMessages(ctx.bot), self._place(ctx)
        elsewhere = place != ctx.run.dest
        pipeline, spoken = ctx.run.is_pipeline, "" if outcome.trouble else scene.spoken(ctx)
        if pipeline and not because:
            spoken = scene.given_answer(ctx)
        text = await compose_final_answer(
            ctx.session,
            last,
            None,
            place,
            [{"id": "answer", "status": "ok", "text": spoken}]
            if spoken
            else [*scene.results(ctx), *scene.trouble(ctx, outcome.trouble)],
            await asyncio.to_thread(put_aside, ctx.session, ctx.run.id, scene.deliveries(ctx)),
            ctx.run.corr_id,
            place.chat_id,
            llm=None if spoken or outcome.trouble or pipeline else ctx.llm,
            request=ctx.run.request,
            run_id=ctx.run.id,
            status=status.value,
            notice=live.say,
            buttons=[] if elsewhere else self._offers(ctx, because),  # they would be pressed in another chat
        )
        if await self._open_wishes(ctx) and not outcome.stopped_because:
            return False
        known = await self._session_data(ctx.session)
        made_of = scene.control_after(ctx) | self._history_label(known, TASK_KEY)
        live.state = "failed" if because else "done"
        messages = [] if live.quiet and not because else told_in_group(ctx.run, last.kept, place)
        await self._finish(ctx, live, status, text, error=because, messages=messages)
        said = in_private.SENT_IN_PRIVATE if elsewhere else text  # the group's memory is the group's
        await self._keep_history(ctx, TASK_KEY, said, status, made_of)
        self._tell_finished(ctx.run.id)
        if status is Status.COMPLETED and ctx.run.provenance.trusted:
            self._in_background(self._remember(ctx, said))
        return True

    def _place(self, ctx: RunContext) -> Destination:
        """Return where the answer goes: what is private does not go into a group."""
        return in_private.place_of_answer(ctx, self._config.owners, lambda tool: self._reads_private(ctx, tool))

    def _reads_private(self, ctx: RunContext, tool: str) -> bool:
        try:
            return self._catalogue.find(tool, ctx.session.profile).private
        except DirigentError:  # gone since, so nobody can say
            return True
