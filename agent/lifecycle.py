"""The life of a run around its story: leased, begun, left to wait, ended, stopped, and taken up again.

Everything here is mechanics that the journal demands; what a run is for is told in `orchestrator.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from agent import tracing
from agent.domain.execution import ResponseStatus
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.offers import aside_offer, retry_offer, stop_offer
from agent.domain.run import Origin, Run, StepChange
from agent.domain.states import FINAL, Status
from agent.engine.owner import own_name
from agent.errors import DirigentError, StaleLease, StorageFailed, StorageUnusable
from agent.execution import scene
from agent.execution.adopting import adopt_files
from agent.execution.dispatcher import TO_RUNNING, Dispatcher
from agent.execution.executor import Executor
from agent.execution.foretelling import Foretelling
from agent.execution.live import LivePlan
from agent.execution.made import made_here
from agent.execution.people import question_message
from agent.execution.posting import Outbox
from agent.execution.scheduler import Slots, StepScheduler
from agent.execution.together import closing_messages
from agent.execution.toolbox import Toolbox
from agent.leases import INTERRUPTIONS, LEASE_SECONDS
from agent.llm.detect import open_model
from agent.logs import own_id
from agent.memory.memory import MemoryDoor
from agent.parts import Parts, make_parts
from agent.sharing import ASKED, Sharing, details_key
from agent.store.tidying import tidy_daily
from agent.texts import mark, say
from agent.versions.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.config import AppConfig
    from agent.domain.execution import ExecutorResponse
    from agent.domain.messages import Bot
    from agent.domain.plan import PlanStep
    from agent.domain.session import Profile, Session
    from agent.execution.context import RunContext
    from agent.llm.protocol import LLM
KEEPING = mark("Keeping the files where every host has them")
FETCHING = mark("Fetching the files of this chat takes longer than usual; I go on as soon as they are here.")
TOLD_AFTER = 15.0  # seconds


class RunLifecycle(Sharing, ABC):
    """What every run goes through. Without `parts` it makes its own from the configuration, and finds a model."""

    def __init__(
        self,
        config: AppConfig,
        parts: Parts | None = None,
        *,
        llm: LLM | None = None,
        bot: Bot | None = None,
    ) -> None:
        used = parts or make_parts(config)
        self._own = None if parts else used
        super().__init__(config, used.catalogue, llm)
        self._store = used.store
        self._engine = used.engine
        self._bot: Bot = bot or Outbox(used.store)
        toolbox = self._toolbox = Toolbox(config, used.catalogue, used.boxes)
        self._executor = Executor(config, used.store, used.catalogue, toolbox)
        self.versions = Versions(used.store, config.chat.undo_runs, config.chat.undo_mb, self.sessions)
        self._dispatcher = Dispatcher(
            config,
            used.store,
            used.catalogue,
            toolbox,
            self._executor,
            published=self._tell_published,
            before_writing=lambda ctx: self.versions.before(ctx.run, ctx.session, ctx.keep),
        )
        self._started = False
        self._tidier: asyncio.Task[None] | None = None
        self._owner = own_name()
        self._slots = Slots(config.limits.steps_total)
        self._session_slots: dict[str, Slots] = {}
        self._live: dict[int, StepScheduler] = {}
        self._shown: dict[int, LivePlan] = {}
        self._asked_for_changes: set[int] = set()
        self.offered: set[int] = set()  # runs that wait, whose chat has a button to use their words at once
        self._bots: dict[int, Bot] = {}
        self._profiles: dict[int, Profile] = {}
        self._finished: dict[int, asyncio.Event] = {}
        self._open_questions: set[str] = set()
        self._expiries: dict[int, asyncio.TimerHandle] = {}
        self._present: RunContext | None = None
        self.when_ended_here: list[Callable[[int], None]] = []  # the same, for runs that ended in this process' hands
        self.when_finished: list[Callable[[int], None]] = []  # each is called with the id of a run that has ended
        self.when_published: list[Callable[[], None]] = []  # each is called when a run may have published an event

    # --- life ---------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Open the journal and begin to work on what is submitted. Starting twice changes nothing."""
        if self._started:
            return
        self._started = True
        await self._store.open()
        await self.sessions.check()
        if self._own is not None and self._llm is None:
            self._llm = await open_model(self._config)
        if not self._engine.elsewhere:
            await self.versions.finish_interrupted(self.sessions.open)
        await self._engine.start(self._work, hears=self._heard, abandoned=self._abandoned)
        if not self._engine.elsewhere:  # else whoever is at the desk does it
            tidying = tidy_daily(self._store, self._config.limits.keep_days, self.versions.forget_older)
            self._tidier = asyncio.create_task(tidying, name="tidy")

    async def stop(self) -> None:
        """Stop working; runs stay in the journal and go on after the next start."""
        await self._engine.stop()
        for run_id in list(self._expiries):
            self._forget_expiry(run_id)
        ends = [*self._background, *([self._tidier] if self._tidier else [])]
        for task in ends:
            task.cancel()
        if ends:
            await asyncio.wait(ends)
        await self._toolbox.close()
        if self._own is not None:
            await self._own.boxes.close()
            await self._store.close()

    def submit(self, run: Run, *, at: float = 0.0) -> None:
        """Have a run worked on (again); `at` as in Engine.submit."""
        self._engine.submit(
            run.id,
            session_id=run.session_id,
            user_id=run.user_id,
            priority=run.priority,
            line=f"project:{run.project}" if run.project else "",
            since=run.created_at,
            at=at,
        )

    @abstractmethod
    async def _work(self, run_id: int) -> None:
        """Work on a run until it is finished or waits for a person: what the engine calls."""

    async def open_run(self, session_id: str, text: str, dest: Destination, **fields: Any) -> Run:
        """Journal a new run; with `inbox_id` the message counts as heard in the same transaction."""
        corr_id = own_id()
        session = await self.sessions.open(session_id)
        _, run = await asyncio.gather(  # in this order, and in one commit
            self._store.touch_session(session_id, session.folder, dest.to_json()),
            self._store.open_run(Run(session_id, text, dest, corr_id=corr_id, **fields)),
        )
        return run

    async def begin_run(self, session_id: str, text: str, dest: Destination, **fields: Any) -> Run:
        """Journal a new run, as `open_run` does, and have it worked on: both, also when who asks is cancelled then."""
        begun = asyncio.create_task(self._begun(session_id, text, dest, **fields))
        self._background.add(begun)
        begun.add_done_callback(self._background.discard)
        return await asyncio.shield(begun)

    async def _begun(self, session_id: str, text: str, dest: Destination, **fields: Any) -> Run:
        run = await self.open_run(session_id, text, dest, **fields)
        self.submit(run)
        return run

    # --- beginning, waiting, ending -----------------------------------------------------------------------------
    async def _begin(self, run: Run, bot: Bot) -> RunContext:
        session = await self.sessions.open(run.session_id)
        await self._files_here(run, session)
        if self._profiles.get(run.id):
            session = replace(session, profile=self._profiles[run.id])
        ctx = self._present = await scene.set_the_scene(self._store, run, session, bot)
        await adopt_files(self._store, ctx)
        await self._open_budget(ctx)
        ctx.memory = MemoryDoor(self.sessions.memory(session))
        ctx.keep = partial(self._keep_files, ctx)
        way = TO_RUNNING[run.status]  # in this order, and in one commit
        await asyncio.gather(*(self._store.change_run(run.id, run.epoch, status=status) for status in way))
        ctx.run = replace(ctx.run, status=Status.RUNNING)
        return ctx

    async def _files_here(self, run: Run, session: Session) -> None:
        """Have the session's files on this host, however long that takes; who waits for it is told."""
        if not self.sessions.mirrored:
            return
        fetching = asyncio.ensure_future(self.sessions.take_up(session, run.id))
        try:
            done, _ = await asyncio.wait({fetching}, timeout=TOLD_AFTER)
            if not done and not run.quiet:
                payload = {"text": say(run.dest.language, FETCHING)}
                told = OutboundMessage(run.dest, MessageKind.NOTICE, f"run:{run.id}:files:{run.epoch}", payload)
                await self._bot_of(run).post(replace(told, session_id=run.session_id, run_id=run.id))
            await fetching
        finally:
            fetching.cancel()
            await asyncio.wait({fetching})

    async def _keep_files(self, ctx: RunContext, step_id: str) -> None:
        """Have the run's files everywhere, as long as it is this worker's: a lost lease lets it write no more."""
        if not self.sessions.mirrored:
            return

        async def may() -> None:
            if not await self._store.renew_lease(ctx.run.id, ctx.run.epoch, LEASE_SECONDS):
                raise StaleLease(f"Run {ctx.run.id} is another worker's by now.")

        said = say(ctx.run.dest.language, KEEPING)
        await self.sessions.keep(ctx.session, may, lambda done, total: ctx.on_progress(step_id, said, done, total))

    async def _live_plan(self, ctx: RunContext) -> LivePlan:
        """Return the plan as it is shown, with the clock where it stood when the run was left."""
        live = LivePlan(ctx.bot, ctx.run, ctx.money, quiet=ctx.run.quiet)
        if ctx.records:
            shown = await self._store.get_message(live.key)
            live.seconds_before = float(shown.payload.get("seconds") or 0) if shown is not None else 0.0
            live.remark = str(shown.payload.get("remark") or "") if shown is not None else ""
        ctx.on_progress, ctx.on_shortened = live.progress, live.shortened
        live.foretell = Foretelling(ctx, self._catalogue, self._config)
        for record in ctx.records.values():
            live.take(record)
        live.detailed = await self._store.get_value(details_key(ctx.run.id)) == "1"
        return live

    async def _wait_for_person(self, ctx: RunContext, live: LivePlan) -> None:
        """Leave the run as rows: nothing of it stays in memory until the person answers."""
        live.state = "waiting"
        await live.stop()
        if not live.quiet:
            await ctx.bot.post(live.message())
        await self._change(ctx, status=Status.WAITING_APPROVAL)
        await self._store.release_run(ctx.run.id, ctx.run.epoch)
        await self._wake_on_expiry(ctx.run)

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
        last = [*await self._last_look(ctx, live, status), *messages]
        await ctx.keep("")
        await self._store.finish_run(ctx.run.id, ctx.run.epoch, status=status, answer=text, error=error, messages=last)
        await self.versions.after(ctx.run, ctx.session)

    async def _last_look(self, ctx: RunContext, live: LivePlan, status: Status) -> list[OutboundMessage]:
        """Return the plan, if it is or was shown, and what the run still asks, as they look at its end: no buttons."""
        await live.stop()
        shown = live.worth_showing or await self._store.get_message(live.key) is not None
        plan = [live.message()] if shown else live.remarked()
        asked = ctx.run.id in self._asked_for_changes or self._engine.elsewhere
        waited = ctx.run.epoch > 1  # what has expired meanwhile still has its buttons
        if Status.WAITING_APPROVAL not in {*ctx.status.values(), ctx.run.status} and not asked and not waited:
            return plan
        said = "(stopped)" if status is Status.CANCELLED else "(no longer needed)"
        questions = [replace(q, answer=said) for q in await self._store.questions_of(ctx.run.id) if q.answer is None]
        dest = ctx.run.dest
        approvals = closing_messages(dest, await self._store.approvals_of(ctx.run.id), said)
        return [*plan, *(question_message(dest, q) for q in questions), *approvals]

    async def _fail(self, run: Run, message: str, hint: str, *, aside: bool = False) -> None:
        """End a run that cannot go on, and say so with a way on. What it has made is kept and named.

        `aside` says that it could go on, but not by itself.
        """
        payload: dict[str, Any] = {"text": message, "hint": hint, "ref": run.corr_id}
        if aside:
            payload["buttons"] = aside_offer(run)
        elif run.origin is not Origin.TRIGGER:
            payload["buttons"] = retry_offer(run, models=self._llm is not None and not run.is_pipeline)
        key = f"run:{run.id}:error"
        told = OutboundMessage(run.dest, MessageKind.ERROR, key, payload, session_id=run.session_id, run_id=run.id)
        answer = f"{message} {hint}".strip()
        try:
            messages = [*await self._last_plan(run), told]
            await self._store.finish_run(
                run.id, run.epoch, status=Status.FAILED, answer=answer, error=message, messages=messages
            )
            await self.versions.after(run, await self.sessions.open(run.session_id))
        except INTERRUPTIONS:
            raise
        except StaleLease:
            self._log.warning("run {} was taken over by another worker", run.id)
        except Exception as error:  # such as: it has ended already
            self._log.opt(exception=error).error("run {} failed ({}), and that could not be noted", run.id, message)
        self._tell_finished(run.id)

    async def _last_plan(self, run: Run) -> list[OutboundMessage]:
        """Return the plan of a run that failed as it is to be shown; nothing when its session is what is broken."""
        try:
            session = await self.sessions.open(run.session_id)
        except (DirigentError, OSError):
            return []
        ctx = await scene.set_the_scene(self._store, run, session, self._bot)
        live = await self._live_plan(ctx)
        live.state = "failed"
        return await self._last_look(ctx, live, Status.FAILED)

    async def stop_run(self, run: Run) -> str:
        """Stop a run at once, at the person's word; return what to tell them. Nothing it has made is lost."""
        await self._engine.cancel(run.id)
        present = await self._store.lease_run(run.id, self._owner, LEASE_SECONDS)
        if present is None:
            self._tell_finished(run.id)
            over = (await self._store.get_run(run.id)).status in FINAL
            return "It has ended already." if over else "Another process works on it; stop it there."
        session = await self.sessions.open(run.session_id)
        with contextlib.suppress(StorageFailed, StorageUnusable):  # then it is not said what is kept
            await self.sessions.fetch(session)
        ctx = await scene.set_the_scene(self._store, present, session, self._bot)
        live = await self._live_plan(ctx)
        live.state = "stopped"
        made = made_here(session, ctx.records.values())
        kept = ", ".join(dict.fromkeys([*(file["path"] for file in scene.deliveries(ctx)), *made]))
        text = f"⏹ Stopped; kept: {kept}." if kept else "⏹ Stopped."
        told = OutboundMessage(
            run.dest,
            MessageKind.NOTICE,
            f"run:{run.id}:stopped",
            {"text": text, "buttons": stop_offer(run, made=bool(made))},
            session_id=run.session_id,
            run_id=run.id,
        )
        await self._finish(ctx, live, Status.CANCELLED, text, error="Stopped by the person.", messages=[told])
        self._tell_finished(run.id)
        return text

    # --- small things -------------------------------------------------------------------------------------------
    def _step_changed(self, ctx: RunContext, live: LivePlan, step: PlanStep, response: ExecutorResponse | None) -> None:
        live.changed(step, response)
        if response is not None and response.question_id:
            self._open_questions.add(response.question_id)
            self._engine.tell(ASKED, ctx.run.id)
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

    def _bot_of(self, run: Run) -> Bot:
        return self._bots.get(run.id, self._bot)

    def _slots_of(self, session_id: str) -> Slots:
        if session_id not in self._session_slots:
            self._session_slots[session_id] = Slots(self._config.limits.steps_per_session, self._slots)
        return self._session_slots[session_id]

    def _tell_finished(self, run_id: int) -> None:
        super()._tell_finished(run_id)
        for listener in self.when_ended_here:
            listener(run_id)
        if tracing.is_on():
            self._in_background(self._trace_whole(run_id))

    async def _trace_whole(self, run_id: int) -> None:
        """Record a run that has ended as a whole; what it goes on from is a trace of its own."""
        run = await self._store.get_run(run_id)
        if run.status not in FINAL:
            return
        before = run.given.get("continues") or run.given.get("again")
        tracing.ended(run, (await self._store.get_run(int(before))).corr_id if before else "")
