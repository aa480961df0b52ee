"""Checkpoints of pipelines: before a step begins a person approves, rejects or has revised what was made for it.

What was decided is read out of the journal. A revision is a round of new steps of the same run, for those that the
comment is for and all between them and the checkpoint; when they have ended, the checkpoint asks again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agent.domain.copies import INSIDE, copied, renaming
from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.plan import Checkpoint, PlanStep, Revision
from agent.domain.provenance import Provenance
from agent.domain.run import Approval, StepChange
from agent.domain.states import Status
from agent.errors import LimitReached
from agent.execution.comments import comment_on
from agent.execution.graph import skipped_response
from agent.execution.lists import begin_steps
from agent.execution.people import refusal
from agent.execution.showing import Shown, post_files, shown_at
from agent.execution.together import CHECKPOINT, REVISE, asked_message, new_id
from agent.execution.values import came_to_something, current, filled, pipe_of, revision_of
from agent.policy import consent

if TYPE_CHECKING:
    from agent.config import AppConfig
    from agent.execution.context import RunContext
    from agent.store.protocol import Store


class Checkpoints:
    """Asks before a step begins, and has steps carried out anew. It keeps nothing between calls; the journal does."""

    def __init__(self, config: AppConfig, store: Store) -> None:
        self._limits = config.limits
        self._store = store

    async def before(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse | None:
        """Return a response while a person has not agreed to the step, or did not; None when they have."""
        found = [one for one in await self._asked(ctx, step) if one.tool == CHECKPOINT]
        if not found:
            return await self._ask(ctx, step, found)
        last = await comment_on(self._store, found[-1])
        if last.decision == "allow":
            return None
        if last.decision == REVISE:
            return await self._revise(ctx, step, [*found[:-1], last]) or await self._ask(ctx, step, found)
        if last.decision is None and (last.expires_at or 0) > time.time():
            return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, approval_id=last.id)
        return ExecutorResponse(step.id, ResponseStatus.BLOCKED, error=refusal(ctx.run, last))

    async def before_call(self, ctx: RunContext, step: PlanStep) -> ExecutorResponse | None:
        """Do the same for a step whose call itself asks for consent: only the revision that was wanted instead."""
        found = await self._asked(ctx, step)
        if not found:
            return None
        last = await comment_on(self._store, found[-1])
        return await self._revise(ctx, step, [*found[:-1], last]) if last.decision == REVISE else None

    async def choices(self, ctx: RunContext, step: PlanStep) -> tuple[str, ...]:
        """Return what a person may decide: to revise only where something can be, and while the limit allows it."""
        rounds = sum(one.decision == REVISE for one in await self._asked(ctx, step))
        able = _checkpoint(step).anew and rounds < self._limits.replans
        return ("allow", REVISE, "deny") if able else ("allow", "deny")

    async def show(self, ctx: RunContext, step: PlanStep) -> Shown:
        """Post the files that a person is to see before deciding; return what else is shown."""
        shown = shown_at(ctx, step, _checkpoint(step))
        turn = 1 + len(await self._asked(ctx, step))
        await post_files(self._store, ctx, shown, f"run:{ctx.run.id}:{step.id}:shown:{turn}")
        return shown

    async def _asked(self, ctx: RunContext, step: PlanStep) -> list[Approval]:
        return [approval for approval in await self._store.approvals_of(ctx.run.id) if approval.step_id == step.id]

    # --- asking -------------------------------------------------------------------------------------------------
    async def _ask(self, ctx: RunContext, step: PlanStep, earlier: list[Approval]) -> ExecutorResponse:
        checkpoint = _checkpoint(step)
        text, label = filled(ctx, step, pipe_of(step).approval)
        shown = await self.show(ctx, step)
        args: dict[str, Any] = {
            "name": checkpoint.name,
            "before": step.label,
            "text": str(text),
            "shown": shown.results,
        }
        args["files"] = [file["path"] for file in shown.files]
        now = time.time()
        approval = Approval(
            id=new_id(),
            run_id=ctx.run.id,
            step_id=step.id,
            session_id=ctx.session.id,
            tool=CHECKPOINT,
            args=args,
            digest=consent.digest(CHECKPOINT, args),
            because=consent.because({"text": label, **shown.labels}, ctx.control_of(step.id)),
            asked_at=max(now, *(one.asked_at + 1e-3 for one in earlier)) if earlier else now,
            expires_at=now + (checkpoint.timeout or self._limits.approval_seconds),
            choices=await self.choices(ctx, step),
        )
        if ctx.state_of(step) in {Status.PENDING, Status.WAITING_APPROVAL}:
            self._store.change_step_soon(StepChange(ctx.run.id, step.id, Status.READY, ctx.run.epoch))
        change = StepChange(ctx.run.id, step.id, Status.WAITING_APPROVAL, ctx.run.epoch)
        await self._store.request_approval(approval, change, asked_message(ctx.run.dest, [approval]))
        return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, approval_id=approval.id)

    # --- revising -----------------------------------------------------------------------------------------------
    async def _revise(self, ctx: RunContext, step: PlanStep, found: list[Approval]) -> ExecutorResponse | None:
        """Return the steps of the newest round while they are under way, or what came of it; None when it may go on."""
        turn = sum(one.decision == REVISE for one in found)
        made = _made(ctx, step, turn)
        if not made:
            made = await self._begin(ctx, step, found[-1].comment, turn)
        if any(one.id not in ctx.results for one in made):
            return ExecutorResponse(step.id, ResponseStatus.NEEDS_INPUT, children=tuple(made))
        newest = {revision_of(one).of: one.id for one in made}
        lost = [newest[name] for name in map(_origin_in(ctx), step.depends_on) if name in newest]
        lost = [name for name in lost if not came_to_something(ctx, name)]
        return skipped_response(step.id, lost[0]) if lost else None

    async def _begin(self, ctx: RunContext, step: PlanStep, comment: str, turn: int) -> list[PlanStep]:
        """Journal the steps of a round: copies of those as they are, under the next number."""
        checkpoint, origin = _checkpoint(step), _origin_in(ctx)
        again = [ctx.records[name].step for name in checkpoint.anew]
        used = len(again) + len(ctx.records)
        if used > self._limits.steps:
            raise LimitReached("steps of one run", value=self._limits.steps, used=used, setting="limits.steps")
        outer = [one.id for one in again if not any(one.id.startswith(other.id + INSIDE) for other in again)]
        number = 1 + max(_newest_number(ctx, origin(name)) for name in outer)
        rename = renaming({name: f"{origin(name)}-r{number}" for name in outer})
        newest = current(ctx)
        made = []
        for one in again:
            meant = any(one.id == name or one.id.startswith(name + INSIDE) for name in checkpoint.revise)
            revision = Revision(
                number=number,
                comment=comment,
                of=origin(one.id),
                previous=newest.get(origin(one.id), origin(one.id)),
                asked_before=step.id,
                turn=turn,
                meant=meant,
            )
            copy = copied(one, rename)
            title = f"{ctx.records[origin(one.id)].step.label} (revision {number})"
            pipe = pipe_of(copy).model_copy(update={"revision": revision})
            made.append(copy.model_copy(update={"title": title, "pipe": pipe}))
        control = Provenance.union(ctx.control_of(name) for name in (step.id, *checkpoint.anew))
        await begin_steps(self._store, ctx, made, control)
        return made


def _checkpoint(step: PlanStep) -> Checkpoint:
    """Return what a checkpoint says beside its text; one of an earlier version says nothing."""
    return pipe_of(step).checkpoint or Checkpoint(show=step.depends_on)


def _made(ctx: RunContext, step: PlanStep, turn: int) -> list[PlanStep]:
    """Return the steps that one round of a checkpoint has made."""
    found = [(one, revision_of(one)) for one in ctx.revisions]
    return [one for one, revision in found if (revision.asked_before, revision.turn) == (step.id, turn)]


def _newest_number(ctx: RunContext, step_id: str) -> int:
    found = (revision_of(step) for step in ctx.revisions)
    return max((revision.number for revision in found if revision.of == step_id), default=1)


def _origin_in(ctx: RunContext) -> Any:
    """Return what gives the step of the plan that a step is, or is a revision of."""

    def origin(step_id: str) -> str:
        record = ctx.records.get(step_id)
        revision = revision_of(record.step) if record is not None else None
        return step_id if revision is None else str(revision.of)

    return origin
