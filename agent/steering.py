"""The plan in the person's hands: what somebody wants to be different becomes part of it, while it is carried out.

A wish is journalled as a question of the kind `change` with its answer, before anything is done about it. It is taken
up where the plan is carried out: nothing new starts then, what runs goes on. Fixed forms ("drop 3") need no model;
everything else is a new plan from the progress and the words. A wish that comes too late becomes a request of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.continuing import Continuing
from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.references import find_references
from agent.domain.run import Question, StepChange
from agent.domain.states import FINAL, Status
from agent.errors import IllegalTransition, LimitReached, ModelError, OverBudget, PlanError
from agent.execution import people, scene
from agent.execution.people import CHANGE, SETTLED, WHAT_DIFFERENT, question_message
from agent.execution.together import show
from agent.planning.changes import UNDERSTOOD, Change, Drop, Instead, StopAfter, holds, read_change, with_instead
from agent.sharing import LOOK, details_key, wishes_key
from agent.texts import mark, say

if TYPE_CHECKING:
    from agent.domain.plan import PlanStep
    from agent.domain.run import Run
    from agent.execution.context import RunContext
    from agent.execution.live import LivePlan
    from agent.execution.scheduler import StepScheduler

DROPPED = "You dropped it."
UNTOUCHED = mark("I could not change the plan; it goes on as it was.")
OF_PIPELINES = mark("This is a pipeline: its steps can be dropped, not changed.")


class Steering(Continuing):
    """The part of a run's life in which its plan changes."""

    # --- what people say ----------------------------------------------------------------------------------------
    async def ask_for_change(self, run: Run, user_id: str) -> Question:
        """Ask a person what should be different about a plan; asked again, return the question that is open."""
        for asked in await self._store.questions_of(run.id):
            if (asked.kind, asked.answer, asked.user_id) == (CHANGE, None, user_id):
                return asked
        question = self._wish(run, secrets.token_urlsafe(6), user_id)
        await self._store.ask(question, None, question_message(run.dest, question))
        self._open_questions.add(question.id)
        self._asked_for_changes.add(run.id)
        return question

    async def steer(self, run: Run, words: str, user_id: str, by: str, *, inbox_id: int = 0) -> bool:
        """Take a person's words as a wish about a plan (committed when this returns); False when it has ended.

        `by` is as `answerer` names the person. The same message again changes nothing.
        """
        name = f"w{inbox_id}" if inbox_id else secrets.token_urlsafe(6)
        known = await self._store.get_question(name)
        if known is None:
            known = self._wish(run, name, user_id)
            shown = question_message(run.dest, _answered(known, words))
            await self._store.ask(known, None, shown)
        self._asked_for_changes.add(run.id)
        if known.answer is not None:
            return True
        return await self.answer_question(name, words, by, inbox_id=inbox_id or None) is not None

    async def show_details(self, run: Run, *, details: bool) -> None:
        """Unfold or fold the details of a plan, also of one that waits or has ended."""
        await self._store.set_value(details_key(run.id), "1" if details else "")
        self._engine.tell(LOOK, run.id)
        live = self._shown.get(run.id)
        if live is not None:
            live.unfold(details=details)
            return
        ctx = await scene.set_the_scene(self._store, run, await self.sessions.open(run.session_id), self._bot)
        shown = await self._store.get_message(f"run:{run.id}:plan")
        live = await self._live_plan(ctx)
        live.state = str(shown.payload.get("state")) if shown is not None else "waiting"
        await live.stop()
        await self._store.post(live.message())

    @staticmethod
    def _wish(run: Run, name: str, user_id: str) -> Question:
        return Question(
            id=name,
            run_id=run.id,
            step_id="",
            session_id=run.session_id,
            text=WHAT_DIFFERENT,
            kind=CHANGE,
            user_id=user_id,
            asked_at=time.time(),
        )

    # --- which wishes are open ----------------------------------------------------------------------------------
    async def _open_wishes(self, ctx: RunContext) -> list[Question]:
        """Return the wishes that no plan has taken up, the oldest first."""
        known = ctx.run.id in self._asked_for_changes or ctx.wished
        if not (known or self._engine.elsewhere):
            return []
        handled = json.loads(await self._store.get_value(wishes_key(ctx.run.id)) or "[]")
        return [wish for wish in people.wishes(await self._store.questions_of(ctx.run.id)) if wish.id not in handled]

    async def _taken_up(self, ctx: RunContext, names: Iterable[str]) -> None:
        """Note that the present plan is as these wishes want it."""
        handled = json.loads(await self._store.get_value(wishes_key(ctx.run.id)) or "[]")
        wanted = [*dict.fromkeys([*handled, *names])]
        ctx.wished |= set(wanted)
        if wanted != handled:
            await self._store.set_value(wishes_key(ctx.run.id), json.dumps(wanted))

    def _planned_too_often(self, ctx: RunContext) -> bool:
        """Say whether the limit on new plans is reached; those that people have wanted do not count."""
        return ctx.run.replans - len(ctx.wished) >= self._config.limits.replans

    async def _hand_on(self, ctx: RunContext) -> None:
        """Make a request of its own of each wish that came when the run was over."""
        late = await self._open_wishes(ctx)
        await self._taken_up(ctx, [wish.id for wish in late])
        for wish in late:
            label = people.label_of_answer(wish.answered_by)
            await self.begin_run(
                ctx.run.session_id, str(wish.answer), ctx.run.dest, user_id=wish.user_id, provenance=label
            )

    # --- changing the plan --------------------------------------------------------------------------------------
    async def _changes(self, ctx: RunContext, live: LivePlan, scheduler: StepScheduler) -> AsyncGenerator[PlanStep]:
        """Take up what people want to be different: drop steps, and yield those that come instead, journalled."""
        while wanted := await self._open_wishes(ctx):
            wish = wanted[0]
            live.say(f"✏️ {wish.answer}")
            ctx.said |= people.label_of_answer(wish.answered_by)
            ctx.records = {record.step.id: record for record in await self._store.get_steps(ctx.run.id)}
            change = read_change(str(wish.answer))
            fresh = await self._in_form(ctx, live, scheduler, wish, change) if change is not None else None
            if fresh is None and ctx.llm is not None and not ctx.run.is_pipeline:
                async with contextlib.aclosing(self._planned_anew(ctx, live, scheduler, wanted)) as steps:
                    async for step in steps:
                        yield step
                continue
            if fresh is None:
                await self._tell_wisher(ctx, wish, OF_PIPELINES if ctx.run.is_pipeline else UNDERSTOOD)
            for step in fresh or ():
                yield step
            await self._taken_up(ctx, [wish.id])

    async def _planned_anew(
        self, ctx: RunContext, live: LivePlan, scheduler: StepScheduler, wanted: list[Question]
    ) -> AsyncGenerator[PlanStep]:
        """Have the model plan what is left, in the sense of the wishes; when it can't, the plan stays as it was."""
        before = set(ctx.records)
        await scene.prepare_new_plan(self._store, ctx)
        ctx.direct_answer = ""
        await self._change(ctx, replans=ctx.run.replans + 1, plan_complete=False, answer="")
        try:
            async with contextlib.aclosing(self._new_steps(ctx, live, replanning=True)) as steps:
                async for step in steps:
                    yield step
        except OverBudget:  # the run waits for money, and plans anew with it
            raise
        except (ModelError, PlanError, LimitReached) as error:
            for record in await self._store.get_steps(ctx.run.id):
                if record.step.id not in before:
                    await self._drop(ctx, scheduler, record.step.id, "replaced")
            await self._tell_wisher(ctx, wanted[-1], UNTOUCHED, error.message)
            await self._change(ctx, plan_complete=True)
            await self._taken_up(ctx, [wish.id for wish in wanted])
            return
        for record in ctx.records.values():
            if record.status is Status.CANCELLED:
                gone = ExecutorResponse(record.step.id, ResponseStatus.CANCELLED, error="replaced")
                await scheduler.drop(record.step.id, gone)
        for step_id in ctx.dropped:
            await self._drop_if_possible(ctx, live, scheduler, wanted[-1], step_id)
        ctx.dropped = ()

    @abstractmethod
    def _new_steps(self, ctx: RunContext, live: LivePlan, *, replanning: bool) -> AsyncGenerator[PlanStep]:
        """Yield the steps that the planner adds, each journalled before."""

    # --- fixed forms --------------------------------------------------------------------------------------------
    async def _in_form(
        self, ctx: RunContext, live: LivePlan, scheduler: StepScheduler, wish: Question, change: Change
    ) -> list[PlanStep] | None:
        """Make a change of a fixed form and return the new steps; None when a model should look at the words."""
        if isinstance(change, Instead):
            return await self._use_instead(ctx, live, scheduler, wish, change)
        if isinstance(change, Drop):
            wanted = {number: live.numbered(number) for number in change.numbers}
        else:
            wanted = _after(change, live)
        for number, step_id in wanted.items():
            if not step_id:
                await self._tell_wisher(ctx, wish, mark("There is no step {number}."), number=number)
            elif isinstance(change, Drop) or ctx.status.get(step_id) not in FINAL:
                await self._drop_if_possible(ctx, live, scheduler, wish, step_id)
        return []

    async def _use_instead(
        self, ctx: RunContext, live: LivePlan, scheduler: StepScheduler, wish: Question, change: Instead
    ) -> list[PlanStep] | None:
        records = [record for record in ctx.records.values() if holds(record.step, change.old)]
        begun = [
            r for r in records if ctx.status.get(r.step.id) is not Status.PENDING or scheduler.is_running(r.step.id)
        ]
        done = [record for record in begun if record.response_status != scene.REPLACED]
        if ctx.run.is_pipeline or (ctx.llm is not None and (done or not records)):
            return None
        pending = [
            record.step
            for record in ctx.records.values()
            if ctx.status.get(record.step.id) is Status.PENDING and not scheduler.is_running(record.step.id)
        ]
        made = with_instead(pending, change, ctx.records)
        if not made and not (begun and not done):  # after a crash it may have been made already
            await self._tell_wisher(ctx, wish, mark("No step that is still to come uses “{text}”."), text=change.old)
        label = people.label_of_answer(wish.answered_by)
        for old, step in made:
            control = ctx.control_of(old) | label
            await self._store.add_steps(ctx.run.id, ctx.run.epoch, [step], control)
            ctx.status[step.id], ctx.control[step.id] = Status.PENDING, control
            live.add(step)
        for old, _ in reversed(made):
            await self._drop(ctx, scheduler, old, "replaced", stored=scene.REPLACED)
        ctx.records = {record.step.id: record for record in await self._store.get_steps(ctx.run.id)}
        return [step for _, step in made]

    async def _drop_if_possible(
        self, ctx: RunContext, live: LivePlan, scheduler: StepScheduler, wish: Question, step_id: str
    ) -> None:
        """Drop a step; one that is over, or has an effect and is under way, is left and that is said."""
        number, step = live.number_of(step_id), ctx.records[step_id].step
        if ctx.status.get(step_id) in FINAL:
            if ctx.records[step_id].error != DROPPED:
                await self._tell_wisher(ctx, wish, mark("Step {number} is over already."), number=number)
        elif scheduler.is_running(step_id) and self._dispatcher.has_effect(step, ctx):
            said = mark("Step {number} is under way and is not cut off: nobody could say what it has done.")
            await self._tell_wisher(ctx, wish, said, number=number)
        else:
            await self._drop(ctx, scheduler, step_id, DROPPED)

    async def _drop(
        self, ctx: RunContext, scheduler: StepScheduler, step_id: str, why: str, *, stored: str = ""
    ) -> None:
        """End a step that is not finished; what only came after it goes on, what needs its result is left out too."""
        unfinished = [r.step for r in ctx.records.values() if ctx.status.get(r.step.id) not in FINAL]
        needed = any(step_id in find_references([one.args, one.instruction, one.question]) for one in unfinished)
        status = ResponseStatus.CANCELLED if needed or stored else ResponseStatus.SKIPPED
        response = ExecutorResponse(step_id, status, error=why)
        if not await scheduler.drop(step_id, response):
            return
        ctx.status[step_id], ctx.results[step_id] = Status.CANCELLED, response
        change = StepChange(
            ctx.run.id, step_id, Status.CANCELLED, ctx.run.epoch, response_status=stored or status.value, error=why
        )
        with contextlib.suppress(IllegalTransition):  # it ended in the last moment
            await self._store.change_step(change)
        await self._withdraw(ctx, step_id)

    async def _withdraw(self, ctx: RunContext, step_id: str) -> None:
        """Take back what a step has asked."""
        for question in await self._store.questions_of(ctx.run.id):
            if question.step_id == step_id and question.answer is None:
                closed = await self._store.answer_question(question.id, SETTLED, "")
                if closed is not None:
                    await self._store.post(question_message(ctx.run.dest, closed))
        for approval in await self._store.approvals_of(ctx.run.id):
            if approval.step_id == step_id and approval.decision is None:
                denied = await self._store.decide_approval(approval.id, "deny", "")
                if denied is not None:
                    await show(self._store, ctx.run.dest, denied)

    async def _tell_wisher(self, ctx: RunContext, wish: Question, sentence: str, *more: str, **values: object) -> None:
        """Say what came of a wish, once for each wish and sentence."""
        said = " ".join([say(ctx.run.dest.language, sentence, **values), *more])
        key = f"wish:{wish.id}:{hashlib.sha256(said.encode()).hexdigest()[:8]}"
        told = OutboundMessage(
            ctx.run.dest,
            MessageKind.NOTICE,
            key,
            {"text": said},
            session_id=ctx.run.session_id,
            run_id=ctx.run.id,
        )
        await ctx.bot.post(told)


def _answered(question: Question, words: str) -> Question:
    return replace(question, answer=words)


def _after(change: StopAfter, live: LivePlan) -> dict[int, str]:
    """Return what is shown after a step, by number, the last one first; {number: ""} when it is not there."""
    if not live.numbered(change.number):
        return {change.number: ""}
    found: dict[int, str] = {}
    number = change.number + 1
    while step_id := live.numbered(number):
        found[number] = step_id
        number += 1
    return dict(reversed(found.items()))
