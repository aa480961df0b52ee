"""The story of one message: session and memory, a plan that streams, steps that run, questions, the answer.

Read `run` and `_story` from top to bottom. Every stage is in a room below; this file only says what follows what, and
that whatever is said to the person is first in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.composer import compose_final_answer, drafts_of
from agent.domain.execution import ExecutorRequest, ExecutorResponse, ResponseStatus
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.plan import PlanStep
from agent.domain.run import Run, StepChange
from agent.domain.session import Profile, Session
from agent.domain.states import FINAL, Status
from agent.engine.owner import is_gone, own_name
from agent.errors import DirigentError, LimitReached, StaleLease, reference_id
from agent.execution import scene
from agent.execution.dispatcher import TO_RUNNING, Dispatcher
from agent.execution.executor import Executor
from agent.execution.graph import (
    _apply_step_result,
    _is_success_status,
    _next_batch,
    _order_steps_safely,
    _seed_completed_sets,
)
from agent.execution.live import LivePlan
from agent.execution.metered import MeteredLLM
from agent.execution.people import approval_message, question_message
from agent.execution.posting import LastMessages, Outbox, put_aside
from agent.execution.scheduler import Outcome, Slots, StepScheduler
from agent.execution.toolbox import Toolbox
from agent.housekeeping import Housekeeping
from agent.memory.memory import MemoryDoor, SessionMemory
from agent.planning.offline import OfflinePlanner
from agent.planning.planner import Planner, plan_steps
from agent.planning.request import Answering, Direct, Note, Planned, PlanRequest, Titled
from agent.policy.budget import Budget
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.domain.messages import Bot
    from agent.domain.run import Approval, Question
    from agent.engine.protocol import Engine
    from agent.execution.context import RunContext
    from agent.llm.protocol import LLM
    from agent.store.protocol import Store
    from sandbox.boxes import Boxes

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

LEASE_SECONDS = 60.0
FILES_LISTED = 40
TASK_KEY = "chat"


class OrchestratorRunner(Housekeeping):
    """Carries runs from a person's message to the answer. One for the whole process; runs live in the journal."""

    def __init__(
        self,
        config: AppConfig,
        *,
        store: Store,
        catalogue: Catalogue,
        boxes: Boxes,
        engine: Engine,
        llm: LLM | None = None,
        bot: Bot | None = None,
    ) -> None:
        super().__init__(config, catalogue, llm)
        self._store = store
        self._engine = engine
        self._bot: Bot = bot or Outbox(store)
        toolbox = Toolbox(config, catalogue, boxes)
        self._executor = Executor(config, store, catalogue, toolbox)
        self._dispatcher = Dispatcher(config, store, catalogue, toolbox, self._executor)
        self._owner = own_name()
        self._slots = Slots(config.limits.steps_total)
        self._session_slots: dict[str, Slots] = {}
        self._live: dict[int, StepScheduler] = {}
        self._bots: dict[int, Bot] = {}
        self._profiles: dict[int, Profile] = {}
        self._finished: dict[int, asyncio.Event] = {}
        self._open_questions: set[str] = set()
        self._present: RunContext | None = None

    # --- life -------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Begin to work on what is submitted."""
        await self._engine.start(self._work)

    async def resume(self, channel: str = "") -> None:
        """Take up the runs of a channel ("" for all) that the journal says are unfinished.

        A run whose worker died is taken over at once; one that another living process works on is left to it.
        """
        for run in await self._store.unfinished_runs():
            if channel and run.dest.channel != channel:
                continue
            self._open_questions |= {q.id for q in await self._store.questions_of(run.id) if q.answer is None}
            if run.lease_owner and is_gone(run.lease_owner):
                await self._store.release_run(run.id, run.epoch)
            self.submit(run)

    async def stop(self) -> None:
        """Stop working; runs stay in the journal and go on after the next start."""
        await self._engine.stop()
        for task in list(self._background):
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)

    def submit(self, run: Run) -> None:
        """Have a run worked on (again)."""
        self._engine.submit(run.id, session_id=run.session_id, user_id=run.user_id, priority=run.priority)

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
        place = dest if isinstance(dest, Destination) else Destination.from_json(dict(dest))
        opened = await self.open_run(_id_of(session, place), user_text, place)
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

    async def open_run(self, session_id: str, text: str, dest: Destination, **fields: Any) -> Run:
        """Journal a new run; with `inbox_id` the message counts as heard in the same transaction."""
        corr_id = reference_id()
        session = await self.sessions.open(session_id)
        await self._store.touch_session(session_id, session.folder, dest.to_json())
        return await self._store.open_run(Run(session_id, text, dest, corr_id=corr_id, **fields))

    async def _work(self, run_id: int) -> None:
        """Work on a run until it is finished or waits for a person: what the engine calls."""
        run = await self._store.lease_run(run_id, self._owner, LEASE_SECONDS)
        if run is None or run.status in FINAL:
            return
        keeper = asyncio.create_task(self._keep_lease(run), name=f"lease-{run.id}")
        try:
            await self._story(run)
        except StaleLease:
            self._log.warning("run {} was taken over by another worker", run.id)
        except DirigentError as error:
            await self._fail(run, error.message, error.hint)
        except Exception:
            ref = reference_id()
            self._log.error("{} run {} failed:\n{}", ref, run.id, traceback.format_exc())
            await self._fail(run, f"Something in Dirigent failed ({ref}).", "The log has the details; try again.")
        finally:
            keeper.cancel()
            self._bot_of(run).busy(run.dest, on=False)

    async def _story(self, run: Run) -> None:
        bot = self._bot_of(run)
        bot.busy(run.dest, on=True)
        ctx = await self._begin(run, bot)
        live = self._live_plan(ctx)
        try:
            async with asyncio.timeout(self._config.limits.seconds):
                outcome = await self._plan_and_execute(ctx, live)
                if outcome.waiting:
                    await self._wait_for_person(ctx, live)
                    return
                await self._answer(ctx, live, outcome)
        except TimeoutError:
            used, setting = self._config.limits.seconds, "limits.seconds"
            raise LimitReached("seconds of work in one run", value=used, used=used, setting=setting) from None
        finally:
            await live.stop()

    async def _plan_and_execute(self, ctx: RunContext, live: LivePlan) -> Outcome:
        """Plan, carry out, and plan anew while results call for it and the limit allows it."""
        while True:
            ctx.summary = self._progress_context(ctx)
            outcome = await self._execute(ctx, live)
            if outcome.waiting or outcome.stopped_because:
                return outcome
            because = await scene.failure_worth_replanning(self._store, ctx)
            if not because or ctx.llm is None or ctx.run.replans >= self._config.limits.replans:
                return replace(outcome, replan_because=because)
            live.say(f"Planning anew, because {because}")
            await scene.prepare_new_plan(self._store, ctx)
            await self._change(ctx, replans=ctx.run.replans + 1, plan_complete=False)

    async def _execute(self, ctx: RunContext, live: LivePlan) -> Outcome:
        scheduler = StepScheduler(
            lambda step: self._dispatcher.take_through(ctx, step),
            slots=Slots(self._config.limits.steps_per_run, self._slots_of(ctx.session.id)),
            starts_early=lambda step: not self._dispatcher.has_effect(step, ctx),
            on_change=lambda step, response: self._step_changed(ctx, live, step, response),
        )
        scheduler.seed({step_id: result for step_id, result in ctx.results.items() if ctx.status[step_id] in FINAL})
        self._live[ctx.run.id] = scheduler
        try:
            async with contextlib.aclosing(self._steps(ctx, live)) as steps:
                return await scheduler.run(steps)
        finally:
            del self._live[ctx.run.id]

    async def _steps(self, ctx: RunContext, live: LivePlan) -> AsyncGenerator[PlanStep, None]:
        """Yield the journalled steps, then those that the planner adds, each journalled before it is yielded.

        On a replan the old plan's steps that have not begun are held back until the new plan names them again.
        """
        replanning = bool(ctx.run.replans) and not ctx.run.plan_complete
        for record in list(ctx.records.values()):
            if not replanning or ctx.status[record.step.id] is not Status.PENDING:
                yield record.step
        if ctx.run.plan_complete:
            return
        named: set[str] = set()
        async for planned in self._planned(ctx, live, replanning=replanning):
            step = planned.step
            named.add(step.id)
            if not planned.kept:
                await self._store.add_steps(ctx.run.id, ctx.run.epoch, [step], planned.control)
                ctx.status[step.id] = Status.PENDING
                ctx.control[step.id] = planned.control
            live.add(step)
            yield step
        if replanning:
            for gone in await scene.cancel_replaced(self._store, ctx, named):
                live.add(gone, Status.CANCELLED, "replaced")
        ctx.records = {record.step.id: record for record in await self._store.get_steps(ctx.run.id)}
        await self._change(ctx, plan_complete=True)

    async def _planned(self, ctx: RunContext, live: LivePlan, *, replanning: bool) -> AsyncGenerator[Planned, None]:
        """Ask the planner, with a model or without, and pass on its steps; what else it says goes to the chat."""
        request = await self._plan_request(ctx, replanning=replanning)
        show = drafts_of(ctx.bot, ctx.run.dest, ctx.session, ctx.run.id)
        if ctx.llm is not None:
            events = Planner(ctx.llm, self._catalogue, self._config.llm).stream(request)
        else:
            events = OfflinePlanner(self._catalogue).stream(request)
        async with contextlib.aclosing(events):
            async for event in events:
                if isinstance(event, Planned):
                    yield event
                elif isinstance(event, Titled):
                    live.title = event.title
                    await self._change(ctx, title=event.title)
                elif isinstance(event, Note):
                    live.say(event.text)
                elif isinstance(event, Answering):
                    await show(event.text)
                elif isinstance(event, Direct):
                    ctx.direct_answer = event.text
                    await self._change(ctx, answer=event.text)

    async def _plan_request(self, ctx: RunContext, *, replanning: bool) -> PlanRequest:
        records = await self._store.get_steps(ctx.run.id)
        asked = await self._store.questions_of(ctx.run.id)
        with Workspace(ctx.session.workspace) as workspace:
            files = tuple(workspace.list_files()[:FILES_LISTED])
        return PlanRequest(
            user_text=ctx.run.request,
            tools=tuple(self._catalogue.tools(ctx.session.profile)),
            context=self._build_orchestrator_context(await self._session_data(ctx.session), TASK_KEY),
            memory=await SessionMemory(ctx.session.folder).context(),
            files=files,
            progress=tuple(records) if replanning else (),
            reason=await scene.failure_worth_replanning(self._store, ctx) if replanning else "",
            answers=tuple((q.text, q.answer) for q in asked if q.answer is not None),
            planned=() if replanning else tuple(record.step for record in records),
            language=ctx.session.language,
            now=time.strftime("%A %Y-%m-%d %H:%M %Z"),
            limits=self._config.limits,
            control=ctx.plan_control,
            model=ctx.session.model,
        )

    async def _answer(self, ctx: RunContext, live: LivePlan, outcome: Outcome) -> None:
        """Write the answer and end the run: status, answer and last messages in one transaction."""
        because = outcome.stopped_because or outcome.replan_because
        status = Status.FAILED if because else Status.COMPLETED
        last = LastMessages(ctx.bot)
        spoken = ctx.direct_answer or scene.speaks_for_itself(ctx)
        text = await compose_final_answer(
            ctx.session,
            last,
            None,
            ctx.run.dest,
            [{"id": "answer", "status": "ok", "text": spoken}] if spoken else scene.results(ctx),
            await asyncio.to_thread(put_aside, ctx.session, ctx.run.id, scene.deliveries(ctx)),
            ctx.run.corr_id,
            ctx.run.dest.chat_id,
            llm=None if spoken else ctx.llm,
            request=ctx.run.request,
            run_id=ctx.run.id,
            status=status.value,
        )
        live.state = "failed" if because else "done"
        await self._finish(ctx, live, status, text, error=because, messages=last.kept)
        await self.sessions.add_history(ctx.session, TASK_KEY, ctx.run.request, text, status.value)
        self._tell_finished(ctx.run.id)
        if status is Status.COMPLETED and ctx.run.provenance.trusted:
            self._in_background(self._remember(ctx, text))

    # --- beginning, waiting, ending -----------------------------------------------------------------------------
    async def _begin(self, run: Run, bot: Bot) -> RunContext:
        session = await self.sessions.open(run.session_id)
        if self._profiles.get(run.id):
            session = replace(session, profile=self._profiles[run.id])
        ctx = self._present = await scene.set_the_scene(self._store, run, session, bot)
        if self._llm is not None:
            budget = Budget(self._store, run, self._config.limits)
            await budget.load()
            ctx.llm = MeteredLLM(self._llm, budget)
            ctx.money = lambda: budget.money
        ctx.memory = MemoryDoor(SessionMemory(session.folder))
        for status in TO_RUNNING[run.status]:
            await self._change(ctx, status=status)
        return ctx

    def _live_plan(self, ctx: RunContext) -> LivePlan:
        live = LivePlan(ctx.bot, ctx.run, ctx.money)
        ctx.on_progress = live.progress
        for record in ctx.records.values():
            live.add(record.step, record.status)
        return live

    async def _wait_for_person(self, ctx: RunContext, live: LivePlan) -> None:
        """Leave the run as rows: nothing of it stays in memory until the person answers."""
        live.state = "waiting"
        await live.stop()
        await ctx.bot.post(live.message())
        await self._change(ctx, status=Status.WAITING_APPROVAL)
        await self._store.release_run(ctx.run.id, ctx.run.epoch)

    async def _finish(
        self,
        ctx: RunContext,
        live: LivePlan,
        status: Status,
        text: str,
        *,
        error: str = "",
        messages: list[OutboundMessage],
    ) -> None:
        await live.stop()
        plan = [live.message()] if live.worth_showing else []
        await self._store.finish_run(
            ctx.run.id, ctx.run.epoch, status=status, answer=text, error=error, messages=[*plan, *messages]
        )

    async def _fail(self, run: Run, message: str, hint: str) -> None:
        """End a run that cannot go on, and say so with a way on. What it has made is kept and named."""
        with contextlib.suppress(StaleLease):
            payload = {"text": message, "hint": hint, "ref": run.corr_id}
            told = OutboundMessage(
                run.dest, MessageKind.ERROR, f"run:{run.id}:error", payload, session_id=run.session_id, run_id=run.id
            )
            text = f"{message} {hint}".strip()
            await self._store.finish_run(
                run.id, run.epoch, status=Status.FAILED, answer=text, error=message, messages=[told]
            )
        self._tell_finished(run.id)

    async def stop_run(self, run: Run) -> str:
        """Stop a run at once, at the person's word; return what to tell them. Nothing it has made is lost."""
        await self._engine.cancel(run.id)
        present = await self._store.lease_run(run.id, self._owner, LEASE_SECONDS)
        if present is None or present.status in FINAL:
            return "It has ended already."
        ctx = await scene.set_the_scene(self._store, present, await self.sessions.open(run.session_id), self._bot)
        live = self._live_plan(ctx)
        live.state = "stopped"
        kept = ", ".join(file["path"] for file in scene.deliveries(ctx))
        text = f"⏹ Stopped; kept: {kept}." if kept else "⏹ Stopped."
        told = OutboundMessage(
            run.dest,
            MessageKind.NOTICE,
            f"run:{run.id}:stopped",
            {"text": text},
            session_id=run.session_id,
            run_id=run.id,
        )
        await self._finish(ctx, live, Status.CANCELLED, text, error="Stopped by the person.", messages=[told])
        self._tell_finished(run.id)
        return text

    # --- answers and decisions ----------------------------------------------------------------------------------
    async def answer_question(self, question_id: str, answer: str, by: str) -> Question | None:
        """Record a person's answer (committed when this returns) and let the run go on; None when it is too late."""
        question = await self._store.answer_question(question_id, answer, by)
        self._open_questions.discard(question_id)
        if question is not None:
            run = await self._store.get_run(question.run_id)
            await self._store.post(question_message(run.dest, question))
            self._go_on(run, question.step_id)
        return question

    async def decide_approval(self, approval_id: str, decision: str, by: str) -> Approval | None:
        """Record a person's decision (committed when this returns) and let the run go on; None when it is too late."""
        approval = await self._store.decide_approval(approval_id, decision, by)
        if approval is not None:
            run = await self._store.get_run(approval.run_id)
            await self._store.post(approval_message(run.dest, approval))
            self._go_on(run, approval.step_id)
        return approval

    def resolve_question(self, question_id: str, answer: str) -> bool:
        """Answer an open question; False when it is unknown or answered already.

        Usable without awaiting: the answer is committed by a task that this object owns. Questions asked before a
        restart are known again after `start`.
        """
        if question_id not in self._open_questions:
            return False
        self._open_questions.discard(question_id)
        self._in_background(self.answer_question(question_id, answer, "person"))
        return True

    def _go_on(self, run: Run, step_id: str) -> None:
        scheduler = self._live.get(run.id)
        if scheduler is None or not scheduler.wake(step_id):
            self.submit(run)

    # --- the specification's other names ------------------------------------------------------------------------
    def _progress_context(self, ctx: RunContext | None = None) -> str:
        """Return the last 25 results of a run (the one begun last) as JSON, each bounded; "" when there are none."""
        present = ctx or self._present
        return scene.progress(present) if present is not None else ""

    async def run_step(  # noqa: PLR0917  # the specified call
        self,
        session: Any,
        step: PlanStep,
        req: ExecutorRequest | str,
        bot: Any,
        context: Any,  # noqa: ARG002  # part of the specified call
        dest: Mapping[str, Any] | Destination | str,
        profile: Profile | None,
        corr_id: str,
    ) -> ExecutorResponse:
        """Carry out one step by itself, within a profile, and note it in the session's history.

        `req` is the request that it belongs to. Raises what the journal raises; what the step does wrong is a response.
        """
        place = Destination.from_json({"chat_id": dest} if isinstance(dest, str) else _json_of(dest))
        text = req if isinstance(req, str) else (req.instruction or req.step.label)
        run = await self.open_run(_id_of(session, place), text, place)
        self._bots[run.id], self._profiles[run.id] = bot or self._bot, profile or Profile()
        try:
            response = await self._alone(run, step)
        finally:
            del self._bots[run.id], self._profiles[run.id]
        opened = await self.sessions.open(run.session_id)
        await self.sessions.add_history(opened, TASK_KEY, text, response.text or response.error, response.status.value)
        self._log.info("{}: step {} ended as {}", corr_id, step.id, response.status)
        return response

    async def _alone(self, run: Run, step: PlanStep) -> ExecutorResponse:
        leased = await self._store.lease_run(run.id, self._owner, LEASE_SECONDS)
        assert leased is not None, "a run that was just opened is nobody else's"
        await self._store.add_steps(leased.id, leased.epoch, [step], leased.provenance)
        ctx = await self._begin(leased, self._bot_of(leased))
        await self._change(ctx, plan_complete=True)
        return await self._execute_step(step, ctx.session, ctx.bot, ctx, leased.dest, "")

    async def _execute_step(  # noqa: PLR0917  # the specified call
        self,
        step: PlanStep,
        session: Session,  # noqa: ARG002  # part of the specified call; the context holds it
        bot: Bot,  # noqa: ARG002
        context: RunContext,
        dest: Destination,  # noqa: ARG002
        ctx_summary: str,
    ) -> ExecutorResponse:
        """Take one step of the run `context` through and end the run with it, unless it waits for a person."""
        context.summary = ctx_summary
        response = await self._dispatcher.take_through(context, step)
        if response.status is ResponseStatus.NEEDS_INPUT:
            await self._change(context, status=Status.WAITING_APPROVAL)
            return response
        status = Status.COMPLETED if response.success else Status.FAILED
        await self._store.finish_run(
            context.run.id, context.run.epoch, status=status, answer=response.text, error=response.error
        )
        return response

    # --- small things -------------------------------------------------------------------------------------------
    def _step_changed(self, ctx: RunContext, live: LivePlan, step: PlanStep, response: ExecutorResponse | None) -> None:
        live.changed(step, response)
        if response is not None and response.question_id:
            self._open_questions.add(response.question_id)
        if response is None or response.status is not ResponseStatus.BLOCKED or ctx.status[step.id] in FINAL:
            return
        self._store.change_step_soon(
            StepChange(
                ctx.run.id,
                step.id,
                Status.CANCELLED,
                ctx.run.epoch,
                response_status=response.status.value,
                error=response.error,
            )
        )
        ctx.status[step.id] = Status.CANCELLED
        ctx.results[step.id] = response

    async def _change(self, ctx: RunContext, **fields: Any) -> None:
        await self._store.change_run(ctx.run.id, ctx.run.epoch, **fields)
        ctx.run = replace(ctx.run, **fields)

    async def _keep_lease(self, run: Run) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            if not await self._store.renew_lease(run.id, run.epoch, LEASE_SECONDS):
                return

    def _bot_of(self, run: Run) -> Bot:
        return self._bots.get(run.id, self._bot)

    def _slots_of(self, session_id: str) -> Slots:
        if session_id not in self._session_slots:
            self._session_slots[session_id] = Slots(self._config.limits.steps_per_session, self._slots)
        return self._session_slots[session_id]

    def _tell_finished(self, run_id: int) -> None:
        if run_id in self._finished:
            self._finished[run_id].set()


def _id_of(session: Any, dest: Destination) -> str:
    """Return a session's id from a Session, a dictionary or object with an id, or the id itself."""
    if isinstance(session, str):
        return session
    found = session.get("id") if isinstance(session, Mapping) else getattr(session, "id", None)
    return str(found) if found else dest.session_id


def _json_of(dest: Mapping[str, Any] | Destination) -> dict[str, Any]:
    return dest.to_json() if isinstance(dest, Destination) else dict(dest)
